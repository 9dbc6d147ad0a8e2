import type { Timers } from "../util/timers.ts"

/**
 * How late the event loop runs what is due, in milliseconds: measured by a timer
 * that is always due soon, so that it works on any platform. While that timer is
 * overdue, its delay so far counts, too.
 */
export class EventLoopLag {
  private readonly timers: Timers
  private readonly now: () => number
  private cancel: (() => void) | undefined
  private dueAt = 0
  private last = 0

  constructor(timers: Timers, now: () => number) {
    this.timers = timers
    this.now = now
  }

  /** Measures finely enough to notice this much. */
  start(notice: number): void {
    this.stop()
    const every = Math.min(100, Math.max(5, notice / 4))
    const look = () => {
      this.dueAt = this.now() + every
      this.cancel = this.timers.schedule(this.dueAt, () => {
        this.last = this.now() - this.dueAt
        look()
      })
    }
    look()
  }

  stop(): void {
    this.cancel?.()
    this.cancel = undefined
    this.last = 0
  }

  get current(): number {
    return this.cancel === undefined ? 0 : Math.max(this.last, this.now() - this.dueAt)
  }
}
