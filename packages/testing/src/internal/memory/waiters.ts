/**
 * Fibers that wait for values, first come first served, that loses none.
 *
 * A value that was handed to a fiber which is interrupted before it goes on
 * with it is given back. That can happen between any two steps of a fiber, not
 * only while it waits, so the value stays here until it has left
 * `receive`.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"

/** What is handed out, and whether a waiting fiber goes on at once or from its dispatcher. */
export interface Source<A, E> {
  /** The next value for this fiber, or the end, or nothing yet. */
  readonly take: (limit: number, fiber: Fiber.Fiber<unknown, unknown>) => Exit.Exit<A, E> | undefined
  readonly giveBack: (value: A) => void
  /** Called after a value was handed over: what the taking made possible. */
  readonly onHanded?: (() => void) | undefined
  readonly late: boolean
}

interface Waiter<A, E> {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly limit: number
  readonly owner: object | undefined
  readonly resume: (effect: Effect.Effect<A, E>) => void
  /** It was not served in its own call. */
  waited: boolean
  handed: Exit.Exit<A, E> | undefined
}

export class Waiters<A, E> {
  private readonly source: Source<A, E>
  private waiters: Array<Waiter<A, E>> = []
  private onTheirWay = 0
  private idle: Array<() => void> = []

  constructor(source: Source<A, E>) {
    this.source = source
  }

  /** How many fibers wait. */
  get waiting(): number {
    return this.waiters.length
  }

  /** How many values were handed to fibers that have not gone on yet. */
  get inHand(): number {
    return this.onTheirWay
  }

  /**
   * Waits for the next value, or takes it if there is one. `limit` is passed on
   * to `take`, `owner` names the waiting fiber to `fail`.
   *
   * Nothing may be put around this between this and what uses the value: each
   * further step is one at which an interruption loses it.
   */
  receive(limit: number, owner?: object): Effect.Effect<A, E> {
    return Effect.withFiber<A, E>((fiber) => {
      let waiter: Waiter<A, E> | undefined
      const wait = Effect.callback<A, E>((resume) => {
        waiter = { fiber, limit, owner, resume, waited: false, handed: undefined }
        this.waiters.push(waiter)
        // those that came before go first
        if (this.waiters.length === 1) this.serve()
        waiter.waited = true
      })
      // not onExit: its frame has a step of its own between the value and the user, at which it could be lost
      return Effect.uninterruptibleMask((restore) =>
        Effect.catchCause(restore(wait), (cause) => {
          if (waiter !== undefined) this.leave(waiter)
          return Effect.failCause(cause)
        })
      )
    })
  }

  /** Hands out what there is. To be called when there may be more than before. */
  serve(): void {
    let first = this.waiters[0]
    while (first !== undefined) {
      const exit = this.source.take(first.limit, first.fiber)
      if (exit === undefined) return
      this.waiters.shift()
      this.hand(first, exit)
      this.source.onHanded?.()
      first = this.waiters[0]
    }
  }

  /** Fails every fiber that waits, or those of one owner. */
  fail(error: E, owner?: object): void {
    const failed = this.waiters.filter((waiter) => owner === undefined || waiter.owner === owner)
    this.waiters = this.waiters.filter((waiter) => !failed.includes(waiter))
    for (const waiter of failed) this.hand(waiter, Exit.fail(error))
  }

  /** Completes when no value is on its way to a fiber. */
  readonly settled: Effect.Effect<void> = Effect.withFiber((fiber) =>
    Effect.callback<void>((resume) => {
      if (this.onTheirWay === 0) return resume(Effect.void)
      // from the dispatcher: the fiber that received goes on first
      const wake = () => fiber.currentDispatcher.scheduleTask(() => resume(Effect.void), 0)
      this.idle.push(wake)
      return Effect.sync(() => {
        this.idle = this.idle.filter((other) => other !== wake)
      })
    })
  )

  private hand(waiter: Waiter<A, E>, exit: Exit.Exit<A, E>): void {
    waiter.handed = exit
    if (Exit.isSuccess(exit)) this.onTheirWay++
    // Effect passes what a sync returns on without a step between: from there on it cannot be lost
    const go = Exit.isSuccess(exit)
      ? Effect.sync(() => {
        this.gone()
        return exit.value
      })
      : exit
    if (this.source.late && waiter.waited) waiter.fiber.currentDispatcher.scheduleTask(() => waiter.resume(go), 0)
    else waiter.resume(go)
  }

  /** A value is its fiber's now. */
  private gone(): void {
    this.onTheirWay--
    if (this.onTheirWay > 0) return
    const idle = this.idle
    this.idle = []
    for (const wake of idle) wake()
  }

  private leave(waiter: Waiter<A, E>): void {
    const { handed } = waiter
    if (handed === undefined) this.waiters = this.waiters.filter((other) => other !== waiter)
    else if (Exit.isSuccess(handed)) {
      // first, so that it stays in hand when another fiber gets it
      this.source.giveBack(handed.value)
      this.gone()
    }
  }
}
