import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { DrainProgress } from "../../Drain.ts"
import type { DrainReport } from "../../DrainReport.ts"
import type { CloseError, ListenerFaulted } from "../../ListenerError.ts"
import { sleep } from "../util/timers.ts"
import type { ListenerClose } from "./closing/listenerClose.ts"
import type { Manager } from "./manager.ts"

/**
 * One lifetime of a listener: what is managed in it, and how it ends for
 * fibers that wait for its end. `reset` begins another one.
 */
export class Lifetime<M extends Manager> {
  readonly manager: M
  /** Of the last close, or of the one that came to nothing because nothing was open. */
  report: DrainReport | undefined
  progress: DrainProgress | undefined
  private readonly closed = Deferred.makeUnsafe<DrainReport>()
  private readonly served = Deferred.makeUnsafe<DrainReport, ListenerFaulted>()
  /** How many fibers wait for the report and receive it. */
  private receivers = 0

  constructor(manager: M) {
    this.manager = manager
  }

  /** Waits for a close that runs. Interrupting it stops the waiting, not the close. */
  awaitClose(
    close: ListenerClose,
    fiber: Fiber.Fiber<unknown, unknown>
  ): Effect.Effect<DrainReport, CloseError> {
    this.manager.wait(fiber)
    close.waiters++
    return Effect.onExit(Deferred.await(close.result), (exit) =>
      Effect.sync(() => {
        this.stopWaiting(fiber)
        if (Exit.hasInterrupts(exit)) close.waiters--
      }))
  }

  /** Waits for its end, also when another lifetime has begun before the caller looks. */
  awaitClosed(received: boolean): Effect.Effect<DrainReport> {
    return Effect.withFiber((fiber) => {
      if (Deferred.isDoneUnsafe(this.closed)) return Deferred.await(this.closed)
      this.manager.wait(fiber)
      if (received) this.receivers++
      return Effect.onExit(Deferred.await(this.closed), (exit) =>
        Effect.sync(() => {
          this.stopWaiting(fiber)
          if (received && Exit.isFailure(exit)) this.receivers--
        }))
    })
  }

  /** A fiber waits for its end no more: it has come, or the fiber has given up, and goes on. */
  stopWaiting(fiber: Fiber.Fiber<unknown, unknown>): void {
    this.manager.stopWaiting(fiber, this.report === undefined)
  }

  /** Waits until nothing more is served. */
  get awaitServed(): Effect.Effect<DrainReport, ListenerFaulted> {
    return Deferred.await(this.served)
  }

  /** Nothing more is served, and `close` has yet to come. */
  failServed(error: ListenerFaulted): void {
    Deferred.doneUnsafe(this.served, Exit.fail(error))
  }

  /** Whether a fiber receives the report of this close. */
  receives(close: ListenerClose): boolean {
    return close.waiters + this.receivers > 0
  }

  /** Ends the lifetime: wakes all that wait for it. */
  end(report: DrainReport): void {
    this.report = report
    Deferred.doneUnsafe(this.closed, Exit.succeed(report))
    Deferred.doneUnsafe(this.served, Exit.succeed(report))
  }
}

/** A close does not wait for the connections whose handlers asked for it; nor do they stay. */
export const endClosers = (manager: Manager, grace: number): void => {
  const gone = () => manager.closersCount === 0
  if (gone()) return
  manager.runFork(Effect.andThen(
    Effect.raceFirst(manager.signal.until(gone), sleep(manager.clock, grace)),
    Effect.sync(() => manager.cutClosers())
  ))
}

/** Waits for an effect, at most for `millis`. The effect goes on after that. */
export const atMost = (manager: Manager, millis: number, effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const fiber = manager.runFork(effect)
    if (fiber.pollUnsafe() !== undefined) return Effect.void
    return Effect.raceFirst(Effect.asVoid(Fiber.await(fiber)), sleep(manager.clock, millis))
  })
