/** Nothing is left out and nothing is run twice: the schedules of n fibers of k steps are counted. */
import * as Interleavings from "@effect-listener/testing/Interleavings"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

const factorial = (n: number): number => n <= 1 ? 1 : n * factorial(n - 1)

const multinomial = (fibers: number, steps: number): number => factorial(fibers * steps) / factorial(steps) ** fibers

describe("the number of schedules is the multinomial (nk)!/(k!)^n", () => {
  for (let fibers = 1; fibers <= 9; fibers++) {
    for (let steps = 1; fibers * steps <= 9; steps++) {
      it.live(`of ${fibers} fibers of ${steps} steps`, () =>
        Effect.gen(function*() {
          const orders = new Set<string>()
          const program = Effect.gen(function*() {
            let order = ""
            const fiber = (name: number) =>
              Effect.gen(function*() {
                for (let step = 0; step < steps; step++) {
                  yield* Effect.sync(() => {
                    order += name
                  })
                }
              })
            const running: Array<Fiber.Fiber<void>> = []
            for (let name = 0; name < fibers; name++) running.push(yield* Effect.forkChild(fiber(name)))
            for (const fiber of running) yield* Fiber.join(fiber)
            orders.add(order)
          })
          const report = yield* Interleavings.explore(Interleavings.atomic(program), {
            strategy: "bounded",
            bound: Infinity,
            maxSchedules: Infinity,
            points: "sync"
          })
          assert.isTrue(report.exhaustive)
          assert.strictEqual(report.schedules, multinomial(fibers, steps))
          assert.strictEqual(orders.size, multinomial(fibers, steps))
        }), 120_000)
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
