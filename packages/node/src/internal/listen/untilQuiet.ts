import * as Effect from "effect/Effect"

/** Turns without news after which none is expected. Of two in a row at least one had a whole poll phase. */
const quietTurns = 2

/** Turns the event loop until `over` says so, which is asked each turn with the number and whether it has stopped changing. */
export const untilQuiet = (
  look: () => number,
  over: (seen: number, quiet: boolean) => boolean
): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    let before = look()
    let quiet = 0
    const turn = () => {
      const seen = look()
      quiet = seen === before ? quiet + 1 : 0
      before = seen
      if (over(seen, quiet >= quietTurns)) return resume(Effect.void)
      immediate = setImmediate(turn)
    }
    let immediate = setImmediate(turn)
    return Effect.sync(() => clearImmediate(immediate))
  })
