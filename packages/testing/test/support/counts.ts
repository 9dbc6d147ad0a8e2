/** All schedules of fibers that do nothing but take turns, counted. */
import * as Interleavings from "@effect-listener/testing/Interleavings"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

const factorial = (n: number): number => n <= 1 ? 1 : n * factorial(n - 1)

const multinomial = (fibers: number, steps: number): number => factorial(fibers * steps) / factorial(steps) ** fibers

/** Each is run once: as many orders are seen as there are. */
export const countsAll = (fibers: number, steps: number): Effect.Effect<void> =>
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
  })
