/**
 * A server's datagram socket as a resource with the lifetime of a listener.
 *
 * What `Listener` is for connections this is for datagrams: the same states,
 * errors, close, abort, reset, progress and report, and a place in a
 * `ListenerHost` beside listeners of connections. What is in flight is an
 * exchange: from the arrival of a datagram to the end of its handler. There is no
 * connection, so there is no goodbye, and nothing is ever idle.
 *
 * A close stops being ready, takes what waits in the kernel, receives no more,
 * waits for the exchanges, and releases the socket last, because their answers
 * leave by it.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as NetAddress from "effect/net/NetAddress"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type { DatagramSocketError } from "effect/socket/DatagramSocket"
import type * as Stream from "effect/Stream"
import type { DatagramTransport } from "./DatagramTransport.ts"
import type { CloseOptions, DrainProgress, DryRun } from "./Drain.ts"
import type { ConnectionInfo, DrainReport } from "./DrainReport.ts"
import * as internal from "./internal/datagrams/datagramListener.ts"
import type { DatagramAdmissionOptions, DatagramListenerOptions, ServeOptions } from "./internal/datagrams/options.ts"
import type {
  AcceptError,
  CloseError,
  InvalidArgument,
  InvalidOperation,
  ListenerFaulted,
  ListenError,
  OpenError
} from "./ListenerError.ts"
import type { ListenerState } from "./ListenerState.ts"

/**
 * Runtime type identifier of datagram listeners.
 *
 * @stability experimental
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: "~@effect-listener/core/DatagramListener" = internal.TypeId

/**
 * A datagram: its bytes, and where it came from.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Datagram {
  readonly payload: Uint8Array
  readonly remote: NetAddress.SocketAddress
}

/**
 * Sends a datagram back to where one came from, from the address at which that
 * one arrived. A string is sent as UTF-8.
 *
 * **Details**
 *
 * Completes when the kernel has it; whether it arrives is not known. Fails with
 * a `DatagramSocketError` when it could not be sent: the `kind` of its reason is
 * `MessageTooLarge`, `Unreachable`, `PermissionDenied` or `Unknown`, and a reason
 * `DatagramSocketClosedError` means that the exchange was cut, or the socket is
 * gone. It can be used more than once, also after the exchange has ended, as long
 * as the socket is there.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Reply = (payload: Uint8Array | string) => Effect.Effect<void, DatagramSocketError>

/**
 * A datagram that `receive` has taken, and how to answer it.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface ReceivedDatagram extends Datagram {
  readonly reply: Reply
}

/**
 * A server's datagram listener.
 *
 * **Details**
 *
 * - `changes`: the current state first, then each change once; ends with the
 *   owner scope.
 * - `readiness`: whether new work should be sent here: `Open`, and not in a
 *   lame duck.
 * - `receive`: the next datagram, first come first served; interrupted, it loses
 *   none. The exchange lives in the caller's scope: a close waits for that scope,
 *   unless it is called in it, and cuts the exchange at the deadline. What nothing
 *   has received waits, see `maxQueued`.
 * - `close`: receives what waits in the kernel, then no more, and waits for the
 *   exchanges; always ends in `Closed`, also when it fails with
 *   `OperationTimedOut` or `OperationAborted`. Interrupting it stops the waiting,
 *   not the drain. Every report has its `datagrams`.
 * - `closed`: waits for `Closed`, whatever closes it.
 * - `abort`: cuts everything at once, never fails, never waits.
 * - `exchanges`: what is in flight or queued, one entry a datagram.
 * - `progress`: the close as it runs, at most ten times a second; its
 *   `connections` are exchanges.
 * - `dryRun`: what a close now would wait for; stops nothing.
 * - `setAdmission`: changes the limits of a running listener; what is left out
 *   stays.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface DatagramListener {
  readonly [TypeId]: typeof TypeId
  readonly name: string
  readonly state: Effect.Effect<ListenerState>
  readonly changes: Stream.Stream<ListenerState>
  readonly readiness: Effect.Effect<boolean>
  readonly address: Effect.Effect<NetAddress.SocketAddress, InvalidOperation>
  readonly open: Effect.Effect<void, OpenError>
  readonly receive: Effect.Effect<ReceivedDatagram, AcceptError, Scope.Scope>
  readonly close: (options?: CloseOptions) => Effect.Effect<DrainReport, CloseError>
  readonly closed: Effect.Effect<DrainReport>
  readonly abort: Effect.Effect<void>
  readonly reset: Effect.Effect<void, InvalidOperation>
  readonly exchanges: Effect.Effect<ReadonlyArray<ConnectionInfo>>
  readonly progress: Stream.Stream<DrainProgress>
  readonly dryRun: Effect.Effect<DryRun>
  readonly setAdmission: (options: DatagramAdmissionOptions) => Effect.Effect<void, InvalidArgument>
}

/**
 * The datagram listener of the running application, which `layerServe` provides.
 *
 * @stability experimental
 * @category services
 * @since 0.1.0
 */
export const DatagramListener: Context.Service<DatagramListener, DatagramListener> = Context.Service<DatagramListener>(
  "@effect-listener/core/DatagramListener"
)

/**
 * Whether a value is a `DatagramListener`.
 *
 * @stability experimental
 * @category guards
 * @since 0.1.0
 */
export const isDatagramListener = (u: unknown): u is DatagramListener => Predicate.hasProperty(u, TypeId)

export type { DatagramAdmissionOptions, DatagramListenerOptions, ServeOptions } from "./internal/datagrams/options.ts"

/**
 * Makes a datagram listener in state `Created` that belongs to the current scope:
 * when that closes, the listener is brought to `Closed`, drained with its own
 * deadline, then cut.
 *
 * **Details**
 *
 * It cannot fail: options are checked by `open`.
 *
 * @see {@link listen} for a listener that is open already
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  transport: DatagramTransport,
  options?: DatagramListenerOptions
): Effect.Effect<DatagramListener, never, Scope.Scope> => internal.make(transport, options ?? {})

/**
 * Makes a datagram listener and opens it.
 *
 * **Example** (A datagram and its answer)
 *
 * ```ts
 * import { DatagramListener } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const transport = yield* MemoryTransport.datagrams()
 *   const listener = yield* DatagramListener.listen(transport)
 *   const client = yield* transport.client
 *   yield* client.send("ping")
 *   const datagram = yield* listener.receive
 *   yield* datagram.reply("pong")
 *   console.log(yield* client.receiveText) // => pong
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * ```
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const listen = (
  transport: DatagramTransport,
  options?: DatagramListenerOptions
): Effect.Effect<DatagramListener, ListenError, Scope.Scope> =>
  Effect.tap(internal.make(transport, options ?? {}), (listener) => listener.openFirst)

/**
 * Serves every datagram with a handler, until the listener is closed, and
 * answers with the report of that close.
 *
 * **Details**
 *
 * Each datagram runs the handler in one fiber and one scope of its own; any
 * number at the same time, unless `maxExchanges` limits them. An exchange whose
 * handler has ended is `answered`, whether it replied or not. A handler's failure
 * ends its exchange, is counted and logged (that of an answer that could not be
 * sent only as `Debug`), and is never `serve`'s. Handlers belong to the listener:
 * interrupting `serve` stops it taking datagrams, not the handlers it has
 * started. On a listener that is not open yet it waits; on one that is aborted it
 * fails with `ListenerFaulted`.
 *
 * A handler that is nothing but a reply, such as that of an echo, needs no fiber,
 * and nothing waits for its answer: one that the system refuses for a reason that
 * it does not tell at once, such as a peer without a route, counts as answered.
 *
 * **Example** (An echo)
 *
 * ```ts
 * import { DatagramListener } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const transport = yield* MemoryTransport.datagrams()
 *   const listener = yield* DatagramListener.listen(transport)
 *   yield* Effect.forkScoped(
 *     DatagramListener.serve(listener, (datagram, reply) => reply(datagram.payload))
 *   )
 *   const client = yield* transport.client
 *   yield* client.send("hello")
 *   console.log(yield* client.receiveText) // => hello
 *   const { datagrams } = yield* listener.close()
 *   console.log(datagrams?.answered) // => 1
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * ```
 *
 * @stability experimental
 * @category running
 * @since 0.1.0
 */
export const serve: {
  <E, R>(
    handler: (datagram: Datagram, reply: Reply) => Effect.Effect<unknown, E, R>,
    options?: ServeOptions
  ): (listener: DatagramListener) => Effect.Effect<DrainReport, ListenerFaulted, Exclude<R, Scope.Scope>>
  <E, R>(
    listener: DatagramListener,
    handler: (datagram: Datagram, reply: Reply) => Effect.Effect<unknown, E, R>,
    options?: ServeOptions
  ): Effect.Effect<DrainReport, ListenerFaulted, Exclude<R, Scope.Scope>>
} = dual(
  (args) => isDatagramListener(args[0]),
  <E, R>(
    listener: DatagramListener,
    handler: (datagram: Datagram, reply: Reply) => Effect.Effect<unknown, E, R>,
    options?: ServeOptions
  ): Effect.Effect<DrainReport, ListenerFaulted, Exclude<R, Scope.Scope>> =>
    Effect.suspend(() => internal.implementationOf(listener).serveHandler(handler, options))
)

/**
 * A layer that serves a transport for as long as it is there, and provides the
 * listener.
 *
 * **Details**
 *
 * The handler is in place before the first datagram arrives. When the layer ends,
 * the listener drains before the services its handler uses are released.
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerServe = <E, R>(
  transport: DatagramTransport,
  handler: (datagram: Datagram, reply: Reply) => Effect.Effect<unknown, E, R>,
  options?: DatagramListenerOptions & ServeOptions
): Layer.Layer<DatagramListener, ListenError, Exclude<R, Scope.Scope>> =>
  Layer.effect(DatagramListener, internal.makeServing(transport, handler, options ?? {}))

/**
 * Binds the transport and begins to receive.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const open = (self: DatagramListener): Effect.Effect<void, OpenError> => self.open

/**
 * Waits for the next datagram, whose exchange lives in the current scope.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const receive = (self: DatagramListener): Effect.Effect<ReceivedDatagram, AcceptError, Scope.Scope> =>
  self.receive

/**
 * Receives what waits, then no more, waits for the exchanges, and reports.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const close: {
  (options?: CloseOptions): (self: DatagramListener) => Effect.Effect<DrainReport, CloseError>
  (self: DatagramListener, options?: CloseOptions): Effect.Effect<DrainReport, CloseError>
} = dual(
  (args) => isDatagramListener(args[0]),
  (self: DatagramListener, options?: CloseOptions): Effect.Effect<DrainReport, CloseError> => self.close(options)
)

/**
 * Waits for `Closed`, whatever closes it.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const closed = (self: DatagramListener): Effect.Effect<DrainReport> => self.closed

/**
 * Cuts everything at once.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const abort = (self: DatagramListener): Effect.Effect<void> => self.abort

/**
 * Leads a closed listener back to `Created`, options kept.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const reset = (self: DatagramListener): Effect.Effect<void, InvalidOperation> => self.reset

/**
 * Changes the limits of a running listener.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const setAdmission: {
  (options: DatagramAdmissionOptions): (self: DatagramListener) => Effect.Effect<void, InvalidArgument>
  (self: DatagramListener, options: DatagramAdmissionOptions): Effect.Effect<void, InvalidArgument>
} = dual(
  2,
  (self: DatagramListener, options: DatagramAdmissionOptions): Effect.Effect<void, InvalidArgument> =>
    self.setAdmission(options)
)
