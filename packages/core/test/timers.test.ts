import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { Timers } from "../src/internal/util/timers.ts"

const makeTimers = Effect.map(
  Effect.all([Clock.Clock, Effect.context<never>()]),
  ([clock, context]) => new Timers(clock, context)
)

describe("timers", () => {
  it.effect("what is taken back by a callback of the same millisecond is not called", () =>
    Effect.gen(function*() {
      const timers = yield* makeTimers
      const called: Array<string> = []
      timers.schedule(10, () => {
        called.push("first")
        takeBack()
      })
      const takeBack = timers.schedule(10, () => called.push("second"))
      timers.schedule(10, () => called.push("third"))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(called, ["first", "third"])
    }))

  it.effect("what a callback schedules for the same millisecond stays when another of it is taken back", () =>
    Effect.gen(function*() {
      const timers = yield* makeTimers
      const called: Array<string> = []
      timers.schedule(10, () => {
        timers.schedule(10, () => called.push("later"))
        takeBack()
      })
      const takeBack = timers.schedule(10, () => called.push("never"))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(called, ["later"])
    }))

  it.effect("nothing is called once all is taken back, whatever is being called", () =>
    Effect.gen(function*() {
      const timers = yield* makeTimers
      const called: Array<string> = []
      timers.schedule(10, () => timers.clear())
      timers.schedule(10, () => called.push("second"))
      timers.schedule(11, () => called.push("third"))
      yield* TestClock.adjust(20)
      assert.deepStrictEqual(called, [])
    }))

  it.effect("what is due already is called, and not inside of the call that schedules it", () =>
    Effect.gen(function*() {
      const timers = yield* makeTimers
      yield* TestClock.adjust(10)
      const called: Array<string> = []
      timers.schedule(5, () => called.push("due"))
      assert.deepStrictEqual(called, [])
      yield* Effect.yieldNow
      assert.deepStrictEqual(called, ["due"])
    }))
})
