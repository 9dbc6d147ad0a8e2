/** Nothing is left out and nothing is run twice: the schedules of n fibers of k steps are counted. */
import * as Interleavings from "@effect-listener/testing/Interleavings"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { countsAll } from "./support/counts.ts"

describe("the number of schedules is the multinomial (nk)!/(k!)^n", () => {
  // 9 fibers have 362,880: those are in the long tests
  for (let fibers = 1; fibers <= 8; fibers++) {
    for (let steps = 1; fibers * steps <= 9; steps++) {
      it.live(`of ${fibers} fibers of ${steps} steps`, () => countsAll(fibers, steps))
    }
  }
})

it.live("a turn that is no longer needed is no choice", () =>
  Effect.gen(function*() {
    const program = Effect.gen(function*() {
      const interrupted = yield* Effect.forkChild(Effect.yieldNow, { startImmediately: true })
      const others = [yield* Effect.forkChild(Effect.void), yield* Effect.forkChild(Effect.void)]
      yield* Fiber.interrupt(interrupted)
      for (const fiber of others) yield* Fiber.join(fiber)
    })
    const report = yield* Interleavings.explore(Interleavings.atomic(program), { strategy: "bounded", bound: 0 })
    assert.strictEqual(report.schedules, 2)
  }))
