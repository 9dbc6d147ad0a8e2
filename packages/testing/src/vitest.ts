/**
 * `it.interleavings` for vitest: a test that passes when no interleaving of an
 * effect's fibers fails.
 *
 * It is a module of its own so that `Interleavings` does not need vitest.
 *
 * **Example** (With vitest)
 *
 * ```ts no-run: needs vitest
 * import { it } from "@effect-listener/testing/vitest"
 * import { Effect, Ref } from "effect"
 *
 * it.interleavings("counts both", Effect.gen(function*() {
 *   const counter = yield* Ref.make(0)
 *   const increment = Ref.update(counter, (n) => n + 1)
 *   yield* Effect.all([increment, increment], { concurrency: 2 })
 *   const value = yield* Ref.get(counter)
 *   if (value !== 2) return yield* Effect.fail(`counted ${value}`)
 * }))
 * ```
 *
 * **Example** (With `@effect/vitest`)
 *
 * ```ts no-run: needs vitest
 * import { extend } from "@effect-listener/testing/vitest"
 * import * as EffectVitest from "@effect/vitest"
 * import { Effect } from "effect"
 *
 * const it = extend(EffectVitest.it)
 *
 * it.effect("still there", () => Effect.void)
 * it.interleavings("and this", Effect.void)
 * ```
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { TestContext, TestOptions } from "vitest"
import * as Vitest from "vitest"
import * as Interleavings from "./Interleavings.ts"

/**
 * Options of an exploration, and vitest's `timeout` in ms; default 60,000.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface Options extends Interleavings.Options {
  readonly timeout?: number | undefined
}

/**
 * Registers a test that explores the interleavings of an effect.
 *
 * **Details**
 *
 * It fails with the shortest schedule found, and prints how to repeat it. The
 * environment variable repeats it in every such test: select one by `-t`. A
 * test that passes is annotated with the number of schedules and whether they
 * were exhaustive. `fails` is for a program that is known to be wrong.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Tester {
  <A, E>(name: string, effect: Effect.Effect<A, E, Scope.Scope>, options?: Options): void
  readonly only: Tester["fails"]
  readonly skip: Tester["fails"]
  readonly fails: <A, E>(name: string, effect: Effect.Effect<A, E, Scope.Scope>, options?: Options) => void
}

/**
 * What {@link extend} adds to an `it`.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Methods {
  readonly interleavings: Tester
}

type Register = (name: string, options: TestOptions, test: (context: TestContext) => Promise<void>) => void

/**
 * Any `it` with `interleavings` added, such as that of `@effect/vitest`. The
 * given one stays as it is.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const extend = <It extends Vitest.TestAPI<object>>(it: It): It & Methods => {
  const interleavings = Object.assign(register(it), {
    only: register(it.only),
    skip: register(it.skip),
    fails: register(it.fails)
  })
  return new Proxy(it, {
    get: (target, property, receiver) =>
      property === "interleavings" ? interleavings : Reflect.get(target, property, receiver) as unknown
  }) as It & Methods // what the proxy adds
}

const register = (test: Register): Tester["fails"] => (name, effect, { timeout = 60_000, ...options } = {}) =>
  test(name, { timeout }, async ({ annotate, signal }) => {
    const report = await Effect.runPromise(Interleavings.check(effect, options), { signal })
    await annotate(Interleavings.format(report))
  })

/**
 * Vitest's `it` with `interleavings`.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const it: Vitest.TestAPI & Methods = extend(Vitest.it)
