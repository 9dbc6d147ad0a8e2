import * as Effect from "effect/Effect"

/**
 * Something that changed and is worth another look. Level-triggered: a waiter
 * names a condition, which is checked when waiting starts and again at every
 * `notify`, so no wake-up can be lost.
 */
export class Signal {
  private readonly waiters = new Set<() => void>()

  /** Lets all waiters look at their conditions again. */
  notify(): void {
    if (this.waiters.size === 0) return
    // a copy: a waiter that resumes may wait again before this loop is over
    for (const look of Array.from(this.waiters)) look()
  }

  /** Waits until the condition holds. */
  until(condition: () => boolean): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (condition()) return resume(Effect.void)
      const look = () => {
        if (!condition()) return
        this.waiters.delete(look)
        resume(Effect.void)
      }
      this.waiters.add(look)
      return Effect.sync(() => {
        this.waiters.delete(look)
      })
    })
  }
}
