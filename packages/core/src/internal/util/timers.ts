import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** Monotonic milliseconds of the clock in use, the virtual one included. */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/**
 * Sleeps for so many milliseconds, or for less than one more. Whole ones: V8 has
 * one shape for Node's timers that wait for an integer and another for those that
 * wait for a fraction, and the first fraction gives every timer of the process
 * the other shape: those of 8,000 idle connections, one by one, as each is ended.
 */
export const sleep = (clock: Clock.Clock, millis: number): Effect.Effect<void> =>
  clock.sleep(Duration.millis(Math.ceil(Math.max(0, millis))))

/**
 * Calls back at a time. Callbacks due in the same millisecond share one sleeping
 * fiber, so that ten thousand connections in their grace cost a few timers.
 */
export class Timers {
  private readonly due = new Map<number, { readonly fiber: Fiber.Fiber<void>; readonly calls: Set<() => void> }>()
  private readonly clock: Clock.Clock
  private readonly runFork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>

  constructor(clock: Clock.Clock, context: Context.Context<never>) {
    this.clock = clock
    this.runFork = Effect.runForkWith(context)
  }

  /** Calls `f` at `at` (monotonic milliseconds), never before; the result takes it back. */
  schedule(at: number, f: () => void): () => void {
    const key = Math.ceil(at)
    let slot = this.due.get(key)
    if (slot === undefined) {
      const calls = new Set<() => void>()
      const fiber = this.runFork(Effect.andThen(
        sleep(this.clock, key - monotonicMillis(this.clock)),
        Effect.sync(() => {
          this.due.delete(key)
          for (const call of Array.from(calls)) call()
        })
      ))
      slot = { fiber, calls }
      this.due.set(key, slot)
    }
    const { calls, fiber } = slot
    calls.add(f)
    return () => {
      if (!calls.delete(f) || calls.size > 0) return
      this.due.delete(key)
      fiber.interruptUnsafe()
    }
  }

  /** Takes everything back. */
  clear(): void {
    const slots = Array.from(this.due.values())
    this.due.clear()
    for (const slot of slots) slot.fiber.interruptUnsafe()
  }
}
