import * as Effect from "effect/Effect"

/** Callbacks that wait for one thing. One that is woken and has to wait on adds itself again. */
export class Wakers {
  private waiting = new Set<() => void>()
  /** Those that are being woken. */
  private woken: Set<() => void> | undefined

  add(waker: () => void): void {
    this.waiting.add(waker)
  }

  delete(waker: () => void): void {
    this.waiting.delete(waker)
    this.woken?.delete(waker)
  }

  /** `add`, and an effect that takes it back. */
  wait(waker: () => void): Effect.Effect<void> {
    this.add(waker)
    return Effect.sync(() => this.delete(waker))
  }

  /** Wakes all that wait now. One that is taken back on the way is skipped. */
  wake(): void {
    const woken = this.waiting
    if (woken.size === 0) return
    this.waiting = new Set()
    this.woken = woken
    for (const waker of woken) waker()
  }

  /** Wakes the one that has waited longest. */
  wakeFirst(): void {
    for (const waker of this.waiting) {
      this.waiting.delete(waker)
      return waker()
    }
  }
}
