/**
 * Time that stands still while anything can run, and then jumps to the next
 * timer. Starts at 0 ms.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

export interface Timer {
  /** When it is due, in ms. */
  readonly at: number
  readonly resume: () => void
}

export class VirtualClock implements Clock.Clock {
  now = 0
  private readonly timers: Array<Timer> = []

  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.now)
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos: Effect.Effect<bigint> = this.currentTimeNanos

  currentTimeMillisUnsafe(): number {
    return this.now
  }
  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.now * 1e6))
  }
  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe()
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const millis = Duration.toMillis(duration)
    if (millis <= 0) return Effect.yieldNow
    if (millis === Infinity) return Effect.never
    return Effect.callback<void>((resume) => {
      const timer: Timer = { at: this.now + millis, resume: () => resume(Effect.void) }
      this.timers.push(timer)
      return Effect.sync(() => this.remove(timer))
    })
  }

  /** The timers that are due next, all at the same time, in the order they were set. */
  due(): ReadonlyArray<Timer> {
    const at = this.timers.reduce((earliest, timer) => Math.min(earliest, timer.at), Infinity)
    return this.timers.filter((timer) => timer.at === at)
  }

  /** Lets the time come that a timer waits for. */
  fire(timer: Timer): void {
    this.remove(timer)
    this.now = Math.max(this.now, timer.at)
    timer.resume()
  }

  private remove(timer: Timer): void {
    const index = this.timers.indexOf(timer)
    if (index >= 0) this.timers.splice(index, 1)
  }
}
