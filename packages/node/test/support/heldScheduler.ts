/** A scheduler whose fibers yield before each operation, and go on when the test says so. */
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"

class EveryOperation extends Scheduler.MixedScheduler {
  private letThrough = 0

  // the two operations after a yield are its own end, and the one it was put before
  override shouldYield(): boolean {
    if (this.letThrough-- > 0) return false
    this.letThrough = 2
    return true
  }
}

export interface HeldScheduler {
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Lets fibers do this number of operations. */
  readonly step: (operations: number) => void
  /** Lets fibers go on until all of them have ended, or wait for something else. */
  readonly release: () => void
}

export const make = (): HeldScheduler => {
  const held: Array<() => void> = []
  const scheduler = new EveryOperation("async", (goOn) => {
    held.push(goOn)
    return () => {}
  })
  const step = () => {
    for (const goOn of held.splice(0)) goOn()
  }
  return {
    run: Effect.provideService(Scheduler.Scheduler, scheduler),
    step: (operations) => {
      for (let i = 0; i < operations; i++) step()
    },
    release: () => {
      while (held.length > 0) step()
    }
  }
}
