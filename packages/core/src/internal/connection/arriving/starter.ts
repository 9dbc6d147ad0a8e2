/**
 * Which fiber waits for what another one does. `Effect.timeout` runs its effect in
 * a fiber that nothing links to the one that waits for it; a close in it is the
 * handler's own all the same.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/**
 * Whether a fiber is on the stack. Not in Effect's documentation: where it is not there, a close that a handler runs
 * under a time-out waits for that handler, as for any other.
 */
const isRunning = (fiber: Fiber.Fiber<unknown, unknown> & { readonly _running?: unknown }): boolean =>
  fiber._running === true

/**
 * The fibers that wait for this one: they started it within one of their
 * operations, and are still in that operation when other fibers have had a turn.
 * A fiber that has forked it has gone on.
 */
export const waitingFor = (
  started: Fiber.Fiber<unknown, unknown>,
  fibers: ReadonlyArray<Fiber.Fiber<unknown, unknown>>
): Effect.Effect<ReadonlyArray<Fiber.Fiber<unknown, unknown>>> | undefined => {
  const starters = fibers
    .filter((fiber) => fiber !== started && isRunning(fiber))
    .map((fiber) => ({ fiber, operation: fiber.currentOpCount }))
  return starters.length === 0 ? undefined : Effect.map(Effect.yieldNow, () =>
    starters
      .filter(({ fiber, operation }) =>
        fiber.pollUnsafe() === undefined && !isRunning(fiber) && fiber.currentOpCount === operation
      )
      .map(({ fiber }) => fiber))
}
