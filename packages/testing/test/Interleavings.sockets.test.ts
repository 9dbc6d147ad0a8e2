/** What needs another process to be seen: the environment variable, imports, memory, what a test that fails prints. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const node = (args: ReadonlyArray<string>, environment: Record<string, string> = {}) =>
  Effect.promise(() =>
    promisify(execFile)(process.execPath, args, {
      cwd: fileURLToPath(new URL("..", import.meta.url)),
      env: { ...process.env, ...environment },
      timeout: 60_000
    })
  )

const run = (file: string, environment?: Record<string, string>) => node([`test/support/${file}`], environment)

/** In a process where what we ship may import neither vitest nor a module of Node. */
const withoutNode = (program: string) => {
  const hooks = `import { registerHooks } from "node:module"
    registerHooks({ resolve: (specifier, context, next) => {
      if (/^(vitest|node:)/.test(specifier) && /\\/packages\\/(testing|core)\\/src\\//.test(context.parentURL)) {
        throw new Error("imports " + specifier)
      }
      return next(specifier, context)
    } })`
  const preload = `data:text/javascript,${encodeURIComponent(hooks)}`
  return node(["--import", preload, "--input-type=module", "--eval", program])
}

describe("MemoryTransport and Faults", () => {
  it.live("serve a client without anything of Node", () =>
    Effect.gen(function*() {
      const { stdout } = yield* withoutNode(`
        import { Listener } from "@effect-listener/core"
        import { Faults, MemoryTransport } from "@effect-listener/testing"
        import { Effect, References } from "effect"
        const { process } = globalThis
        // what a browser does not have
        for (const name of ["process", "Buffer", "setImmediate", "clearImmediate", "global"]) delete globalThis[name]
        const program = Effect.gen(function*() {
          const memory = yield* MemoryTransport.make()
          const plan = Faults.plan({ 0: [Faults.Fault.AcceptError({ code: "EMFILE", times: 1 })] })
          const listener = yield* Listener.listen(Faults.wrap(memory, plan))
          yield* Effect.forkScoped(Listener.serve(listener, (connection) =>
            Effect.flatMap(connection.socket.writer, (writer) => writer.write("hello"))))
          const client = yield* memory.connect
          const text = yield* client.readAllText
          const { outcome } = yield* listener.close()
          return text + " " + outcome
        })
        const quietly = Effect.provideService(References.MinimumLogLevel, "None")
        process.stdout.write(await Effect.runPromise(Effect.scoped(program).pipe(quietly)))
      `)
      assert.strictEqual(stdout, "hello Drained")
    }))

  it.live("would fail if they had something of it", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(withoutNode(`await import("@effect-listener/testing/BadClients")`))
      assert.include(String(exit), "imports node:")
    }))
})

describe("Interleavings", () => {
  it.live("repeats in another process, from the environment", () =>
    Effect.gen(function*() {
      const first = JSON.parse((yield* run("explore.ts")).stdout)
      const again = JSON.parse((yield* run("explore.ts", { INTERLEAVINGS_SCHEDULE: first.schedule })).stdout)
      assert.isAbove(first.schedules, 1)
      assert.deepStrictEqual(again, { ...first, schedules: 1 })
      const passing = yield* Effect.exit(run("explore.ts", { INTERLEAVINGS_SCHEDULE: "default" }))
      assert.include(String(passing), "no finding")
    }))

  it.live("needs neither vitest nor anything of Node", () =>
    Effect.gen(function*() {
      const program = `import { explore, format } from "@effect-listener/testing/Interleavings"
        import * as Effect from "effect/Effect"
        const { process } = globalThis
        delete globalThis.process
        const report = await Effect.runPromise(explore(Effect.void))
        process.stdout.write(format(report))`
      const { stdout } = yield* withoutNode(program)
      assert.strictEqual(stdout, "1 schedule, exhaustive: no finding")
    }))

  it.live("keeps nothing of 100,000 schedules", () =>
    Effect.gen(function*() {
      const { grown, schedules } = JSON.parse((yield* run("heapGrowth.ts")).stdout)
      assert.strictEqual(schedules, 100_000)
      // Bytes. Less than twenty a schedule: anything kept of each would be more.
      assert.isBelow(grown, 2_000_000)
    }))
})

describe("a test that fails", () => {
  const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs")
  const config = fileURLToPath(new URL("support/vitest/vitest.config.ts", import.meta.url))

  const runVitest = async (environment: Record<string, string>): Promise<string> => {
    const args = [vitest, "run", "--config", config, "--reporter=verbose"]
    const env = { ...process.env, NO_COLOR: "1", ...environment }
    const outcome = await promisify(execFile)(process.execPath, args, { env, timeout: 60_000 }).catch(
      (failure: { readonly stdout: string; readonly stderr: string }) => failure
    )
    return outcome.stdout + outcome.stderr
  }

  it("prints the trace with source lines, and what repeats it", async () => {
    const first = await runVitest({})
    assert.match(first, /InterleavingError: \d+ schedules: Failure/)
    assert.match(first, /fiber 1 +\S*failing\.case\.ts:11:\d+ +\(\) => self\.ref\.current/)
    assert.match(first, /failing\.case\.ts:16:\d+/)
    // A passing test says how much was explored.
    assert.include(first, "1 schedule, exhaustive: no finding")
    const schedule = /INTERLEAVINGS_SCHEDULE=(\S+)/.exec(first)?.[1]
    assert.isDefined(schedule)
    const again = await runVitest({ INTERLEAVINGS_SCHEDULE: schedule! })
    assert.include(again, "InterleavingError: 1 schedule: Failure")
    assert.strictEqual(traceOf(again), traceOf(first))
  })
})

const traceOf = (output: string): string => output.slice(output.indexOf("The schedule"), output.indexOf("To repeat it"))
