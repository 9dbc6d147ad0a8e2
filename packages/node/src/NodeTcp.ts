/**
 * TCP as a transport of listeners.
 *
 * `transport` listens with Node's `net.Server` and hands over each socket as
 * the kernel accepted it: paused, unread, and able to stay half-open. What a
 * listener does with it is the business of `@effect-listener/core`.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type { Listener, ListenerOptions, ServeOptions } from "@effect-listener/core/Listener"
import type { Transport } from "@effect-listener/core/Transport"
import type * as Duration from "effect/Duration"
import type * as Layer from "effect/Layer"
import type * as SocketServer from "effect/socket/SocketServer"
import type * as Net from "node:net"
import * as socketServer from "./internal/listen/socketServer.ts"
import { tcpTransport } from "./internal/listen/tcp.ts"
import type { Inherit } from "./NodeInherit.ts"
import type { ProxyProtocolOptions } from "./NodeProxyProtocol.ts"

/**
 * Where and how to listen.
 *
 * **Details**
 *
 * An option that cannot be used makes `bind` fail with `InvalidArgument`;
 * nothing throws.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface TransportOptions {
  /** 0 to 65535; 0 lets the system choose a free one. */
  readonly port: number
  /** An IP address or a name of this host. Default: `"::"` where there is IPv6, else `"0.0.0.0"`. */
  readonly host?: string | undefined
  /**
   * How many connections may wait to be accepted, at least 1: so many in the
   * kernel, where `net.core.somaxconn` bounds it too, and so many again in the
   * queue that `accept` takes from. Those beyond are ended with a FIN.
   * Default: 511; of an inherited socket 4096.
   */
  readonly backlog?: number | undefined
  /** Whether an IPv6 socket refuses IPv4 clients. Default: `false`, so `"::"` serves both. */
  readonly ipv6Only?: boolean | undefined
  /** Whether small writes are sent at once (`TCP_NODELAY`). Default: `true`. */
  readonly noDelay?: boolean | undefined
  /**
   * Whether the kernel probes silent peers, and after which silence first: a
   * duration of whole seconds, at least 1 s. `true` leaves the time to the
   * system, where it is usually 2 hours. Default: `false`.
   */
  readonly keepAlive?: boolean | Duration.Input | undefined
  /**
   * Whether writing goes on when the peer has ended its side. A peer that ends
   * its side has said all it had to say, and may well wait for the answer: so
   * its end fails the reader with a `SocketCloseError` of code 1000, and what
   * happens next is the handler's to decide. With `false` our side is ended
   * then as well, after what was already written. Default: `true`.
   */
  readonly halfOpen?: boolean | undefined
  /** Whether other sockets may listen on the same port and share its clients (`SO_REUSEPORT`). Default: `false`. */
  readonly reusePort?: boolean | undefined
  /** Reads the header that a proxy in front sends first: `connection.remote` is then its client. Default: none is read. */
  readonly proxyProtocol?: ProxyProtocolOptions | undefined
  /**
   * The inherited socket to listen on in place of binding one, when this process
   * was started with one of that name; see `NodeInherit`. The other options say
   * what it has to be. `reusePort` is then as the process that bound it has chosen.
   */
  readonly inherit?: Inherit | undefined
}

/**
 * TCP on a port.
 *
 * **Details**
 *
 * `bind` fails with `AddressInUse`, `AddressNotAvailable` (also for names that
 * cannot be resolved), `AccessDenied`, `QuotaExceeded`, `NotSupported`,
 * `InvalidArgument` or `TransportFailure`. Interrupting it releases the port.
 *
 * Closing the scope of `bind` closes the listening socket before anything
 * else, so that the port can be bound again at once. Connections that were
 * accepted by the kernel alone are then ended with a FIN, which takes half a
 * second at most.
 *
 * Addresses of IPv4 clients are IPv4, also on `"::"`.
 *
 * Switching a connection to TLS later, as STARTTLS does, is not supported: the
 * `upgrade` of its reader fails with `SocketUpgradeError`.
 *
 * Other code of the process that closes the listening socket, as `node:cluster`
 * does with a worker that is to disconnect, closes the listener: it drains.
 *
 * **Example** (A transport on any free port of this host)
 *
 * ```ts
 * import { NodeTcp } from "@effect-listener/node"
 * import { Effect } from "effect"
 *
 * const port = NodeTcp.transport({ host: "127.0.0.1", port: 0 }).bind.pipe(
 *   Effect.map((bound) => bound.address._tag),
 *   Effect.scoped
 * )
 *
 * console.log(await Effect.runPromise(port)) // => InetAddressV4
 * ```
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const transport = (options: TransportOptions): Transport => tcpTransport(options)

/**
 * A drop-in for `NodeSocketServer.layer`: provides Effect's `SocketServer` over
 * a listener that drains, and the listener.
 *
 * **Details**
 *
 * Takes `NodeSocketServer.layer`'s options (with `path`, a Unix socket), and a
 * listener's. The options `signal`, `exclusive`, `highWaterMark` and
 * `blockList` cannot be honoured and fail the layer with `NotSupported`.
 * Different from Node: `noDelay` and `allowHalfOpen` default to `true`.
 *
 * The handler's context has the connection's `NodeSocket.NetSocket`. No
 * connection is taken for idle unless `idle` says otherwise: under RPC a client
 * that stays is waited for until the deadline, and named. Interrupting `run` stops
 * it taking connections; its handlers go on under the listener, and drain with it.
 *
 * **Example** (RPC over a listener that drains)
 *
 * ```ts
 * import { NodeTcp } from "@effect-listener/node"
 * import { Layer } from "effect"
 * import { RpcSerialization, RpcServer } from "effect/rpc"
 *
 * export const Protocol = RpcServer.layerProtocolSocketServer.pipe(
 *   Layer.provide([
 *     NodeTcp.layerSocketServer({ port: 0, drain: { deadline: "10 seconds" } }),
 *     RpcSerialization.layerNdjson
 *   ])
 * )
 * ```
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerSocketServer = (
  options: Net.ServerOpts & Net.ListenOptions & ListenerOptions & ServeOptions
): Layer.Layer<SocketServer.SocketServer | Listener, SocketServer.SocketServerError> =>
  socketServer.layerSocketServer(socketServer.transportOf(options), options)
