import * as Effect from "effect/Effect"
import { performance } from "node:perf_hooks"
import { Wakers } from "./wakers.ts"

/**
 * Calls a function when one whole poll phase has passed, wherever the call comes from.
 *
 * A turn runs due timers, then polls, then runs immediates: the first immediate
 * comes after a whole poll phase where it comes in a later turn, else the second
 * does.
 */
export const afterWholeReading = (judge: () => void, firstImmediate: () => void = () => {}): void => {
  const turn = turns()
  setImmediate(() => {
    firstImmediate()
    if (turn !== undefined && turns() !== turn) judge()
    else setImmediate(judge)
  })
}

/** How many turns the event loop has begun, where this runtime says so. */
const turns = (): number | undefined => performance.nodeTiming.uvMetricsInfo?.loopCount

/** Whole poll phases of the event loop, shared by all that wait for one from the same turn on. */
export class PollPhase {
  private waiting: Wakers | undefined
  private turn: number | undefined

  /** Completes when one whole poll phase has passed since the call. */
  readonly passed: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const group = this.turn === turns() ? this.waiting ?? this.begin() : this.begin()
    return group.wait(() => resume(Effect.void))
  })

  private begin(): Wakers {
    const group = new Wakers()
    this.waiting = group
    this.turn = turns()
    afterWholeReading(() => group.wake(), () => {
      if (this.waiting === group) this.waiting = undefined
    })
    return group
  }
}
