import * as Effect from "effect/Effect"
import { afterWholeReading, turns } from "../platform/eventLoop.ts"
import { Wakers } from "./wakers.ts"

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
