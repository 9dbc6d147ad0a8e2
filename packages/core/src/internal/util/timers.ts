import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** Effect's own, where no other is provided. */
const systemClock = Context.get(Context.empty(), Clock.Clock)

/**
 * Monotonic milliseconds of the clock in use, the virtual one included. That of the system is asked directly: a number
 * costs less than the nanoseconds, which are asked for several times a connection.
 */
export const monotonicMillis = (clock: Clock.Clock): number =>
  clock === systemClock ? performance.now() : Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/**
 * Sleeps for `millis`, rounded up to a whole number of them: V8 has
 * one shape for Node's timers that wait for an integer and another for those that
 * wait for a fraction, and the first fraction gives every timer of the process
 * the other shape: those of 8,000 idle connections, one by one, as each is ended.
 */
export const sleep = (clock: Clock.Clock, millis: number): Effect.Effect<void> =>
  clock.sleep(Duration.millis(Math.ceil(Math.max(0, millis))))

/** What is due in one millisecond. */
interface Slot {
  readonly calls: Set<() => void>
  /** Sleeps until then. */
  fiber: Fiber.Fiber<void> | undefined
}

/**
 * Calls back at a time. Callbacks due in the same millisecond share one sleeping
 * fiber, so that ten thousand connections in their grace cost a few timers.
 */
export class Timers {
  private readonly due = new Map<number, Slot>()
  /** What is being called. */
  private firing: Set<() => void> | undefined
  private readonly clock: Clock.Clock
  private readonly runFork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>

  constructor(clock: Clock.Clock, context: Context.Context<never>) {
    this.clock = clock
    this.runFork = Effect.runForkWith(context)
  }

  /** Calls `f` at `at` (monotonic milliseconds), never before nor inside of this call; the result takes it back. */
  schedule(at: number, f: () => void): () => void {
    const key = Math.ceil(at)
    const slot = this.due.get(key) ?? this.open(key)
    slot.calls.add(f)
    return () => {
      // a slot that is due is gone, though another may be in its place
      if (!slot.calls.delete(f) || slot.calls.size > 0 || this.due.get(key) !== slot) return
      this.due.delete(key)
      slot.fiber?.interruptUnsafe()
    }
  }

  private open(key: number): Slot {
    const slot: Slot = { calls: new Set(), fiber: undefined }
    this.due.set(key, slot)
    const call = Effect.sync(() => {
      this.due.delete(key)
      this.firing = slot.calls
      // one of them may take back another
      for (const call of Array.from(slot.calls)) if (slot.calls.delete(call)) call()
    })
    slot.fiber = this.runFork(Effect.andThen(
      sleep(this.clock, key - monotonicMillis(this.clock)),
      // a test's clock does not sleep for what is due already
      Effect.suspend(() => slot.fiber === undefined ? Effect.andThen(Effect.yieldNow, call) : call)
    ))
    return slot
  }

  clear(): void {
    const slots = Array.from(this.due.values())
    this.due.clear()
    this.firing?.clear()
    for (const slot of slots) slot.fiber?.interruptUnsafe()
  }
}
