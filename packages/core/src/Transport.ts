/**
 * The custom binding: what a listener needs from a kind of socket.
 *
 * A `Transport` knows how to bind; a `BoundTransport` hands over connections
 * and knows how to stop; a `TransportConnection` knows how to end well. The
 * library enforces the state machine above them, so a transport keeps no state
 * of a lifetime and needs no locks: it is asked for one thing at a time.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as internal from "./internal/transport/wrappedConnection.ts"
import type { SecurityFailure } from "./ListenerError.ts"

/**
 * A way to listen: its name and how to bind.
 *
 * **Details**
 *
 * The scope of `bind` owns the listening socket: closing it stops listening at
 * once and releases the address, also when `stop` was interrupted or never
 * ran. It does not touch connections that were handed over.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Transport {
  readonly name: string
  readonly bind: Effect.Effect<BoundTransport, TransportBindError, Scope.Scope>
}

/**
 * Within `bind`, the name of the listener that binds: for transports whose
 * sockets other processes know by name. Empty elsewhere.
 *
 * @stability experimental
 * @category references
 * @since 0.1.0
 */
export const ListenerName: Context.Reference<string> = Context.Reference(
  "@effect-listener/core/Transport/ListenerName",
  { defaultValue: () => "" }
)

/**
 * A transport that is listening.
 *
 * **Details**
 *
 * - `accept` waits for the next connection. It is interruptible and loses
 *   nothing when interrupted: a connection that was about to be handed over is
 *   given to the next `accept`. While connections are queued it completes
 *   synchronously.
 * - `stop` first sweeps the accept queue, so that every client whose handshake
 *   the kernel had finished is handed over by `accept`, and then stops
 *   listening. It completes when the last of them has been handed over and the
 *   listening socket is closed.
 * - `leave` stops listening at once, without the sweep: what is in the kernel's
 *   queue stays there for another process that has the same socket. It completes
 *   when what `accept` had to hand over has been handed over. Left out, a close
 *   sweeps whatever it was told.
 * - `stillQueued`: while `stop` runs, whether clients that the kernel had accepted
 *   before are still in its queue; `undefined` where that cannot be known. A close
 *   waits for them until a tenth of its deadline is left, and for a stop that does
 *   not know, or that goes on without them, for a tenth.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface BoundTransport {
  readonly address: NetAddress.SocketAddress
  readonly accept: Effect.Effect<TransportConnection, TransportAcceptError>
  readonly stop: Effect.Effect<void>
  readonly leave?: Effect.Effect<void> | undefined
  readonly stillQueued?: (() => boolean | undefined) | undefined
  /** What is there for speed. Left out, `accept` is repeated. */
  readonly fast?: FastAccept | undefined
}

/**
 * What a transport that is listening may offer for speed.
 *
 * **Details**
 *
 * - `owner`: the `BoundTransport` it belongs to. A copy of that, made by
 *   spreading, is another one: its `accept` is used instead.
 * - `acceptAll`: `accept` again and again, without a fiber that waits for each.
 *   It hands over what is queued and all that comes, by a call, until it fails as
 *   `accept` would. Interrupted, it hands over no more.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface FastAccept {
  readonly owner: BoundTransport
  readonly acceptAll: (
    arrive: (connection: TransportConnection) => void
  ) => Effect.Effect<never, TransportAcceptError>
}

/**
 * Members that a class declares are not in the type of a copy made by spreading,
 * nor in the copy of a class instance.
 */
declare abstract class NotInCopies {
  /**
   * Ends reading, synchronously. With nothing buffered the waiting pull and all
   * later ones fail with `error`, and the answer is `true`; with bytes buffered
   * nothing happens, and the answer is `false`. Writing goes on either way.
   */
  endReading(error: Socket.SocketError): boolean
  /**
   * Ends the connection well: flush (until the kernel has the last byte), end
   * the writing side, then linger, reading and discarding, until the peer ends
   * or the bound is reached, and release the socket. Never fails; interrupting
   * it, or `destroy`, cuts it short.
   */
  goodbye(linger: LingerOptions | "none"): Effect.Effect<void>
  /** Releases the socket at once and drops what is unsent, with a reset where there is one. Idempotent. */
  get destroy(): Effect.Effect<void>
}

/**
 * One connection as the transport hands it over: nothing has been read from
 * it, and nothing is until its reader is first pulled.
 *
 * **Details**
 *
 * - `introduced`: where a proxy is the peer, completes when it has named its
 *   client: `remote` and `local` are then those of the client's connection to the
 *   proxy, and `via` is the peer. Read once, before admission. Left out, the peer
 *   is the client.
 * - `socket`: the connection as Effect's socket, a pull-based reader and a scoped
 *   writer.
 * - `bytesPending`: bytes written but not yet taken by the kernel.
 * - `ready`: completes when a handshake is done. An `Exit` that succeeded, such as
 *   `Effect.void`, says that the connection can be used as it comes.
 * - `settled`: completes when one whole read turn has passed. What had arrived
 *   before the call has by then been given to a waiting pull. For connections
 *   that give the same effect, a drain waits for it once.
 * - `endReading(error)`: ends reading, synchronously. With nothing buffered the
 *   waiting pull and all later ones fail with `error`, and the answer is `true`;
 *   with bytes buffered nothing happens, and the answer is `false`. Writing goes
 *   on either way.
 * - `goodbye(linger)`: ends the connection well: flush (until the kernel has the
 *   last byte), end the writing side, then linger, reading and discarding, until
 *   the peer ends or the bound is reached, and release the socket. Never fails;
 *   interrupting it, or `destroy`, cuts it short.
 * - `destroy`: releases the socket at once and drops what is unsent, with a reset
 *   where there is one. Idempotent.
 *
 * A connection may be an instance of a class, whose copy by spreading would have
 * lost its methods: such a copy does not type-check. `wrapConnection` changes
 * members of any connection.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface TransportConnection extends NotInCopies {
  readonly remote: NetAddress.SocketAddress
  readonly local: NetAddress.SocketAddress
  readonly protocol: string
  readonly via?: NetAddress.SocketAddress | undefined
  readonly introduced?: Effect.Effect<void, SecurityFailure | Socket.SocketError> | undefined
  readonly socket: Socket.Socket
  readonly bytesPending: () => number
  readonly ready: Effect.Effect<void, SecurityFailure | Socket.SocketError>
  readonly settled: Effect.Effect<void>
  /**
   * Calls `gone` once when the peer has gone though nothing is read: it has reset
   * the connection, or ended its side where it may not go on after that.
   * `halfOpen` says whether it may; left out, the transport does. The result takes
   * it back. Reads ahead no more than a reader is buffered, and loses nothing. Of
   * a peer that has ended its side and may go on, nothing more need be told.
   * Without it a connection that is held keeps its place when its client has gone.
   */
  readonly watchDeparture?: ((gone: () => void, halfOpen?: boolean) => () => void) | undefined
  /** What is there for speed. Left out, bytes and pulls are counted from outside, and a fiber waits for each goodbye. */
  readonly fast?: FastConnection | undefined
}

/**
 * What a connection may offer for speed.
 *
 * **Details**
 *
 * - `owner`: the connection it belongs to. Another connection that has it does
 *   without.
 * - `bytesIn`: bytes received so far.
 * - `bytesOut`: bytes written so far.
 * - `watchPulls`: tells of its reader's pulls. Called at most once. Left out, the
 *   reader is watched from outside, which costs several times as much for each
 *   pull.
 * - `endReadingAfter`: `endReading` for a handler that is entitled to the first
 *   `bytes` of all that come: when it has taken as many, reading ends though more
 *   are buffered. Left out, the handler gets whatever is buffered.
 * - `goodbyeDetached`: `goodbye` without a fiber that waits for it. `done` is
 *   called once, when the socket is released, also by `destroy`.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface FastConnection {
  readonly owner: TransportConnection
  readonly bytesIn: () => number
  readonly bytesOut: () => number
  readonly watchPulls?: ((watcher: PullWatcher) => void) | undefined
  readonly endReadingAfter?: ((error: Socket.SocketError, bytes: number) => boolean) | undefined
  readonly goodbyeDetached?: ((linger: LingerOptions | "none", done: () => void) => void) | undefined
}

/**
 * Hears of the pulls of a connection's reader: how many wait, when one begins to
 * wait (also if there is something for it to take at once), has taken something,
 * or no longer waits. Called before a fiber is resumed.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface PullWatcher {
  readonly pulls: (waiting: number) => void
  /** A write has to wait until the peer has taken something. */
  readonly waitsForRoom?: (() => void) | undefined
  /** The accept queue is being swept: what has come is best given to a pull by `afterSweep`, so that turns stay short. */
  readonly sweeping?: boolean | undefined
  /** Calls a function when the drain has begun, or earlier where the sweep takes long. Only while `sweeping`. */
  readonly afterSweep?: ((work: () => void) => void) | undefined
}

/**
 * How long a goodbye waits for the peer to end its side: until `idle` passes
 * without a byte, until `total` has passed, or until `bytes` were discarded.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface LingerOptions {
  readonly idle: Duration.Duration
  readonly total: Duration.Duration
  readonly bytes: number
}

/**
 * Why a bind failed, in the transport's words. The listener completes it with
 * its name, the operation and a trail.
 *
 * **Example** (A transport reporting a port that is taken)
 *
 * ```ts
 * import { Transport } from "@effect-listener/core"
 *
 * const error = Transport.TransportBindError.AddressInUse({ address: "127.0.0.1:8080" })
 * console.log(error._tag) // => AddressInUse
 * ```
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export type TransportBindError = Data.TaggedEnum<{
  InvalidArgument: { readonly parameter: string; readonly detail: string }
  QuotaExceeded: { readonly quota: string; readonly limit?: number | undefined }
  AddressInUse: { readonly address: string }
  AddressNotAvailable: { readonly address: string }
  AccessDenied: { readonly address: string }
  SecurityFailure: { readonly detail: string }
  NotSupported: { readonly feature: string }
  TransportFailure: { readonly code?: string | undefined; readonly cause: unknown }
}>

/**
 * Constructors of the reasons for which a bind fails.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export const TransportBindError = Data.taggedEnum<TransportBindError>()

/**
 * Why an accept failed.
 *
 * **Details**
 *
 * `transient` errors concern one client and are retried at once; `exhausted`
 * ones (no descriptors, no memory) are retried with a back-off; `fatal` means
 * that the listening socket is gone, and faults the listener; `closed` means
 * that the process has closed it past the listener, which closes then as well:
 * it drains, within its own deadline. `code` is the system's name of the error,
 * such as `EMFILE`.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class TransportAcceptError extends Data.TaggedError("TransportAcceptError")<{
  readonly class: "transient" | "exhausted" | "fatal" | "closed"
  readonly code?: string | undefined
  readonly cause: unknown
}> {
  override get message(): string {
    return `accept failed (${this.class}${this.code === undefined ? "" : `, ${this.code}`})`
  }
}

/**
 * The same transport, each of whose connections is what `f` makes of it.
 *
 * **Details**
 *
 * Of an `f` that throws, the connection it was called with is ended, counted as
 * failed, and logged.
 *
 * **Example** (Counting what is accepted)
 *
 * ```ts
 * import { Listener, Transport } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const memory = yield* MemoryTransport.make()
 *   let accepted = 0
 *   const counting = Transport.mapConnections(memory, (connection) => {
 *     accepted++
 *     return connection
 *   })
 *   const listener = yield* Listener.listen(counting)
 *   const client = yield* memory.connect
 *   yield* listener.accept
 *   yield* client.end
 *   return accepted
 * })
 *
 * console.log(await Effect.runPromise(Effect.scoped(program))) // => 1
 * ```
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const mapConnections = (
  transport: Transport,
  f: (connection: TransportConnection) => TransportConnection
): Transport => internal.mapConnections(transport, f)

/**
 * The same connection with other members.
 *
 * **Details**
 *
 * What is not overridden is that of the connection, at each use. What the
 * connection offers for speed is used as long as reading, writing and the end are
 * its own, that is when none of `socket`, `endReading`, `goodbye` and `destroy`
 * is overridden.
 *
 * **Example** (A remote address that a proxy has told)
 *
 * ```ts
 * import { Transport } from "@effect-listener/core"
 * import { NetAddress } from "effect/net"
 *
 * const from = (connection: Transport.TransportConnection, remote: NetAddress.SocketAddress) =>
 *   Transport.wrapConnection(connection, { remote })
 *
 * console.log(from.length) // => 2
 * ```
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const wrapConnection = (
  connection: TransportConnection,
  overrides: Partial<Omit<TransportConnection, "fast">>
): TransportConnection => internal.wrapConnection(connection, overrides)

/**
 * The connection that a transport handed over, beneath what `wrapConnection` has
 * made of it.
 *
 * **Details**
 *
 * With `"transparent"` it ends at a wrapper that has a `socket`, `endReading`,
 * `goodbye` or `destroy` of its own, and must not be passed by.
 *
 * **Example** (Looking beneath a wrapper)
 *
 * ```ts
 * import { Transport } from "@effect-listener/core"
 *
 * const isWrapped = (connection: Transport.TransportConnection) => Transport.unwrap(connection) !== connection
 *
 * console.log(isWrapped.length) // => 1
 * ```
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const unwrap = (
  connection: TransportConnection,
  wrappers: "all" | "transparent" = "all"
): TransportConnection => internal.unwrap(connection, wrappers)
