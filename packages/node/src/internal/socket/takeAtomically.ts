import * as Effect from "effect/Effect"

const nothing: unique symbol = Symbol("nothing to take")

/**
 * Takes an item and gives it to the caller in one step, or goes on with
 * `otherwise` when `take` has none.
 *
 * A fiber can be made to yield between any two primitives, and can be
 * interrupted there: an item taken in one primitive and returned by the next
 * would be lost. `Effect.sync` passes its value straight to what follows, and a
 * frame that only catches is skipped on the way; so there is no moment at which
 * an item is out of its queue and not yet in the caller's hands. "Nothing" is
 * thrown, because a value would have to be looked at in a step of its own.
 */
export const takeAtomically = <A, E>(
  take: () => A | undefined,
  otherwise: () => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.catchDefect(
    Effect.sync(() => {
      const item = take()
      if (item === undefined) throw nothing
      return item
    }),
    (defect) => defect === nothing ? otherwise() : Effect.die(defect)
  )
