import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Connection, ProtocolDriver, ProtocolEvents } from "../Connection.ts"
import type { EndReason } from "../DrainReport.ts"
import type { Taker } from "./acceptQueue.ts"
import type { ConnectionImpl } from "./connection.ts"
import { finish, handshake, isReady, refuseWith } from "./handler.ts"
import type { Life } from "./life.ts"
import { endSpan } from "./tracing.ts"

/** How a protocol begins to drive a connection. */
export type Attach = (connection: Connection, events: ProtocolEvents) => ProtocolDriver

/** How a connection ended, in its protocol's words. */
export type Ended = Parameters<ProtocolEvents["ended"]>[0]

/**
 * How a protocol that works by callbacks takes part in the accept queue: no
 * fiber and no scope a connection, only what the protocol itself keeps.
 */
export const driverTaker = (
  life: Life,
  attach: Attach,
  refuse: ((connection: Connection) => Effect.Effect<void>) | undefined
): Taker => ({
  once: false,
  take: (connection) => {
    const attached = () => {
      begin(connection, attach, (ended) => {
        life.end(connection, reasonOf(connection, ended))
        life.handlerEnded(connection)
      })
      life.begin(connection)
    }
    if (isReady(connection)) attached()
    else shakeHands(life, connection, attached)
  },
  refuse: refuse === undefined ? undefined : (connection) => refuseWith(life, connection, refuse(connection))
})

/** A handshake has a fiber; what comes after it has none. */
const shakeHands = (life: Life, connection: ConnectionImpl, attached: () => void): void => {
  connection.handled = true
  const program = Effect.withFiber((fiber) => {
    connection.fiber = fiber
    const shaking = connection.cut ? Effect.interrupt : Effect.interruptible(handshake(life, connection))
    return Effect.flatMap(Effect.exit(shaking), (exit) => {
      if (Exit.isFailure(exit) || connection.step !== "Handshake") return finish(life, connection, exit)
      connection.fiber = undefined
      connection.handled = false
      attached()
      return Effect.void
    })
  })
  life.runFork(program, { uninterruptible: true }).addObserver(() => {
    if (connection.driver === undefined) life.handlerEnded(connection)
  })
}

/**
 * A connection that has a handler already, driven by a protocol from now on:
 * completes when the protocol has ended.
 */
export const drive = (connection: ConnectionImpl, attach: Attach): Effect.Effect<Ended> =>
  Effect.callback<Ended>((resume) => {
    const driver = begin(connection, attach, (ended) => resume(Effect.succeed(ended)))
    if (connection.reached) connection.host.review(connection)
    return Effect.sync(() => driver.cut())
  })

const begin = (connection: ConnectionImpl, attach: Attach, ended: (ended: Ended) => void): ProtocolDriver => {
  const { host } = connection
  connection.mode = "exchange"
  const driver = attach(connection, {
    review: () => {
      connection.activity++
      if (connection.reached) host.review(connection)
    },
    ended,
    refused: host.refused,
    began: (label) => {
      host.counts.exchanges++
      return label === undefined ? undefined : connection.startExchangeSpan(label)
    },
    exchanged: (millis, span) => {
      host.counts.exchangeEnded(millis)
      if (span !== undefined) endSpan(host.tracing, span, Exit.void)
    },
    traced: host.tracing.exchanges,
    linger: host.linger,
    now: host.now
  })
  connection.driver = driver
  if (connection.told) driver.draining()
  return driver
}

const reasonOf = (connection: ConnectionImpl, ended: Ended): EndReason =>
  ended === "failed"
    ? "failed"
    : ended === "byPeer" && !connection.saidGoodbye
    ? "endedByPeer"
    : connection.hadWork
    ? "drained"
    : "idle"
