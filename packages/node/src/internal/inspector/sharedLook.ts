import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/**
 * A look that many share: while one is under way, and for `millis`
 * after it, all get the same. An interruption of one of them stops its waiting,
 * not the look.
 */
export const shared = <A>(look: Effect.Effect<A>, millis: number): Effect.Effect<A> => {
  let latest: Fiber.Fiber<A> | undefined
  let until = Infinity
  return Effect.contextWith((context) => {
    if (latest === undefined || performance.now() >= until) {
      until = Infinity
      latest = Effect.runForkWith(context)(look)
      latest.addObserver(() => {
        until = performance.now() + millis
      })
    }
    return Fiber.join(latest)
  })
}
