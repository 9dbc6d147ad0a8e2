/**
 * A server's listener as a resource with a typed, observable lifetime.
 *
 * `make` gives a listener in state `Created` that belongs to a scope; `open`
 * binds its transport; `accept` and `serve` hand out connections; `close` stops
 * accepting, drains what is in flight and reports what happened; `abort` cuts
 * it all at once; `reset` begins anew. When the scope closes, the listener is
 * brought to `Closed` whatever state it is in.
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
import * as SocketServer from "effect/socket/SocketServer"
import type * as Stream from "effect/Stream"
import type { AdmissionOptions } from "./Admission.ts"
import type { Connection, Ending, ProtocolDriver, ProtocolEvents } from "./Connection.ts"
import type { CloseOptions, DrainProgress, DryRun } from "./Drain.ts"
import type { ConnectionInfo, DrainReport } from "./DrainReport.ts"
import { implementationOf } from "./internal/connection/connection.ts"
import * as internalDriver from "./internal/connection/serving/protocolDriver.ts"
import * as internal from "./internal/lifecycle/listener.ts"
import * as socketServer from "./internal/lifecycle/socketServer.ts"
import type { ListenerOptions, ServeOptions, SocketServeOptions } from "./internal/options/listenerOptions.ts"
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
import type { Transport } from "./Transport.ts"

/**
 * Runtime type identifier of listeners.
 *
 * @stability experimental
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: "~@effect-listener/core/Listener" = internal.TypeId

/**
 * A server's listener.
 *
 * **Details**
 *
 * - `changes`: the current state first, then each change once; ends with the
 *   owner scope.
 * - `readiness`: whether new work should be sent here: `Open`, and not in a
 *   lame duck.
 * - `accept`: the next connection, first come first served. It lives in the
 *   caller's scope: a close tells it draining, waits for that scope, and
 *   destroys it at the deadline.
 * - `close`: stops accepting and drains; always ends in `Closed`, also when it
 *   fails with `OperationTimedOut` or `OperationAborted`. Interrupting it stops
 *   the waiting, not the drain. A handler may close its own listener, and so may
 *   the fiber that has accepted a connection: what waits for the close, also under
 *   a time-out or in a race, is not waited for by it, and has the abort grace
 *   afterwards. What forks the close and goes on is waited for.
 * - `closed`: waits for `Closed`, whatever closes it, with the same rule.
 * - `abort`: cuts everything at once, never fails, never waits.
 * - `progress`: the close as it runs, at most ten times a second; the last
 *   element's counts equal the report's.
 * - `dryRun`: what a close now would wait for; stops nothing.
 * - `setAdmission`: changes the limits of a running listener; what is left out
 *   stays.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Listener {
  readonly [TypeId]: typeof TypeId
  readonly name: string
  readonly state: Effect.Effect<ListenerState>
  readonly changes: Stream.Stream<ListenerState>
  readonly readiness: Effect.Effect<boolean>
  readonly address: Effect.Effect<NetAddress.SocketAddress, InvalidOperation>
  readonly open: Effect.Effect<void, OpenError>
  readonly accept: Effect.Effect<Connection, AcceptError, Scope.Scope>
  readonly close: (options?: CloseOptions) => Effect.Effect<DrainReport, CloseError>
  readonly closed: Effect.Effect<DrainReport>
  readonly abort: Effect.Effect<void>
  readonly reset: Effect.Effect<void, InvalidOperation>
  readonly connections: Effect.Effect<ReadonlyArray<ConnectionInfo>>
  readonly progress: Stream.Stream<DrainProgress>
  readonly dryRun: Effect.Effect<DryRun>
  readonly setAdmission: (options: AdmissionOptions) => Effect.Effect<void, InvalidArgument>
}

/**
 * The listener of the running application: the layers below provide it, so
 * that other parts can ask for its address or watch its progress.
 *
 * @stability experimental
 * @category services
 * @since 0.1.0
 */
export const Listener: Context.Service<Listener, Listener> = Context.Service<Listener>("@effect-listener/core/Listener")

/**
 * Whether a value is a `Listener`.
 *
 * @stability experimental
 * @category guards
 * @since 0.1.0
 */
export const isListener = (u: unknown): u is Listener => Predicate.hasProperty(u, TypeId)

export type {
  ListenerOptions,
  ServeOptions,
  SocketServeOptions,
  TracingOptions
} from "./internal/options/listenerOptions.ts"

/**
 * Makes a listener in state `Created` that belongs to the current scope: when
 * that closes, the listener is brought to `Closed`, drained with its own
 * deadline, then cut. It cannot fail: `open` checks the options.
 *
 * @see {@link listen} for a listener that is open already
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  transport: Transport,
  options?: ListenerOptions
): Effect.Effect<Listener, never, Scope.Scope> => internal.make(transport, options ?? {})

/**
 * Makes a listener and opens it.
 *
 * **Example** (A listener that echoes)
 *
 * ```ts
 * import { Listener } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const listener = yield* Listener.listen(yield* MemoryTransport.make())
 *   console.log(yield* listener.state) // => Open
 *   const report = yield* listener.close()
 *   console.log(report.outcome) // => Drained
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
  transport: Transport,
  options?: ListenerOptions
): Effect.Effect<Listener, ListenError, Scope.Scope> =>
  Effect.tap(internal.make(transport, options ?? {}), (listener) => listener.openFirst)

/**
 * Serves every connection with a handler, until the listener is closed, and
 * answers with the report of that close.
 *
 * **Details**
 *
 * Each connection runs the handler in one fiber and one scope of its own. A
 * handler's failure ends its connection, is logged and counted, and is never
 * `serve`'s. Handlers belong to the listener: interrupting `serve` stops it
 * taking connections, not the handlers it has started. On a listener that is
 * not open yet it waits; on one that is aborted it fails with
 * `ListenerFaulted`.
 *
 * **Example** (An exchange a line)
 *
 * ```ts
 * import { Listener } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 * import { Socket } from "effect/socket"
 *
 * const program = Effect.gen(function*() {
 *   const transport = yield* MemoryTransport.make()
 *   const listener = yield* Listener.listen(transport)
 *   yield* Effect.forkScoped(Listener.serve(
 *     listener,
 *     Effect.fnUntraced(function*(connection) {
 *       const pull = yield* Socket.readerString(connection.socket)
 *       const writer = yield* connection.socket.writer
 *       while (true) {
 *         const text = (yield* pull).join("")
 *         yield* connection.exchange(text, writer.write(`you said ${text}`))
 *       }
 *     }),
 *     { idle: "pull" }
 *   ))
 *   const client = yield* transport.connect
 *   yield* client.write("hello")
 *   console.log(yield* client.readText(14)) // => you said hello
 *   const report = yield* listener.close()
 *   console.log(report.connections.idle) // => 1
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
    handler: (connection: Connection) => Effect.Effect<unknown, E, R>,
    options?: ServeOptions
  ): (listener: Listener) => Effect.Effect<DrainReport, ListenerFaulted, Exclude<R, Scope.Scope>>
  <E, R>(
    listener: Listener,
    handler: (connection: Connection) => Effect.Effect<unknown, E, R>,
    options?: ServeOptions
  ): Effect.Effect<DrainReport, ListenerFaulted, Exclude<R, Scope.Scope>>
} = dual(
  (args) => isListener(args[0]),
  <E, R>(
    listener: Listener,
    handler: (connection: Connection) => Effect.Effect<unknown, E, R>,
    options?: ServeOptions
  ): Effect.Effect<DrainReport, ListenerFaulted, Exclude<R, Scope.Scope>> =>
    Effect.suspend(() => internal.implementationOf(listener).serveHandler(handler, options))
)

/**
 * A layer that serves a transport for as long as it is there, and provides the
 * listener. The handler is in place before the first connection arrives. When the
 * layer ends, the listener drains before the services its handler uses are released.
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerServe = <E, R>(
  transport: Transport,
  handler: (connection: Connection) => Effect.Effect<unknown, E, R>,
  options?: ListenerOptions & ServeOptions
): Layer.Layer<Listener, ListenError, Exclude<R, Scope.Scope>> =>
  Layer.effect(Listener, internal.makeServing(transport, handler, options ?? {}))

/**
 * Effect's `SocketServer` over a listener: `run` serves, never returns, and
 * fails when the listener is aborted. Unlike Effect's own, interrupting `run`
 * does not interrupt its handlers: they belong to the listener, and drain with it.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const makeSocketServer = (
  listener: Listener,
  options?: SocketServeOptions
): Effect.Effect<SocketServer.SocketServer["Service"], InvalidOperation> =>
  Effect.suspend(() => socketServer.makeSocketServer(internal.implementationOf(listener), options))

/**
 * A layer that provides Effect's `SocketServer` over a transport, and the
 * listener under it.
 *
 * **Details**
 *
 * Connections are never taken for idle unless `idle` says otherwise, because a
 * multiplexed protocol such as RPC waits in its pull while calls run.
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerSocketServer = (
  transport: Transport,
  options?: ListenerOptions & SocketServeOptions
): Layer.Layer<SocketServer.SocketServer | Listener, SocketServer.SocketServerError> =>
  Layer.effectContext(
    Effect.gen(function*() {
      const listener = yield* listen(transport, options)
      const server = yield* makeSocketServer(listener, options)
      return Context.add(Context.make(SocketServer.SocketServer, server), Listener, listener)
    }).pipe(Effect.mapError(socketServer.openError))
  )

/**
 * Serves every connection with a protocol that works by callbacks, without a
 * fiber a connection: for protocol packages. Otherwise as `serve`.
 *
 * **Details**
 *
 * `attach` is called with each connection once its transport has it ready, must
 * not throw, and answers with the driver of its protocol. Call `events.closed`
 * when the transport is gone.
 *
 * @stability experimental
 * @category running
 * @since 0.1.0
 */
export const serveDriver = (
  listener: Listener,
  attach: (connection: Connection, events: ProtocolEvents) => ProtocolDriver,
  options?: {
    readonly refuse?: ((connection: Connection) => Effect.Effect<void>) | undefined
    readonly halfOpen?: boolean | undefined
  }
): Effect.Effect<DrainReport, ListenerFaulted> =>
  Effect.suspend(() =>
    internal.implementationOf(listener).serve((manager) =>
      internalDriver.driverConsumer(manager, attach, options ?? {})
    )
  )

/**
 * Lets a protocol that works by callbacks drive a connection inside its
 * handler, and answers how it ended: for protocol packages. From now on the
 * protocol says when the connection is idle, and says goodbye to it.
 * Interruption cuts it.
 *
 * @see {@link serveDriver} for connections that need no handler
 * @stability experimental
 * @category running
 * @since 0.1.0
 */
export const drive = (
  connection: Connection,
  attach: (connection: Connection, events: ProtocolEvents) => ProtocolDriver
): Effect.Effect<Ending> => Effect.suspend(() => internalDriver.drive(implementationOf(connection), attach))

/**
 * Closes a listener whose report is not received, such as in a finalizer: for
 * protocol packages. Brings any state to `Closed` with the listener's own
 * options, joins a close that runs, and never fails. The log line of a close
 * that was not clean is a warning, as it is when the listener's scope closes it.
 *
 * @stability experimental
 * @category running
 * @since 0.1.0
 */
export const shutdown = (listener: Listener, reason: string): Effect.Effect<void> =>
  Effect.suspend(() =>
    Effect.asVoid(internal.implementationOf(listener).shutdown(reason, { limit: Infinity, received: false }))
  )

/**
 * Binds the transport and begins to accept.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const open = (self: Listener): Effect.Effect<void, OpenError> => self.open

/**
 * Waits for the next connection, which lives in the current scope.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const accept = (self: Listener): Effect.Effect<Connection, AcceptError, Scope.Scope> => self.accept

/**
 * Stops accepting, drains, and reports.
 *
 * **Example** (Closing with a deadline of its own)
 *
 * ```ts
 * import { Listener } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = MemoryTransport.make().pipe(
 *   Effect.flatMap(Listener.listen),
 *   Effect.flatMap(Listener.close({ deadline: "5 seconds", reason: "deploy" })),
 *   Effect.map((report) => `${report.outcome}: ${report.reason}`),
 *   Effect.scoped
 * )
 *
 * console.log(await Effect.runPromise(program)) // => Drained: deploy
 * ```
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const close: {
  (options?: CloseOptions): (self: Listener) => Effect.Effect<DrainReport, CloseError>
  (self: Listener, options?: CloseOptions): Effect.Effect<DrainReport, CloseError>
} = dual(
  (args) => isListener(args[0]),
  (self: Listener, options?: CloseOptions): Effect.Effect<DrainReport, CloseError> => self.close(options)
)

/**
 * Waits for `Closed`, whatever closes it.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const closed = (self: Listener): Effect.Effect<DrainReport> => self.closed

/**
 * Cuts everything at once.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const abort = (self: Listener): Effect.Effect<void> => self.abort

/**
 * Leads a closed listener back to `Created`, options kept.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const reset = (self: Listener): Effect.Effect<void, InvalidOperation> => self.reset

/**
 * Changes the limits of a running listener.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const setAdmission: {
  (options: AdmissionOptions): (self: Listener) => Effect.Effect<void, InvalidArgument>
  (self: Listener, options: AdmissionOptions): Effect.Effect<void, InvalidArgument>
} = dual(
  2,
  (self: Listener, options: AdmissionOptions): Effect.Effect<void, InvalidArgument> => self.setAdmission(options)
)
