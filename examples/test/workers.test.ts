import type { ReplaceReport, WorkersReport } from "@effect-listener/node/NodeWorkers"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Example from "./support/httpExample.ts"

/** The processes that answer `requests` requests, each on a connection of its own. */
const pids = (port: number, requests: number): Effect.Effect<ReadonlySet<string>> =>
  Effect.map(
    Effect.forEach(Array.from({ length: requests }), () =>
      Effect.promise(async () => {
        const response = await fetch(`http://127.0.0.1:${port}/pid`, { headers: { connection: "close" } })
        return response.text()
      }), { concurrency: 8 }),
    (all) => new Set(all)
  )

describe("examples/workers.ts", { tags: ["bound-sockets"] }, () => {
  it.live("answers by its workers, replaces them at SIGUSR2 and SIGHUP, and ends with one report", () =>
    Effect.gen(function*() {
      const program = yield* Example.launch({ WORKERS: "2", ADMIN_PORT: "" }, "workers.ts")
      const open = yield* program.event("open")
      const port = Number(open["port"])
      assert.strictEqual(open["address"], `127.0.0.1:${port}`)
      const before = yield* pids(port, 64)
      assert.isFalse(before.has(String(program.pid)))

      const replaced = (number: number): Effect.Effect<ReplaceReport, Error> => {
        let seen = 0
        return program.stdout((line) => {
          const event: { readonly event: string; readonly report: ReplaceReport } = JSON.parse(line)
          return event.event === "replaced" && ++seen === number ? event.report : undefined
        })
      }
      let generation = before
      for (const [i, signal] of (["SIGUSR2", "SIGHUP"] as const).entries()) {
        yield* program.signal(signal)
        const report = yield* replaced(i + 1)
        assert.isNull(report.failure)
        assert.strictEqual(report.replaced.length, 2)
        const after = yield* pids(port, 64)
        assert.deepStrictEqual([...after].filter((pid) => generation.has(pid)), [])
        generation = after
      }

      const { admin } = open["ports"] as { readonly admin: number }
      const text = (path: string) =>
        Effect.promise(async () => (await fetch(`http://127.0.0.1:${admin}${path}`)).text())
      assert.match(yield* text("/listeners/page"), /<title>/)
      assert.strictEqual(yield* text("/readyz"), "ok\n")
      assert.match(yield* text("/metrics"), /listener_connections_accepted_total\{worker="1",listener="http"\} \d+/)

      yield* program.signal("SIGTERM")
      const { code, stdout } = yield* program.exit
      assert.strictEqual(code, 0)
      const { event, report } = JSON.parse(stdout.at(-1) ?? "") as {
        readonly event: string
        readonly report: WorkersReport
      }
      assert.strictEqual(event, "closed")
      assert.deepStrictEqual([report.reason, report.outcome, report.processes], ["SIGTERM", "Drained", 6])
      // each request was a connection
      assert.strictEqual(report.accepted, 3 * 64)
    }))

  it.live("what outlives the deadline in a worker is named, and the code is 124", () =>
    Effect.gen(function*() {
      const program = yield* Example.launch({ WORKERS: "1", DRAIN_DEADLINE_MS: "500" }, "workers.ts")
      const port = yield* program.port
      const client = new AbortController()
      const never = fetch(`http://127.0.0.1:${port}/never`, { signal: client.signal }).catch(() => "cut")
      yield* Effect.addFinalizer(() => Effect.sync(() => client.abort()))
      const { admin } = (yield* program.event("open"))["ports"] as { readonly admin: number }
      const inFlight = Effect.promise(async () => (await fetch(`http://127.0.0.1:${admin}/listeners`)).text())
      yield* Effect.repeat(inFlight, { until: (text) => text.includes("GET /never") })
      yield* program.signal("SIGTERM")
      const { code, stderr, stdout } = yield* program.exit
      assert.strictEqual(code, 124)
      assert.strictEqual(yield* Effect.promise(() => never), "cut")
      assert.match(stderr.join("\n"), /http of worker 0: cut #1 127\.0\.0\.1:\d+ http\/1\.1 Active, GET \/never/)
      const { report } = JSON.parse(stdout.at(-1) ?? "") as { readonly report: WorkersReport }
      assert.strictEqual(report.outcome, "DeadlineExceeded")
    }))

  it.live.each([
    [{ WORKERS: "0" }, /WORKERS/],
    [{ WORKERS: "many" }, /WORKERS/],
    [{ TLS_KEY: "/nowhere" }, /TLS_KEY/],
    [{ HOST: "192.0.2.1" }, /192\.0\.2\.1/]
  ])("a bad value ends it with 1: %o", ([env, named]) =>
    Effect.gen(function*() {
      const program = yield* Example.launch(env as Record<string, string>, "workers.ts")
      const { code, stderr, stdout } = yield* program.exit
      assert.strictEqual(code, 1)
      assert.match(stderr.join("\n"), named as RegExp)
      assert.deepStrictEqual(stdout, [])
    }))
})
