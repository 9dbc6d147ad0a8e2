import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { CurrentConnection } from "../../../Connection.ts"
import { waitingFor } from "../arriving/starter.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { Connections } from "../connections.ts"
import { shareOf } from "./exemption.ts"

/** What the fibers that wait for a close need of the manager of its connections. */
export interface ClosersContext {
  readonly connections: Connections
  readonly runFork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  /** A connection is no longer waited for. */
  readonly exempted: (connection: ConnectionImpl) => void
  readonly notifyIfDrained: () => void
}

type AnyFiber = Fiber.Fiber<unknown, unknown>

/**
 * The fibers that wait for a close. What they do on connections is not waited
 * for: a connection is set aside on which nothing else is in flight. Of another
 * one, what else is in flight is waited for.
 */
export class Closers {
  private readonly context: ClosersContext
  private readonly waiting = new Set<AnyFiber>()
  /** Handlers that wait for one of them, such as for a close under a time-out. */
  private readonly starters = new Map<AnyFiber, ReadonlyArray<AnyFiber>>()

  constructor(context: ClosersContext) {
    this.context = context
  }

  wait(fiber: AnyFiber): void {
    this.waiting.add(fiber)
    if (this.closing) this.exempt((other) => other === fiber)
    const waiting = waitingFor(fiber, this.handlersAround(fiber))
    if (waiting !== undefined) this.context.runFork(this.alsoExempt(fiber, waiting))
  }

  stopWaiting(fiber: AnyFiber): void {
    this.waiting.delete(fiber)
    for (const starter of this.starters.get(fiber) ?? []) this.waiting.delete(starter)
    this.starters.delete(fiber)
  }

  /** A close begins: one pass, however many wait for it. */
  beginClose(): void {
    if (this.waiting.size > 0) this.exempt(this.isWaiting)
  }

  /** Something ended on a connection of which not all was exempt. */
  recheck(connection: ConnectionImpl): void {
    if (!this.closing || shareOf(connection, this.isWaiting) !== "all") return
    if (!this.context.connections.excuse(connection)) return
    connection.exempt = false
    this.context.notifyIfDrained()
    this.context.exempted(connection)
  }

  private get closing(): boolean {
    return this.context.connections.tally !== undefined
  }

  private readonly isWaiting = (fiber: AnyFiber): boolean => this.waiting.has(fiber)

  private exempt(which: (fiber: AnyFiber) => boolean): void {
    for (const connection of this.context.connections.filter((one) => shareOf(one, which) !== "none")) {
      connection.exempt = true
      this.recheck(connection)
    }
    this.context.notifyIfDrained()
  }

  /**
   * The handlers that may have started a fiber: those of its own connection. A
   * fiber without one is none of a handler's, though it may have been resumed
   * within an operation of one.
   */
  private handlersAround(fiber: AnyFiber): ReadonlyArray<AnyFiber> {
    const own = Option.getOrUndefined(fiber.getRef(CurrentConnection))
    if (own === undefined) return []
    return this.context.connections.filter((one) => one === own).flatMap((connection) => connection.servingFibers())
  }

  private alsoExempt(
    fiber: AnyFiber,
    waiting: Effect.Effect<ReadonlyArray<AnyFiber>>
  ): Effect.Effect<void> {
    return Effect.map(waiting, (starters) => {
      if (starters.length === 0 || !this.waiting.has(fiber)) return
      this.starters.set(fiber, starters)
      for (const starter of starters) this.waiting.add(starter)
      if (this.closing) this.exempt((other) => starters.includes(other))
    })
  }
}
