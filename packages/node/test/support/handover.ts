/** `programs/handover.ts` as a service that outlives its processes. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { selfSigned } from "./certificates.ts"
import { folder } from "./listening.ts"
import * as Process from "./process.ts"
import type { Protocol, Target } from "./relentless.ts"

const program = new URL("../programs/handover.ts", import.meta.url)

export const badSuccessor = new URL("../programs/badSuccessor.ts", import.meta.url)

export interface Service {
  readonly target: Target
  readonly first: number
  /** The line of a process that has begun to accept, by how many came before. */
  readonly generation: (generation: number) => Effect.Effect<{ readonly pid: number }, Error>
  /** Waits for the line of a process that has handed over. */
  readonly handedOver: (pid: number) => Effect.Effect<Record<string, unknown>, Error>
  /** Waits until a process says that it was not handed over, as often as `count`; answers the reason. */
  readonly failed: (count: number) => Effect.Effect<string, Error>
  /** Fails with what a process says that was not handed over, once more than `failed` has answered. */
  readonly refused: Effect.Effect<never, Error>
  readonly signal: (pid: number, signal: NodeJS.Signals) => Effect.Effect<void>
  /** Asks what is not answered before `release`, and waits until it is asked; the result is the process that answers. */
  readonly hold: Effect.Effect<Effect.Effect<number>, Error>
  readonly release: Effect.Effect<void>
  /** What the next upgrade is started with. */
  readonly next: (options: object) => Effect.Effect<void>
  readonly process: Process.Program
  readonly socket: string
}

export type Kind = Protocol | "rpc" | "two"

/** Starts the first process; the scope ends whatever process there is. */
export const start = (
  kind: Kind,
  options: Parameters<typeof Process.start>[1] = {}
): Effect.Effect<Service, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const directory = yield* folder()
    const at = (name: string) => Path.join(directory, name)
    const pair = selfSigned()
    Fs.writeFileSync(at("key"), pair.key)
    Fs.writeFileSync(at("cert"), pair.cert)
    const process = yield* Process.start(program, {
      ...options,
      env: {
        PROTOCOL: kind,
        NEXT: at("next"),
        RELEASE: at("release"),
        SOCKET: at("socket"),
        TLS_KEY: at("key"),
        TLS_CERT: at("cert"),
        ...options.env
      }
    })
    const pids = new Set<number>()
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const pid of pids) kill(pid, "SIGKILL")
      })
    )
    // whichever process names itself: one that is left would keep the output open
    yield* Effect.forkScoped(Effect.ignore(process.stdout((text) => {
      const { pid }: Record<string, unknown> = JSON.parse(text)
      if (typeof pid === "number") pids.add(pid)
    })))
    const line = (matches: (event: Record<string, unknown>) => boolean) =>
      process.stdout((text) => {
        const event: Record<string, unknown> = JSON.parse(text)
        return matches(event) ? event : undefined
      })
    const generation = (wanted: number) =>
      Effect.map(
        line((event) => event["event"] === "open" && event["generation"] === wanted),
        ({ pid, port }) => ({ pid: Number(pid), port: Number(port) })
      )
    let known = 0
    const failure = (count: number) => {
      let seen = 0
      return process.stderr((text) => text.includes("not handed over") && ++seen === count ? text : undefined)
    }
    const first = yield* generation(0)
    return {
      target: {
        protocol: kind === "rpc" ? "tcp" : kind === "two" ? "http" : kind,
        port: first.port,
        path: kind === "unix" ? at("socket") : undefined
      },
      first: first.pid,
      generation,
      handedOver: (pid) => line((event) => event["event"] === "handed-over" && event["pid"] === pid),
      failed: (count) =>
        Effect.map(failure(count), (text) => {
          known = count
          return /and as it was: upgrade on all: (\w+):/.exec(text)?.[1] ?? text
        }),
      refused: Effect.suspend(() => Effect.flatMap(failure(known + 1), (text) => Effect.fail(new Error(text)))),
      hold: Effect.gen(function*() {
        const answer = fetch(`http://127.0.0.1:${first.port}/hold`).then((response) => response.text())
        yield* process.event("held")
        return Effect.map(Effect.promise(() => answer), Number)
      }),
      release: Effect.sync(() => Fs.writeFileSync(at("release"), "")),
      signal: (pid, signal) => Effect.sync(() => kill(pid, signal)),
      next: (options) => Effect.sync(() => Fs.writeFileSync(at("next"), JSON.stringify(options))),
      process,
      socket: at("socket")
    }
  })

/** A number alone is not enough: the system gives that of a process that has ended to another one. */
const kill = (pid: number, signal: NodeJS.Signals): void => {
  if (runs(pid)) process.kill(pid, signal)
}

/** Whether the process of a test's program still runs. */
export const runs = (pid: number): boolean => {
  try {
    return /test\/programs\/(handover|badSuccessor)\.ts/.test(Fs.readFileSync(`/proc/${pid}/cmdline`, "utf8"))
  } catch {
    return false
  }
}

/** How many descriptors a process has. */
export const descriptors = (pid: number): number => Fs.readdirSync(`/proc/${pid}/fd`).length

/** Hands over `times` times; answers the processes in turn. `between` runs before each. */
export const handOver = (
  service: Service,
  times: number,
  between: Effect.Effect<void> = Effect.void
): Effect.Effect<ReadonlyArray<number>, Error> =>
  Effect.gen(function*() {
    const pids = [service.first]
    for (let generation = 1; generation <= times; generation++) {
      const before = pids.at(-1)!
      yield* between
      yield* service.signal(before, "SIGUSR2")
      const { report } = yield* Effect.raceFirst(service.handedOver(before), service.refused)
      const { pid } = yield* service.generation(generation)
      assert.strictEqual((report as { readonly pid: number }).pid, pid)
      pids.push(pid)
    }
    return pids
  })
