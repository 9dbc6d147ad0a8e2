/**
 * Connections whose peer is a proxy that has yet to name its client. They are in
 * no queue and under no limit of admission, which go by the client: so they have
 * a bound of their own.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { formatConnection } from "../../../DrainReport.ts"
import { SecurityFailure } from "../../../ListenerError.ts"
import type { TransportConnection } from "../../../Transport.ts"
import type { LimitedLog } from "../../telemetry/limitedLog.ts"
import { effectOf } from "../../util/foreign.ts"
import { LinkedList } from "../../util/linkedList.ts"
import type { Timers } from "../../util/timers.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { ReadTurns } from "../draining/readTurns.ts"

/** How introductions end. */
export interface Introduced {
  /** The client is named: admission decides. */
  introduced(connection: ConnectionImpl): void
  /** The peer named none, or not in time. */
  notIntroduced(connection: ConnectionImpl): void
  /** The listener closes, and the peer has still named none. */
  neverIntroduced(connection: ConnectionImpl): void
}

/** What introductions need of the manager of their connections. */
export interface IntroductionContext {
  readonly name: string
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>, options?: Effect.RunOptions) => Fiber.Fiber<A, E>
  readonly now: () => number
  readonly timers: Timers
  readonly turns: ReadTurns
  readonly log: LimitedLog
  readonly arrivals: Introduced
}

type Introducing = NonNullable<TransportConnection["introduced"]>

export class Introductions {
  private readonly underWay = new LinkedList<ConnectionImpl>()
  private readonly context: IntroductionContext

  constructor(context: IntroductionContext) {
    this.context = context
  }

  get size(): number {
    return this.underWay.size
  }

  snapshot(): Array<ConnectionImpl> {
    return this.underWay.toArray()
  }

  /** At most `most` at a time: beyond, the one that takes longest makes room. */
  begin(connection: ConnectionImpl, introduced: Introducing, most: number): void {
    const { first } = this.underWay
    if (first !== undefined && this.underWay.size >= most) {
      this.remove(first)
      this.context.arrivals.notIntroduced(first)
    }
    this.underWay.add(connection)
    const fiber = this.context.runFork(effectOf("introduced", () => introduced))
    connection.fiber = fiber
    fiber.addObserver((exit) => {
      if (connection.list !== this.underWay) return
      this.remove(connection)
      if (Exit.isSuccess(exit)) return this.context.arrivals.introduced(connection)
      this.logFailure(connection, exit.cause)
      this.context.arrivals.notIntroduced(connection)
    })
  }

  /** Ends those that have named no client by then, one read turn later. */
  endAt(at: number): void {
    if (this.size === 0) return
    this.context.timers.schedule(at, () => {
      for (const connection of this.snapshot()) {
        this.context.turns.wait(connection, () => {
          if (connection.list !== this.underWay) return
          this.remove(connection)
          this.context.arrivals.neverIntroduced(connection)
        })
      }
    })
  }

  removeAll(): Array<ConnectionImpl> {
    const all = this.snapshot()
    for (const connection of all) this.remove(connection)
    return all
  }

  /** Takes one out, and answers whether it was in. */
  remove(connection: ConnectionImpl): boolean {
    if (!this.underWay.delete(connection)) return false
    const { fiber } = connection
    connection.fiber = undefined
    fiber?.interruptUnsafe()
    return true
  }

  /** A health check that connects and leaves is no failure: it ends as a socket does. */
  private logFailure(connection: ConnectionImpl, cause: Cause.Cause<Effect.Error<Introducing>>): void {
    const error = Cause.squash(cause)
    if (!(error instanceof SecurityFailure)) return
    this.context.runFork(this.context.log.line("introductionFailed", () =>
      Effect.annotateLogs(
        Effect.logInfo(`a proxy named no client on listener "${this.context.name}"`, error.detail),
        "connection",
        formatConnection(connection.describe())
      )))
  }
}
