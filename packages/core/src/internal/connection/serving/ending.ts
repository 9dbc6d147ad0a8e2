/**
 * How a connection ended, and the one reason it is counted under: for handlers
 * and for protocols that work by callbacks.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Socket from "effect/socket/Socket"
import type { Ending } from "../../../Connection.ts"
import type { EndReason } from "../../../DrainReport.ts"
import type { ConnectionImpl } from "../connection.ts"

/**
 * How a handler, or the scope an accepted connection lives in, ended. Sockets
 * report every end as an error, the drain's own and the peer's included; only
 * what remains is a failure.
 */
export const endingOf = (exit: Exit.Exit<unknown, unknown>): Ending => {
  if (Exit.isSuccess(exit)) return "normal"
  let ending: Ending = "normal"
  for (const reason of exit.cause.reasons) {
    if (Cause.isDieReason(reason)) return "failed"
    if (!Cause.isFailReason(reason)) continue
    if (!Socket.isSocketError(reason.error)) return "failed"
    switch (reason.error.reason._tag) {
      case "SocketCloseError":
        if (reason.error.reason.code !== 1001) ending = "byPeer"
        break
      case "SocketReadError":
      case "SocketWriteError":
        ending = "byPeer"
        break
      default:
        return "failed"
    }
  }
  return ending
}

/** The one reason a connection is counted under. */
export const reasonOf = (connection: ConnectionImpl, ending: Ending): EndReason => {
  switch (ending) {
    case "failed":
      return "failed"
    case "byPeer":
      return "endedByPeer"
    case "normal":
      return connection.hadWork ? "drained" : "idle"
  }
}

/** The same where the protocol says how it ended: after a goodbye, the peer's end is the answer to it. */
export const reasonOfProtocol = (connection: ConnectionImpl, ending: Ending): EndReason =>
  reasonOf(connection, ending === "byPeer" && connection.rung === "Goodbye" ? "normal" : ending)
