import { Listener } from "@effect-listener/core"
import { Interleavings, MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, type Scope } from "effect"
import { combinations, type EventName, program } from "./support/combinations.ts"

/** The budget of one combination here; `npm run test:long` has ten times as much, `pnpm interleavings` a million in all. */
const maxSchedules = 40

describe("whatever the order", () => {
  for (const combination of combinations) {
    it.live(combination.join(", "), () =>
      Effect.gen(function*() {
        const report = yield* Interleavings.check(program(combination), { maxSchedules })
        assert.isTrue(report.exhaustive || report.schedules >= maxSchedules, Interleavings.format(report))
      }))
  }
})

/** In the order in which it was found; and by chance, for when the code has changed and that is another order. */
const noRace = Effect.fnUntraced(function*(program: Effect.Effect<unknown, unknown, Scope.Scope>, schedule: string) {
  for (const options of [{ schedule }, { strategy: "random", maxSchedules: 500 }] as const) {
    const { finding } = yield* Interleavings.explore(program, options)
    assert.strictEqual(Option.getOrUndefined(finding)?.message, undefined)
  }
})

describe("races that were found and are no more", () => {
  const replays: ReadonlyArray<readonly [what: string, combination: ReadonlyArray<EventName>, schedule: string]> = [
    // the bind waited for the release before it, read after its own cancellation had become that release
    ["an open cancelled before its bind had begun waited for itself", ["interrupt open", "interrupt close"], "34,44"],
    // the close looked for its report again, when a reset had begun the next life
    ["a close of what was never open waited for the next life's", ["open", "close", "reset"], "33,40"],
    // what had been given to an accept and was cut before it was owned began anew, and ended again
    ["a connection cut on its way to an accept ended twice", ["accept", "abort", "connection ends"], "86"]
  ]
  for (const [what, combination, schedule] of replays) it.live(what, () => noRace(program(combination), schedule))

  // the fiber had been given the connection, and was interrupted before it was a finalizer of its scope
  const handOver = Effect.gen(function*() {
    const transport = yield* MemoryTransport.make()
    const listener = yield* Interleavings.atomic(
      Listener.listen(transport, { drain: { idleGrace: 0, linger: { idle: 0 } } })
    )
    const first = yield* Effect.forkChild(Effect.scoped(listener.accept))
    const second = yield* Effect.forkChild(Effect.scoped(listener.accept))
    const client = yield* transport.connect
    yield* Fiber.interrupt(first)
    // the next in line has it, or it was ended with the scope of the first
    yield* Effect.raceFirst(Fiber.join(second), client.ended)
    yield* Fiber.interrupt(second)
  })

  it.live("a connection handed to an accept that is interrupted there belonged to nobody", () =>
    noRace(handOver, "76,82"))
})
