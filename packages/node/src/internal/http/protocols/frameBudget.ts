/** Frames at once, and frames a second after that: what nghttp2 allows for resets of streams. */
const burst = 1000
const perSecond = 33

/**
 * How many frames a client of HTTP/2 may send that belong to no request and ask
 * for an answer, PING and SETTINGS: a bucket that fills with time.
 */
export class FrameBudget {
  private left = burst
  private filledAt: number

  constructor(now = performance.now()) {
    this.filledAt = now
  }

  /** Answers whether there was one left. */
  take(now = performance.now()): boolean {
    if (this.left < 1) {
      this.left = Math.min(burst, this.left + (now - this.filledAt) / 1000 * perSecond)
      this.filledAt = now
    }
    if (this.left < 1) return false
    this.left--
    return true
  }
}
