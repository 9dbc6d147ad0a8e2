import * as Effect from "effect/Effect"
import { Wakers } from "./wakers.ts"

/**
 * Whole poll phases of the event loop, shared by all that wait for one.
 *
 * A turn runs due timers, then polls, then runs immediates. Called from a timer
 * the first immediate comes after a whole poll phase; called while polling, the
 * sockets of that phase were chosen before the call, and only the second
 * immediate comes after a whole one. So two immediates, wherever the call comes
 * from; calls that come before the first of them has fired share both.
 */
export class PollPhase {
  private waiting: Wakers | undefined

  /** Completes when one whole poll phase has passed since the call. */
  readonly passed: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const group = this.waiting ?? this.begin()
    return group.wait(() => resume(Effect.void))
  })

  private begin(): Wakers {
    const group = new Wakers()
    this.waiting = group
    setImmediate(() => {
      this.waiting = undefined
      setImmediate(() => group.wake())
    })
    return group
  }
}
