/**
 * What exploration reads of Effect's primitives, and nothing else does.
 *
 * `evaluate` is declared by `Tracer.EffectPrimitive`. The names of operations
 * are what every effect shows in `toJSON()`, and `register`, the function given
 * to `Effect.callback`, is only read to describe where a fiber waits.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Tracer from "effect/Tracer"

/** One operation of a fiber, as `Tracer.context` is given it. */
export type Primitive<X = unknown> = Tracer.EffectPrimitive<X>

export type AnyFiber = Fiber.Fiber<unknown, unknown>

interface Described {
  readonly "~effect/Effect/identifier": string
  readonly "~effect/Effect/args"?: unknown
  readonly register?: unknown
}

export const operationOf = (primitive: Primitive): string => described(primitive)["~effect/Effect/identifier"]

// every primitive carries these fields; `EffectPrimitive` declares only the one it evaluates by.
const described = (primitive: Primitive): Described => primitive as unknown as Described

/** The source text of the function an operation was made from, where there is one. */
export const sourceOf = (primitive: Primitive): string | undefined => {
  const code = described(primitive)["~effect/Effect/args"] ?? described(primitive).register
  return typeof code === "function" ? Function.prototype.toString.call(code) : undefined
}

export const evaluate = <X>(primitive: Primitive<X>, fiber: AnyFiber): X => primitive["~effect/Effect/evaluate"](fiber)

/** Evaluates, instead of `primitive`, a yield with `primitive` after it: what the run loop does when `shouldYield` says so. */
export const yieldBefore = <X>(primitive: Primitive<X>, fiber: AnyFiber): X =>
  // an effect is a primitive, and the run loop evaluates what it is given back whatever it is.
  evaluate(
    Effect.flatMap(Effect.yieldNow, () => primitive as unknown as Effect.Effect<unknown>) as unknown as Primitive<X>,
    fiber
  )

/**
 * Operations that only push a continuation onto their own fiber's stack. No
 * other fiber can tell whether it ran before or after them, so a schedule that
 * preempts there is the same as one that preempts at the next operation.
 * (`OnExit` is not one of them: an interruption before it skips its finalizer.)
 */
export const isInvisible = (operation: string): boolean =>
  operation === "OnSuccess" || operation === "OnFailure" || operation === "OnSuccessAndFailure" ||
  operation === "Exit" || operation === "YieldableError" || operation === "Yield"

/** Fails loudly where Effect's primitives are not those this was written for. */
export const assertSupported = (): void => {
  const expected: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]> = [
    ["Sync", Effect.sync(() => 0)],
    ["Async", Effect.callback(() => {})],
    ["Yield", Effect.yieldNow],
    ["Success", Effect.succeed(0)],
    ["OnSuccess", Effect.flatMap(Effect.yieldNow, () => Effect.void)]
  ]
  for (const [name, effect] of expected) {
    const primitive = effect as unknown as Primitive
    if (operationOf(primitive) !== name || typeof primitive["~effect/Effect/evaluate"] !== "function") {
      throw new Error(
        `Interleavings: this version of effect has no primitive "${name}"; exploration was written for effect 4.1`
      )
    }
  }
}
