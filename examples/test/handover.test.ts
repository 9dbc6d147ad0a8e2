import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { launch } from "./support/httpExample.ts"

/** The process that a new client reaches. */
const pidAt = (port: number) =>
  Effect.promise(() =>
    fetch(`http://127.0.0.1:${port}/pid`, { headers: { connection: "close" } }).then((response) => response.text())
  )

describe("examples/handover.ts", { tags: ["bound-sockets"] }, () => {
  it.live(
    "is replaced by SIGUSR2: the predecessor's last line tells it, and the successor has the port",
    () =>
      Effect.gen(function*() {
        const program = yield* launch({}, "handover.ts")
        const port = yield* program.port
        assert.strictEqual(yield* pidAt(port), String(program.pid))
        yield* program.signal("SIGUSR2")
        const { report } = yield* program.event("handed-over")
        const { drain, generation, pid, sockets } = report as {
          readonly pid: number
          readonly generation: number
          readonly sockets: ReadonlyArray<object>
          readonly drain: { readonly queue: string }
        }
        assert.strictEqual(generation, 1)
        assert.deepStrictEqual(sockets, [{ name: "http", address: `127.0.0.1:${port}` }])
        assert.strictEqual(drain.queue, "left")
        assert.strictEqual(yield* pidAt(port), String(pid))
        process.kill(pid, "SIGTERM")
        const exit = yield* program.exit
        assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
        // the successor's first line may come before the predecessor's last two
        const events = exit.stdout.map((line) => (JSON.parse(line) as { readonly event: string }).event)
        assert.deepStrictEqual(events.toSorted(), ["closed", "closed", "handed-over", "open", "open"])
        assert.strictEqual(events.at(-1), "closed")
        assert.isAbove(events.indexOf("handed-over"), events.indexOf("closed"))
      })
  )
})
