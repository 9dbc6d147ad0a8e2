import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Waiters } from "../src/internal/util/waiters.ts"
import { start } from "./support/listening.ts"

const make = Effect.sync(() => {
  const found: Array<Fiber.Fiber<unknown, unknown>> = []
  const waiters = new Waiters({ runFork: Effect.runFork, found: (fiber) => found.push(fiber) })
  return { found, waiters }
})

const turns = Effect.forEach([1, 2, 3], () => Effect.yieldNow, { discard: true })

describe("fibers that wait", () => {
  it.effect("are found with those that wait for them, and forgotten with them", () =>
    Effect.gen(function*() {
      const { found, waiters } = yield* make
      const first = yield* start(Effect.never)
      waiters.add(first)
      const second = yield* start(Fiber.join(first))
      const third = yield* start(Fiber.await(second))
      assert.deepStrictEqual([first, second, third].map(waiters.has), [true, false, false])
      yield* turns
      assert.deepStrictEqual([first, second, third].map(waiters.has), [true, true, true])
      assert.deepStrictEqual(found, [second, third])
      waiters.remove(first)
      assert.deepStrictEqual([first, second, third].map(waiters.has), [false, false, false])
      assert.strictEqual(waiters.size, 0)
    }))

  it.effect("are not those that observe and go on", () =>
    Effect.gen(function*() {
      const { found, waiters } = yield* make
      const first = yield* start(Effect.never)
      waiters.add(first)
      const observer = yield* start(
        Effect.andThen(Effect.sync(() => first.addObserver(() => {})), Effect.never)
      )
      yield* turns
      assert.isFalse(waiters.has(observer))
      assert.deepStrictEqual(found, [])
      assert.strictEqual(waiters.size, 1)
    }))

  it.effect("wait as often as they have been added", () =>
    Effect.gen(function*() {
      const { waiters } = yield* make
      const fiber = yield* start(Effect.never)
      waiters.add(fiber)
      waiters.add(fiber)
      waiters.remove(fiber)
      assert.isTrue(waiters.has(fiber))
      waiters.remove(fiber)
      waiters.remove(fiber)
      assert.isFalse(waiters.has(fiber))
    }))

  it.effect("that wait for two of them wait until both are over, and are found once", () =>
    Effect.gen(function*() {
      const { found, waiters } = yield* make
      const fibers = yield* Effect.forEach([1, 2], () => start(Effect.never))
      for (const fiber of fibers) waiters.add(fiber)
      const both = yield* start(Effect.callback<void>(() => {
        for (const fiber of fibers) fiber.addObserver(() => {})
      }))
      yield* turns
      assert.deepStrictEqual(found, [both])
      for (const fiber of fibers) {
        assert.isTrue(waiters.has(both))
        waiters.remove(fiber)
      }
      assert.isFalse(waiters.has(both))
    }))

  it.effect("are as they were when nothing watches them any more, and still tell their observers", () =>
    Effect.gen(function*() {
      const one = yield* make
      const other = yield* make
      const first = yield* start(Effect.never)
      const { addObserver } = first
      for (const { waiters } of [one, other]) waiters.add(first)
      const second = yield* start(Fiber.await(first))
      yield* turns
      assert.deepStrictEqual([one.found, other.found], [[second], [second]])
      one.waiters.remove(first)
      assert.isTrue(other.waiters.has(second))
      other.waiters.remove(first)
      for (const fiber of [first, second]) {
        assert.isFalse(Object.hasOwn(fiber, "addObserver"))
        assert.strictEqual(fiber.addObserver, addObserver)
      }
      yield* Fiber.interrupt(first)
      yield* Fiber.join(second)
    }))
})
