import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { effectOf } from "../../util/foreign.ts"
import type { ConnectionImpl } from "../connection.ts"

/** What is called when the turn has passed. */
interface Waiter {
  readonly connection: ConnectionImpl
  readonly passed: () => void
}

/**
 * Waits one whole read turn for connections, after which what had arrived before
 * has been read. Node runs due timers before it reads: what a timer decides about
 * a connection is decided a turn later.
 */
export class ReadTurns {
  private readonly runFork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  /** Connections whose read turn is about to begin, by what tells its end. */
  private readonly beginning = new Map<Effect.Effect<void>, Array<Waiter>>()
  /** The same of those that a protocol drives by callbacks. */
  private readonly driven = new Map<Effect.Effect<void>, Array<Waiter>>()

  constructor(runFork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>) {
    this.runFork = runFork
  }

  wait(connection: ConnectionImpl, passed: () => void): void {
    const { settled } = connection
    const beginning = connection.driver === undefined ? this.beginning : this.driven
    let together = beginning.get(settled)
    if (together === undefined) {
      beginning.set(settled, together = [])
      this.runFork(this.passTogether(settled, together))
    }
    together.push({ connection, passed })
  }

  /** One fiber for all connections that wait for the same, which those of one transport may. */
  private passTogether(settled: Effect.Effect<void>, together: Array<Waiter>): Effect.Effect<void> {
    const turn = Effect.andThen(
      this.beginning.get(settled) === together ? this.afterFibers(settled, together) : this.afterCall(settled),
      effectOf("settled", () => settled)
    )
    const all = Effect.map(turn, () => {
      for (const { passed } of together) passed()
    })
    return Effect.catchCause(all, (cause) =>
      Effect.sync(() => {
        if (Cause.hasInterruptsOnly(cause)) return
        for (const { connection, passed } of together) {
          connection.threw("settled", Cause.squash(cause))
          passed()
        }
      }))
  }

  /** A fiber about to pull may have been made to yield: it is given its turn before the read turn begins. */
  private afterFibers(settled: Effect.Effect<void>, together: Array<Waiter>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      yield* Effect.yieldNow
      this.beginning.delete(settled)
      // those that came after the first as well
      if (together.length > 1) yield* Effect.yieldNow
    })
  }

  /** A protocol is idle in the moment it says so: those of one call begin at once. */
  private afterCall(settled: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.sync(() => queueMicrotask(() => this.driven.delete(settled)))
  }
}
