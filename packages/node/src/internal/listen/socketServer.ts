/**
 * The options of Effect's `NodeSocketServer` in terms of a transport of this
 * package, and Effect's `SocketServer` over it.
 */
import type * as Connection from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import { type Transport, TransportBindError } from "@effect-listener/core/Transport"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as SocketServer from "effect/socket/SocketServer"
import type * as Net from "node:net"
import { netSocketOf } from "../socket/nodeSocket.ts"
import { tcpTransport } from "./tcp.ts"
import { unixTransport } from "./unix.ts"

/** Options of Node that a listener cannot honour; asked for, they fail the open by name. */
const unsupported = ["signal", "exclusive", "highWaterMark", "blockList"] as const

/** The transport that Node's options of a server describe. */
export const transportOf = (options: Net.ServerOpts & Net.ListenOptions): Transport => {
  const asked = unsupported.find((name) => options[name] !== undefined && options[name] !== false)
  if (asked !== undefined) return notSupported(`the option "${asked}" of node:net`)
  if (options.path !== undefined) {
    return unixTransport({
      path: options.path,
      backlog: options.backlog,
      // what Node's `writableAll` does to the mode a socket file has by default
      mode: options.writableAll === true ? 0o777 : undefined
    })
  }
  const initialDelay = options.keepAliveInitialDelay ?? 0
  return tcpTransport({
    port: options.port ?? 0,
    host: options.host,
    backlog: options.backlog,
    ipv6Only: options.ipv6Only,
    noDelay: options.noDelay,
    halfOpen: options.allowHalfOpen,
    reusePort: options.reusePort,
    keepAlive: options.keepAlive === true && initialDelay >= 1000 ? Duration.millis(initialDelay) : options.keepAlive
  })
}

const notSupported = (feature: string): Transport => ({
  name: "tcp",
  bind: Effect.fail(TransportBindError.NotSupported({ feature }))
})

/** Effect's `SocketServer` over a transport of this package, with the `NetSocket` of each connection. */
export const layerSocketServer = (
  transport: Transport,
  options: Listener.ListenerOptions & Listener.ServeOptions
): Layer.Layer<SocketServer.SocketServer | Listener.Listener, SocketServer.SocketServerError> =>
  Listener.layerSocketServer(transport, { ...options, services })

/** What a handler finds in its context besides what `run` was called with. */
const services = (connection: Connection.Connection): Context.Context<never> => {
  const socket = netSocketOf(connection.transport)
  // a service that no type asks for: it is looked up
  return (socket === undefined ? Context.empty() : Context.make(NodeSocket.NetSocket, socket)) as Context.Context<never>
}
