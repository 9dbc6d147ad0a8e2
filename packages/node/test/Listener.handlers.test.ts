import * as Listener from "@effect-listener/core/Listener"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import { answerLines } from "./support/handlers.ts"
import { connect, kinds, listen, start, untilStage } from "./support/listening.ts"
import { ask } from "./support/netClient.ts"

/** What was logged as an error: about which connection, and why. */
interface Entry {
  readonly connection: unknown
  readonly cause: string
}

const collector = () => {
  const entries: Array<Entry> = []
  const logger = Logger.make(({ cause, fiber, logLevel }) => {
    if (logLevel !== "Error") return
    entries.push({
      connection: fiber.getRef(References.CurrentLogAnnotations)["connection"],
      cause: Cause.pretty(cause)
    })
  })
  return { entries, layer: Logger.layer([logger]) }
}

const failures = [
  { how: "fails", failing: Effect.fail("no such row"), cause: "no such row" },
  { how: "dies", failing: Effect.die(new Error("a bug")), cause: "a bug" }
]

describe.each(kinds)("a handler, $name", (kind) => {
  it.live.each(failures)("that $how ends its own connection only, and is logged with it", ({ cause, failing }) => {
    const { entries, layer } = collector()
    return Effect.gen(function*() {
      const listener = yield* listen(kind)
      const handler = answerLines((line): Effect.Effect<string, string> =>
        line === "bad" ? failing : Effect.succeed(line)
      )
      const serving = yield* start(Listener.serve(listener, handler, { idle: "pull" }))
      const good = yield* connect(listener)
      const bad = yield* connect(listener)
      assert.strictEqual(yield* ask(good, "before"), "before")
      yield* bad.send("bad\n")
      assert.deepStrictEqual(yield* bad.rest, { lines: [], ending: "FIN" })

      assert.strictEqual(entries.length, 1)
      assert.include(entries[0]?.cause, cause)
      assert.match(String(entries[0]?.connection), kind.name === "TCP" ? /^#2 127\.0\.0\.1:\d+ tcp/ : /^#2 .* unix/)
      assert.strictEqual(yield* ask(good, "after"), "after")
      assert.strictEqual(yield* ask(yield* connect(listener), "new"), "new")
      assert.strictEqual(yield* listener.state, "Open")
      assert.isUndefined(serving.pollUnsafe())
      assert.strictEqual((yield* listener.close()).connections.idle, 2)
    }).pipe(Effect.provide(layer))
  })

  it.live.each(failures)(
    "that $how during a drain is counted failed, and the drain is none the worse",
    ({ failing }) => {
      const { entries, layer } = collector()
      return Effect.gen(function*() {
        const listener = yield* listen(kind)
        const released = yield* Latch.make()
        const handler = answerLines((line): Effect.Effect<string, string> =>
          Effect.andThen(released.await, line === "bad" ? failing : Effect.succeed(line))
        )
        yield* start(Listener.serve(listener, handler, { idle: "pull" }))
        const good = yield* connect(listener)
        const bad = yield* connect(listener)
        yield* good.send("good\n")
        yield* bad.send("bad\n")
        const closing = yield* start(listener.close())
        yield* untilStage(listener, "Draining")
        yield* released.open
        const report = yield* Fiber.join(closing)
        assert.strictEqual(report.outcome, "Drained")
        const { drained, failed, total } = report.connections
        assert.deepStrictEqual({ drained, failed, total }, { drained: 1, failed: 1, total: 2 })
        assert.deepStrictEqual(yield* good.rest, { lines: ["good"], ending: "FIN" })
        assert.deepStrictEqual(yield* bad.rest, { lines: [], ending: "FIN" })
        assert.strictEqual(entries.length, 1)
      }).pipe(Effect.provide(layer))
    }
  )
})
