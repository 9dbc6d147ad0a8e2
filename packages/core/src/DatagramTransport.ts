/**
 * The custom binding of datagrams: what a `DatagramListener` needs from a kind of
 * socket.
 *
 * A `DatagramTransport` knows how to bind; what it binds hands over datagrams,
 * sends answers from the same address, and knows how to stop receiving while it
 * goes on sending. There are no connections, so there is no goodbye.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import type { DatagramSocketError } from "effect/socket/DatagramSocket"
import type { TransportAcceptError, TransportBindError } from "./Transport.ts"

/**
 * A way to receive datagrams: its name and how to bind.
 *
 * **Details**
 *
 * The scope of `bind` owns the socket. Closing it releases the address, also
 * when `stop` was interrupted or never ran, and completes when the socket is
 * closed: what was sent before has left by then, or its sender was told that it
 * did not.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface DatagramTransport {
  readonly name: string
  readonly bind: Effect.Effect<BoundDatagramTransport, TransportBindError, Scope.Scope>
}

/**
 * A datagram socket that is bound.
 *
 * **Details**
 *
 * - `receiveAll`: hands over every datagram by a call, in the order in which
 *   they came, until it fails as an accept does: `transient` errors are those of
 *   one datagram, `fatal` means that the socket is gone. Interrupted, it hands
 *   over no more.
 * - `stop`: first sweeps the socket, so that every datagram that waited in the
 *   kernel when it was called is handed over, and then stops receiving. Sending
 *   goes on until the scope of `bind` closes.
 * - `leave`: stops receiving without the sweep: what waits in the kernel stays
 *   there for other processes that have the socket.
 * - `dropped`: how many datagrams the transport itself has dropped so far: those
 *   for which it had no room while nothing received, and those that came after
 *   it had stopped. What the kernel drops is not known.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface BoundDatagramTransport {
  readonly address: NetAddress.SocketAddress
  readonly receiveAll: (
    arrive: (datagram: TransportDatagram) => void
  ) => Effect.Effect<never, TransportAcceptError>
  readonly stop: Effect.Effect<void>
  readonly leave?: Effect.Effect<void> | undefined
  readonly dropped: () => number
}

/**
 * One datagram as the transport hands it over.
 *
 * **Details**
 *
 * - `remote`: where it came from. Asked for only where it is needed, so that
 *   it need not be made for each.
 * - `send`: sends a datagram there, from the address at which this one arrived.
 *   Does not throw. `done` is called once, with `undefined` when the kernel has
 *   the datagram.
 * - `post`: sends it as well, without a word of how that went, where that is
 *   cheaper; answers `false` where it has not: `send` is used then. For
 *   handlers that are nothing but a reply, which have no use for the word.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface TransportDatagram {
  readonly payload: Uint8Array
  readonly remote: NetAddress.SocketAddress
  readonly send: (payload: Uint8Array, done: (error: DatagramSocketError | undefined) => void) => void
  readonly post?: ((payload: Uint8Array) => boolean) | undefined
}
