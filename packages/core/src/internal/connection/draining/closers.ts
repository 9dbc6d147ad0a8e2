import type * as Effect from "effect/Effect"
import { type AnyFiber, Waiters } from "../../util/waiters.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { Connections } from "../connections.ts"
import { shareOf } from "./exemption.ts"

/** What the fibers that wait for a close need of the manager of its connections. */
export interface ClosersContext {
  readonly connections: Connections
  readonly runFork: (effect: Effect.Effect<void>) => unknown
  /** A connection is no longer waited for. */
  readonly exempted: (connection: ConnectionImpl) => void
  /** A connection is waited for again. */
  readonly drainIfBegun: (connection: ConnectionImpl) => void
  readonly notifyIfDrained: () => void
}

/**
 * The fibers that wait for a close, and those that wait for them. What they do on
 * connections is not waited for: a connection is set aside on which nothing else is
 * in flight. Of another one, what else is in flight is waited for.
 */
export class Closers {
  private readonly context: ClosersContext
  private readonly waiters: Waiters

  constructor(context: ClosersContext) {
    this.context = context
    this.waiters = new Waiters({ runFork: context.runFork, found: (fiber) => this.exemptFiber(fiber) })
  }

  wait(fiber: AnyFiber): void {
    this.waiters.add(fiber)
    this.exemptFiber(fiber)
  }

  /** Where it has given up before the close had ended, it is waited for as before. */
  stopWaiting(fiber: AnyFiber, early: boolean): void {
    this.waiters.remove(fiber)
    if (!early || !this.closing) return
    for (const connection of this.context.connections.closers.toArray()) {
      if (shareOf(connection, this.waiters.has) === "all") continue
      this.context.connections.takeBack(connection)
      this.context.drainIfBegun(connection)
    }
  }

  /** A close begins: one pass, however many wait for it. */
  beginClose(): void {
    if (this.waiters.size > 0) this.exempt(this.waiters.has)
  }

  /** Something ended on a connection of which not all was exempt. */
  recheck(connection: ConnectionImpl): void {
    if (!this.closing || shareOf(connection, this.waiters.has) !== "all") return
    if (!this.context.connections.exempt(connection)) return
    connection.exempt = false
    this.context.notifyIfDrained()
    this.context.exempted(connection)
  }

  private get closing(): boolean {
    return this.context.connections.tally !== undefined
  }

  private exemptFiber(fiber: AnyFiber): void {
    if (this.closing) this.exempt((other) => other === fiber)
  }

  private exempt(which: (fiber: AnyFiber) => boolean): void {
    for (const connection of this.context.connections.filter((one) => shareOf(one, which) !== "none")) {
      connection.exempt = true
      this.recheck(connection)
    }
    this.context.notifyIfDrained()
  }
}
