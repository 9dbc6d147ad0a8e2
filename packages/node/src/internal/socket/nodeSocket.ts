/**
 * The `net.Socket` under a connection, what those of one listener have in common,
 * and how it is reset.
 */
import { type TransportConnection, unwrap } from "@effect-listener/core/Transport"
import type * as NetAddress from "effect/net/NetAddress"
import type * as Net from "node:net"
import type { IntroductionOptions } from "../proxyProtocol/introduction.ts"
import type { LingerTimer } from "./goodbye/lingerTimer.ts"
import type { PollPhase } from "./pollPhase.ts"

/** What the connections of one listening socket have in common. */
export interface NetConnectionOptions {
  readonly protocol: string
  /** Whether the handler may go on writing when the peer has ended its side. */
  readonly halfOpen: boolean
  readonly remote: (socket: Net.Socket) => NetAddress.SocketAddress
  readonly local: (socket: Net.Socket) => NetAddress.SocketAddress
  /** Releases the socket at once, with a reset where there is one. Called once, on a socket that is not destroyed. */
  readonly reset: (socket: Net.Socket) => void
  readonly pollPhase: PollPhase
  readonly lingerTimer: LingerTimer
  /** How a proxy names its clients, where one is in front. */
  readonly introduction: IntroductionOptions | undefined
}

/** Where the connections of this package's transports have their `net.Socket`. */
export const nodeSocket: unique symbol = Symbol("@effect-listener/node/nodeSocket")

/** The `net.Socket` of a connection that a transport of this package handed over; that of TLS, once its handshake is done. */
export const netSocketOf = (connection: TransportConnection): Net.Socket | undefined =>
  netSocketIn(unwrap(connection, "transparent"))

const netSocketIn = (
  connection: TransportConnection & { readonly [nodeSocket]?: Net.Socket | undefined }
): Net.Socket | undefined => connection[nodeSocket]

/** Where the connections of this package's transports have the socket that was accepted, TLS or not. */
export const acceptedSocket: unique symbol = Symbol("@effect-listener/node/acceptedSocket")

/** The accepted `net.Socket` of a connection that a transport of this package handed over. */
export const acceptedSocketOf = (connection: TransportConnection): Net.Socket | undefined =>
  acceptedSocketIn(unwrap(connection, "transparent"))

const acceptedSocketIn = (
  connection: TransportConnection & { readonly [acceptedSocket]?: Net.Socket | undefined }
): Net.Socket | undefined => connection[acceptedSocket]

/** Releases a TCP socket with a reset. `writer` is the stream that was written to, where it is another one on top of it. */
export const resetTcp = (socket: Net.Socket, writer: Net.Socket = socket): void => {
  // Between the call of shutdown(2) and its completion libuv refuses a reset, and Node then forgets the handle without
  // closing it. The kernel has every byte and the FIN by then: there is nothing left to drop.
  const shuttingDown = writer.writableEnded && writer.writableLength === 0 && !writer.writableFinished
  if (shuttingDown) socket.destroy()
  else socket.resetAndDestroy()
}
