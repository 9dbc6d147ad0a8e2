import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import type { Connection, ProtocolDriver, ProtocolEvents } from "../../Connection.ts"
import type { EndReason } from "../../DrainReport.ts"
import type { LingerOptions } from "../../Transport.ts"
import type { Consumer } from "../accept/acceptQueue.ts"
import { endSpan } from "../telemetry/tracing.ts"
import type { ConnectionImpl } from "./connection.ts"
import type { Life } from "./connectionManager.ts"
import { finish, refuseWith } from "./handler.ts"
import { isReady, shakeHands } from "./handshake.ts"

/** How a protocol begins to drive a connection. */
export type Attach = (connection: Connection, events: ProtocolEvents) => ProtocolDriver

/** How a connection ended, in its protocol's words. */
export type Ended = Parameters<ProtocolEvents["closed"]>[0]

/**
 * How a protocol that works by callbacks takes part in the accept queue: no
 * fiber and no scope a connection, only what the protocol itself keeps.
 */
export const driverConsumer = (
  life: Life,
  attach: Attach,
  { halfOpen, refuse }: {
    readonly refuse?: ((connection: Connection) => Effect.Effect<void>) | undefined
    readonly halfOpen?: boolean | undefined
  }
): Consumer<ConnectionImpl> => {
  const ended: OnEnded = (connection, ended) => {
    life.end(connection, reasonOf(connection, ended))
    life.handlerEnded(connection)
  }
  const attached = (connection: ConnectionImpl): void => {
    begin(connection, attach, ended)
    life.begin(connection)
  }
  return {
    once: false,
    halfOpen,
    take: (connection) => isReady(connection) ? attached(connection) : serveShaken(life, connection, attached),
    refuse: refuse === undefined ? undefined : (connection) => refuseWith(life, connection, refuse(connection))
  }
}

/** A handshake has a fiber; what comes after it has none. */
const serveShaken = (life: Life, connection: ConnectionImpl, attached: (connection: ConnectionImpl) => void): void => {
  connection.handled = true
  const fiber = shakeHands(life, connection, (shaken) => {
    connection.fiber = undefined
    if (Exit.isSuccess(shaken) && connection.step === "Handshake") {
      connection.handled = false
      return attached(connection)
    }
    life.runFork(finish(life, connection, shaken), { uninterruptible: true })
      .addObserver(() => life.handlerEnded(connection))
  })
  if (connection.step === "Handshake") connection.fiber = fiber
}

/**
 * A connection that has a handler already, driven by a protocol from now on:
 * completes when the protocol has ended.
 */
export const drive = (connection: ConnectionImpl, attach: Attach): Effect.Effect<Ended> =>
  Effect.callback<Ended>((resume) => {
    const driver = begin(connection, attach, (_connection, ended) => resume(Effect.succeed(ended)))
    if (connection.reached) connection.host.review(connection)
    return Effect.sync(() => driver.cut())
  })

type OnEnded = (connection: ConnectionImpl, ended: Ended) => void

const begin = (connection: ConnectionImpl, attach: Attach, onEnded: OnEnded): ProtocolDriver => {
  connection.mode = "exchange"
  const driver = attach(connection, new DriverEvents(connection, onEnded))
  connection.driver = driver
  if (connection.told) driver.drainNotified()
  return driver
}

/** One object a connection: idle ones are many. */
class DriverEvents implements ProtocolEvents {
  private readonly connection: ConnectionImpl
  private readonly onEnded: OnEnded

  constructor(connection: ConnectionImpl, onEnded: OnEnded) {
    this.connection = connection
    this.onEnded = onEnded
  }

  get traced(): boolean {
    return this.connection.host.tracing.exchanges
  }

  recheck(): void {
    const { connection } = this
    connection.activity++
    if (connection.reached) connection.host.review(connection)
  }

  closed(ended: Ended): void {
    this.onEnded(this.connection, ended)
  }

  refused(): void {
    this.connection.host.refused()
  }

  exchangeBegan(label: string | undefined): Tracer.Span | undefined {
    this.connection.host.counts.exchanges++
    return label === undefined ? undefined : this.connection.startExchangeSpan(label)
  }

  exchangeEnded(millis: number, span: Tracer.Span | undefined): void {
    const { counts, tracing } = this.connection.host
    counts.exchangeEnded(millis)
    if (span !== undefined) endSpan(tracing, span, Exit.void)
  }

  linger(): LingerOptions {
    return this.connection.host.linger()
  }

  now(): number {
    return this.connection.host.now()
  }
}

const reasonOf = (connection: ConnectionImpl, ended: Ended): EndReason =>
  ended === "failed"
    ? "failed"
    : ended === "byPeer" && !connection.saidGoodbye
    ? "endedByPeer"
    : connection.hadWork
    ? "drained"
    : "idle"
