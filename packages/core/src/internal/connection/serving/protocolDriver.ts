import * as Effect from "effect/Effect"
import type * as Tracer from "effect/Tracer"
import type { Connection, Ending, ProtocolDriver, ProtocolEvents } from "../../../Connection.ts"
import type { LingerOptions } from "../../../Transport.ts"
import type { Consumer } from "../../accept/acceptQueue.ts"
import { call } from "../../util/foreign.ts"
import { isReady, whenShaken } from "../arriving/handshake.ts"
import { refuseWith } from "../arriving/refusal.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { ConnectionManager } from "../connectionManager.ts"
import { endExchangeSpan, startExchangeSpan } from "../spans.ts"
import { reasonOfProtocol } from "./ending.ts"

/** How a protocol begins to drive a connection. */
export type Attach = (connection: Connection, events: ProtocolEvents) => ProtocolDriver

/**
 * How a protocol that works by callbacks takes part in the accept queue: no
 * fiber and no scope a connection, only what the protocol itself keeps.
 */
export const driverConsumer = (
  manager: ConnectionManager,
  attach: Attach,
  { halfOpen, refuse }: {
    readonly refuse?: ((connection: Connection) => Effect.Effect<void>) | undefined
    readonly halfOpen?: boolean | undefined
  }
): Consumer<ConnectionImpl> => {
  const closed: OnClosed = (connection, ending) => {
    manager.end(connection, reasonOfProtocol(connection, ending))
    manager.handlerEnded(connection)
  }
  const attached = (connection: ConnectionImpl): void => {
    begin(connection, attach, closed)
    manager.begin(connection)
  }
  return {
    once: false,
    halfOpen,
    take: (connection) =>
      isReady(connection) ? attached(connection) : whenShaken(manager, connection, () => attached(connection)),
    refuse: refuse === undefined ? undefined : (connection) => refuseWith(manager, connection, refuse)
  }
}

/**
 * A connection that has a handler already, driven by a protocol from now on:
 * completes when the protocol has ended.
 */
export const drive = (connection: ConnectionImpl, attach: Attach): Effect.Effect<Ending> =>
  Effect.callback<Ending>((resume) => {
    const driver = begin(connection, attach, (_connection, ending) => resume(Effect.succeed(ending)))
    if (driver === undefined) return resume(Effect.succeed("failed"))
    connection.context.recheck(connection)
    return Effect.sync(() => call(connection, "cut", () => driver.cut(), undefined))
  })

type OnClosed = (connection: ConnectionImpl, ending: Ending) => void

const begin = (connection: ConnectionImpl, attach: Attach, onClosed: OnClosed): ProtocolDriver | undefined => {
  connection.mode = "exchange"
  const events = new DriverEvents(connection, onClosed)
  const driver = call(connection, "attach", () => driverOf(attach(connection, events)), undefined)
  connection.driver = driver
  if (driver !== undefined && connection.rung !== "Untold") {
    call(connection, "drainNotified", () => driver.drainNotified(), undefined)
  }
  return driver
}

const driverOf = (driver: ProtocolDriver): ProtocolDriver => {
  if (typeof driver === "object") return driver
  throw new TypeError("attach has given no driver")
}

/** One object a connection: idle ones are many. */
class DriverEvents implements ProtocolEvents {
  private readonly connection: ConnectionImpl
  private readonly onClosed: OnClosed

  constructor(connection: ConnectionImpl, onClosed: OnClosed) {
    this.connection = connection
    this.onClosed = onClosed
  }

  get traced(): boolean {
    return this.connection.context.tracing.exchanges
  }

  recheck(): void {
    this.connection.activity++
    this.connection.context.recheck(this.connection)
  }

  closed(ending: Ending): void {
    this.onClosed(this.connection, ending)
  }

  refused(): void {
    this.connection.context.refused()
  }

  exchangeBegan(label: string | undefined): Tracer.Span | undefined {
    const { context } = this.connection
    context.counts.exchanges++
    context.mayStall()
    return label === undefined ? undefined : startExchangeSpan(this.connection, label)
  }

  exchangeEnded(millis: number, span: Tracer.Span | undefined): void {
    this.connection.context.counts.exchangeEnded(millis)
    if (span !== undefined) endExchangeSpan(this.connection, span)
  }

  get sweeping(): boolean {
    return this.connection.sweeping
  }

  afterSweep(work: () => void): void {
    this.connection.afterSweep(work)
  }

  linger(): LingerOptions {
    return this.connection.context.linger()
  }

  now(): number {
    return this.connection.context.now()
  }
}
