/** No false alarm: Effect's own primitives under exploration, with interruption. */
import * as Interleavings from "@effect-listener/testing/Interleavings"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Ref from "effect/Ref"
import * as Semaphore from "effect/Semaphore"

const expect = (condition: boolean, message: string): Effect.Effect<void> =>
  condition ? Effect.void : Effect.die(new Error(message))

const programs: Record<string, Effect.Effect<unknown, unknown>> = {
  "Semaphore excludes": Effect.gen(function*() {
    const semaphore = yield* Semaphore.make(1)
    let inside = 0
    const critical = semaphore.withPermits(1)(Effect.gen(function*() {
      inside++
      yield* expect(inside === 1, "two inside")
      yield* Effect.yieldNow
      yield* expect(inside === 1, "two inside")
      inside--
    }))
    const fiber = yield* Effect.forkChild(critical)
    yield* critical
    yield* Fiber.join(fiber)
  }),

  "Semaphore loses no permit when a taker is interrupted": Effect.gen(function*() {
    const semaphore = yield* Semaphore.make(1)
    const first = yield* Effect.forkChild(semaphore.withPermits(1)(Effect.yieldNow))
    const second = yield* Effect.forkChild(semaphore.withPermits(1)(Effect.void))
    yield* Fiber.interrupt(second)
    yield* Fiber.join(first)
    yield* semaphore.withPermits(1)(Effect.void)
  }),

  "Queue loses nothing when a taker is interrupted": Effect.gen(function*() {
    const queue = yield* Queue.unbounded<number>()
    const taken: Array<number> = []
    const take = Effect.uninterruptibleMask((restore) =>
      Effect.map(restore(Queue.take(queue)), (value) => {
        taken.push(value)
      })
    )
    const taker = yield* Effect.forkChild(take)
    yield* Effect.forkChild(Queue.offer(queue, 1))
    yield* Fiber.interrupt(taker)
    if (taken.length === 0) yield* take
    yield* expect(taken.length === 1, `took ${taken.length}`)
  }),

  "bounded Queue hands over in order": Effect.gen(function*() {
    const queue = yield* Queue.bounded<number>(1)
    const producer = yield* Effect.forkChild(Effect.andThen(Queue.offer(queue, 1), Queue.offer(queue, 2)))
    const values = [yield* Queue.take(queue), yield* Queue.take(queue)]
    yield* Fiber.join(producer)
    yield* expect(values.join() === "1,2", `took ${values.join()}`)
  }),

  "Latch wakes all": Effect.gen(function*() {
    const latch = yield* Latch.make()
    const waiters = [yield* Effect.forkChild(latch.await), yield* Effect.forkChild(latch.await)]
    yield* latch.open
    for (const waiter of waiters) yield* Fiber.join(waiter)
  }),

  "Deferred is completed once": Effect.gen(function*() {
    const deferred = yield* Deferred.make<number>()
    const waiter = yield* Effect.forkChild(Deferred.await(deferred))
    const other = yield* Effect.forkChild(Deferred.succeed(deferred, 1))
    const mine = yield* Deferred.succeed(deferred, 2)
    const others = yield* Fiber.join(other)
    const value = yield* Fiber.join(waiter)
    yield* expect(mine !== others && value === (mine ? 2 : 1), `${mine} ${others} ${value}`)
  }),

  "FiberSet interrupts its fibers": Effect.gen(function*() {
    const ended = yield* Ref.make(0)
    yield* Effect.scoped(Effect.gen(function*() {
      const set = yield* FiberSet.make<void>()
      yield* FiberSet.run(set, Effect.onExit(Effect.never, () => Ref.update(ended, (n) => n + 1)))
      yield* FiberSet.run(set, Effect.void)
      yield* Effect.yieldNow
    }))
    // The first may have been interrupted before it began.
    yield* expect((yield* Ref.get(ended)) <= 1, "ended twice")
  }),

  "FiberSet waits until it is empty": Effect.scoped(Effect.gen(function*() {
    const done = yield* Ref.make(0)
    const set = yield* FiberSet.make<void>()
    yield* FiberSet.run(set, Effect.andThen(Effect.yieldNow, Ref.update(done, (n) => n + 1)))
    yield* FiberSet.run(set, Ref.update(done, (n) => n + 1))
    yield* FiberSet.awaitEmpty(set)
    yield* expect((yield* Ref.get(done)) === 2, "empty too early")
  })),

  "PubSub publishes to every subscriber": Effect.scoped(Effect.gen(function*() {
    const hub = yield* PubSub.unbounded<number>()
    const [first, second] = [yield* PubSub.subscribe(hub), yield* PubSub.subscribe(hub)]
    const taker = yield* Effect.forkChild(PubSub.take(first))
    yield* PubSub.publish(hub, 1)
    const values = [yield* Fiber.join(taker), yield* PubSub.take(second)]
    yield* expect(values.join() === "1,1", values.join())
  })),

  "a race ends with its loser's finalizer": Effect.gen(function*() {
    let acquired = 0
    let released = 0
    const loser = Effect.acquireUseRelease(
      Effect.sync(() => acquired++),
      () => Effect.never,
      () => Effect.sync(() => released++)
    )
    yield* Effect.raceFirst(loser, Effect.yieldNow)
    yield* expect(acquired === released, `acquired ${acquired}, released ${released}`)
  }),

  "an interruption is seen as one": Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.yieldNow)
    yield* Fiber.interrupt(fiber)
    const exit = yield* Fiber.await(fiber)
    yield* expect(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause), "neither ended nor interrupted")
  })
}

describe("Interleavings of Effect's primitives", () => {
  for (const [name, program] of Object.entries(programs)) {
    it.live(name, () =>
      Effect.gen(function*() {
        const report = yield* Interleavings.explore(program)
        assert.isTrue(Option.isNone(report.finding), Option.getOrUndefined(report.finding)?.message)
        assert.isTrue(report.exhaustive, Interleavings.format(report))
        // The schedules with up to two preemptions, and others by chance.
        assert.strictEqual(report.schedules, 10_000)
      }))
  }
})
