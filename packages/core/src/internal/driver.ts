import type * as Effect from "effect/Effect"
import type { Connection, ProtocolDriver, ProtocolEvents } from "../Connection.ts"
import type { Taker } from "./acceptQueue.ts"
import type { ConnectionImpl } from "./connection.ts"
import { refuseWith } from "./handler.ts"
import type { Life } from "./life.ts"

/**
 * How a protocol that works by callbacks takes part in the accept queue: no
 * fiber and no scope a connection, only what the protocol itself keeps.
 */
export const driverTaker = (
  life: Life,
  attach: (connection: Connection, events: ProtocolEvents) => ProtocolDriver,
  refuse: ((connection: Connection) => Effect.Effect<void>) | undefined
): Taker => ({
  once: false,
  take: (connection) => drive(life, connection, attach),
  refuse: refuse === undefined ? undefined : (connection) => refuseWith(life, connection, refuse(connection))
})

const drive = (
  life: Life,
  connection: ConnectionImpl,
  attach: (connection: Connection, events: ProtocolEvents) => ProtocolDriver
): void => {
  connection.mode = "exchange"
  connection.driver = attach(connection, {
    review: () => {
      connection.activity++
      if (connection.reached) life.review(connection)
    },
    ended: (reason) => {
      life.end(
        connection,
        reason === "failed"
          ? "failed"
          : reason === "byPeer" && !connection.saidGoodbye
          ? "endedByPeer"
          : connection.hadWork
          ? "drained"
          : "idle"
      )
      life.handlerEnded(connection)
    },
    refused: life.refused,
    now: life.now
  })
  life.begin(connection)
}
