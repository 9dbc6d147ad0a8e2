/**
 * Why a datagram was not sent, in the words of Effect's sockets.
 */
import type * as NetAddress from "effect/net/NetAddress"
import * as DatagramSocket from "effect/socket/DatagramSocket"
import { errorCode } from "../listen/errno.ts"

export const sendError = (cause: unknown, address: NetAddress.InetAddress): DatagramSocket.DatagramSocketError => {
  const code = errorCode(cause)
  return new DatagramSocket.DatagramSocketError({
    reason: code === "ERR_SOCKET_DGRAM_NOT_RUNNING" || code === "ECANCELED"
      ? new DatagramSocket.DatagramSocketClosedError()
      : new DatagramSocket.DatagramSocketWriteError({ kind: kindOf(code), address, cause })
  })
}

const kindOf = (code: string | undefined): DatagramSocket.IoErrorKind => {
  switch (code) {
    case "EMSGSIZE":
      return "MessageTooLarge"
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EHOSTDOWN":
    case "ENETDOWN":
    // no peer has port 0, which a sender can claim to have
    case "ERR_SOCKET_BAD_PORT":
      return "Unreachable"
    case "ECONNREFUSED":
      return "ConnectionRefused"
    case "EACCES":
    case "EPERM":
      return "PermissionDenied"
    default:
      return "Unknown"
  }
}
