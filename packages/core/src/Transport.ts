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
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
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
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface BoundTransport {
  readonly address: NetAddress.SocketAddress
  readonly accept: Effect.Effect<TransportConnection, TransportAcceptError>
  /**
   * `accept` again and again, without a fiber that waits for each: hands over
   * what is queued and all that comes, by a call, until it fails as `accept`
   * would. Interrupted, it hands over no more. Left out, `accept` is repeated;
   * who wraps `accept` must leave it out or wrap it as well.
   */
  readonly acceptAll?:
    | ((arrive: (connection: TransportConnection) => void) => Effect.Effect<never, TransportAcceptError>)
    | undefined
  readonly stop: Effect.Effect<void>
}

/**
 * One connection as the transport hands it over: nothing has been read from
 * it, and nothing is until its reader is first pulled.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface TransportConnection {
  readonly remote: NetAddress.SocketAddress
  readonly local: NetAddress.SocketAddress
  readonly protocol: string
  /** The connection as Effect's socket: a pull-based reader and a scoped writer. */
  readonly socket: Socket.Socket
  /** Bytes written but not yet taken by the kernel. */
  readonly bytesPending: () => number
  /** Bytes received so far. Left out, they are counted as the reader is pulled. */
  readonly bytesIn?: (() => number) | undefined
  /** Bytes written so far. Left out, they are counted as the writer is written to. */
  readonly bytesOut?: (() => number) | undefined
  /** Completes when a handshake is done; `Effect.void` on plain transports. */
  readonly ready: Effect.Effect<void, SecurityFailure | Socket.SocketError>
  /**
   * Ends reading, synchronously. With nothing buffered the waiting pull and all
   * later ones fail with `error`, and the answer is `true`; with bytes buffered
   * nothing happens, and the answer is `false`. Writing goes on either way.
   *
   * A transport with `watchPulls` is also told how many bytes the handler is
   * `owed`, of all that come: when it has taken as many, reading ends though
   * more are buffered. Nothing said, it is owed whatever is buffered.
   */
  readonly endReading: (error: Socket.SocketError, owed?: number) => boolean
  /**
   * Tells of its reader's pulls, for transports that count `bytesIn` and
   * `bytesOut` themselves and know `owed`. Called at most once. Left out, the
   * reader is watched from outside, which costs several times as much for each
   * pull; who wraps `socket` must leave it out or wrap it as well.
   */
  readonly watchPulls?: ((watcher: PullWatcher) => void) | undefined
  /**
   * Completes when one whole read turn has passed: what had arrived before the
   * call has by then been given to a waiting pull. For connections that give
   * the same effect, a drain waits for it once.
   */
  readonly settled: Effect.Effect<void>
  /**
   * Ends the connection well: flush (until the kernel has the last byte), end
   * the writing side, then linger, reading and discarding, until the peer ends
   * or the bound is reached, and release the socket. Never fails; interrupting
   * it, or `destroy`, cuts it short.
   */
  readonly goodbye: (linger: LingerOptions | "none") => Effect.Effect<void>
  /**
   * `goodbye` without a fiber that waits for it: `done` is called once, when
   * the socket is released, also by `destroy`. Left out, a fiber waits; who
   * wraps `goodbye` must leave it out or wrap it as well.
   */
  readonly leave?: ((linger: LingerOptions | "none", done: () => void) => void) | undefined
  /** Releases the socket at once and drops what is unsent, with a reset where there is one. Idempotent. */
  readonly destroy: Effect.Effect<void>
}

/**
 * Who is told of the pulls of a connection's reader: how many wait, when one
 * begins to wait (also if there is something for it to take at once), has taken
 * something, or does not wait any more. Told before a fiber is resumed.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface PullWatcher {
  readonly pulls: (waiting: number) => void
}

/**
 * A reader that can also give what comes by a call, so that no fiber has to
 * wait and be resumed for each chunk: `Connection.runForEach` looks for it.
 * For readers whose transport has `watchPulls`.
 *
 * **Details**
 *
 * `receive` is a pull that is repeated, in line with other pulls: where a pull
 * would wait, succeed or fail, the receiver waits, is given a chunk, or ends. A
 * receiver that waits is counted as a pull that waits.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface ReceivingReader extends Socket.Reader {
  readonly receive: (receiver: Receiver) => Receiving
}

/**
 * Who is given what comes, see `ReceivingReader`.
 *
 * **Details**
 *
 * - `chunk`: takes a chunk, and answers whether it waits for the next one.
 * - `end`: what a pull would have failed with. Called at most once, and last.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Receiver {
  readonly chunk: (chunk: Uint8Array | string) => boolean
  readonly end: (error: Socket.SocketError) => void
}

/**
 * What a receiver says to its reader, see `ReceivingReader`.
 *
 * **Details**
 *
 * - `next`: it waits for the next chunk, after one at which it did not.
 * - `stop`: it takes no more; it is not called any more, and nothing is lost.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Receiving {
  readonly next: () => void
  readonly stop: () => void
}

/**
 * Runtime type identifier of effects that need no fiber to begin.
 *
 * @stability experimental
 * @category type IDs
 * @since 0.1.0
 */
export const ImmediateTypeId = "~@effect-listener/core/Transport/ImmediateEffect"

/**
 * An effect that needs no fiber to begin, as a write: `Connection.runForEach`
 * looks for it.
 *
 * **Details**
 *
 * `begin` does at once what the effect does without waiting, as evaluating it
 * would, and answers with what is left: an `Exit` when that is nothing.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface ImmediateEffect<A, E = never, R = never> extends Effect.Effect<A, E, R> {
  readonly [ImmediateTypeId]: typeof ImmediateTypeId
  readonly begin: () => Effect.Effect<A, E, R>
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
 * that the listening socket is gone, and faults the listener. `code` is the
 * system's name of the error, such as `EMFILE`.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class TransportAcceptError extends Data.TaggedError("TransportAcceptError")<{
  readonly class: "transient" | "exhausted" | "fatal"
  readonly code?: string | undefined
  readonly cause: unknown
}> {
  override get message(): string {
    return `accept failed (${this.class}${this.code === undefined ? "" : `, ${this.code}`})`
  }
}
