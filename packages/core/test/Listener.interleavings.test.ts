import { Listener } from "@effect-listener/core"
import { Interleavings, MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import { combinations, type EventName, program } from "./support/combinations.ts"

/** The budget of one combination here; `npm run test:long` has six times as much, `pnpm interleavings` a million in all. */
const maxSchedules = 10

describe("whatever the order", () => {
  for (const combination of combinations) {
    it.live(combination.join(", "), () =>
      Effect.gen(function*() {
        const report = yield* Interleavings.check(program(combination), { maxSchedules })
        assert.isTrue(report.exhaustive || report.schedules >= maxSchedules, Interleavings.format(report))
      }))
  }
})

/**
 * A race is named by the operations that race: the numbers of a schedule would
 * mean another order after any change. Each was found again within 600 schedules
 * when its fault was put back.
 */
const noRace = (program: Effect.Effect<unknown, unknown, Scope.Scope>) =>
  Interleavings.check(program, { maxSchedules: 600 })

describe("races that were found and are no more", () => {
  const races: ReadonlyArray<readonly [what: string, operations: ReadonlyArray<EventName>]> = [
    // the bind waited for the release before it, read after its own cancellation had become that release
    ["an open cancelled before its bind had begun waited for itself", ["interrupt open", "interrupt close"]],
    // the close looked for its report again, when a reset had begun the next life
    ["a close of what was never open waited for the next life's", ["open", "close", "reset"]],
    // what had been given to an accept and was cut before it was owned began anew, and ended again
    ["a connection cut on its way to an accept ended twice", ["accept", "abort", "connection ends"]],
    // the waiter was resumed inside the publication of the report, whose rest then ended the next life's serve
    ["a serve begun by the end of a life ended with the report of that life", ["close", "next lifetime"]],
    // accepts were failed before the abort had cut, and its rest failed the next life's serve
    ["a serve begun by an abort failed with that abort", ["abort", "accept until it fails"]]
  ]
  for (const [what, operations] of races) it.live(what, () => noRace(program(operations)))

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

  it.live("a connection handed to an accept that is interrupted there was lost", () => noRace(handOver))
})
