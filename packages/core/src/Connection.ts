/**
 * One client, from accept to end.
 *
 * A `Connection` gives its handler the socket, and tells the drain what is in
 * flight: `exchange` marks a unit of work that must not be cut (a request and
 * its answer, a message of a framed protocol from its first byte on), and
 * `draining` tells the handler that its listener is going away.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import type * as Tracer from "effect/Tracer"
import type { ConnectionInfo, ConnectionPhase } from "./DrainReport.ts"
import * as internalConnection from "./internal/connection/connection.ts"
import * as internal from "./internal/connection/serving/runForEach.ts"
import type { LingerOptions, TransportConnection } from "./Transport.ts"

/**
 * Runtime type identifier of connections.
 *
 * @stability experimental
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: "~@effect-listener/core/Connection" = internalConnection.TypeId

/**
 * One client, from accept to end.
 *
 * **Details**
 *
 * - `via`: the proxy that has named `remote` as its client, where one did.
 * - `socket`: reader and writer. A pull that the drain ends fails with a
 *   `SocketCloseError` of code 1001 and reason `"draining"`; 1000 is the
 *   peer's own end. A handler that ends with either ended normally.
 * - `exchange`: runs work as one unit in flight under a label; the drain waits
 *   for it. Ended at the latest with the handler.
 * - `beginExchange`: the same for callback code; call the result to end it,
 *   once or more often.
 * - `draining`: completes when draining, a lame duck included, reaches this
 *   connection.
 * - `detach`: the connection lives in the given scope from now on and outlives
 *   its listener; its handler goes on and is no longer waited for.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Connection {
  readonly [TypeId]: typeof TypeId
  readonly id: number
  readonly listener: string
  readonly protocol: string
  readonly remote: NetAddress.SocketAddress
  readonly local: NetAddress.SocketAddress
  readonly via: NetAddress.SocketAddress | undefined
  readonly socket: Socket.Socket
  readonly exchange: <A, E, R>(label: string, work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly beginExchange: (label: string) => () => void
  readonly draining: Effect.Effect<void>
  readonly detach: (scope: Scope.Scope) => Effect.Effect<void>
  readonly info: Effect.Effect<ConnectionInfo>
  /** The connection as its transport handed it over, for protocol packages. */
  readonly transport: TransportConnection
}

/**
 * Whether a value is a `Connection`.
 *
 * @stability experimental
 * @category guards
 * @since 0.1.0
 */
export const isConnection = (u: unknown): u is Connection => Predicate.hasProperty(u, TypeId)

/**
 * The connection whose handler is running: how a protocol layer finds it.
 * `None` outside a handler.
 *
 * **Example** (Naming the peer in a log line, wherever the code is)
 *
 * ```ts
 * import { Connection } from "@effect-listener/core"
 * import { Effect, Option } from "effect"
 *
 * const current = Effect.map(
 *   Connection.CurrentConnection,
 *   Option.match({ onNone: () => "none", onSome: (connection) => `connection ${connection.id}` })
 * )
 *
 * console.log(Effect.runSync(current)) // => none
 * ```
 *
 * @stability experimental
 * @category references
 * @since 0.1.0
 */
export const CurrentConnection: Context.Reference<Option.Option<Connection>> = Context.Reference(
  "@effect-listener/core/Connection/CurrentConnection",
  { defaultValue: () => Option.none<Connection>() }
)

/**
 * Gives each chunk that a client sends to `handle`, one after another, until
 * the client, the drain or a failure ends it: the loop of a handler that pulls
 * and handles, at the cost of a call.
 *
 * **Details**
 *
 * - The next chunk is taken when the effect of the one before it has ended, and
 *   nothing is read meanwhile. With `idle: "pull"` the connection is idle
 *   between chunks.
 * - Fails as a pull does: with a `SocketCloseError` of code 1000 when the client
 *   has ended, of 1001 when the drain has. A handler that ends with either ended
 *   normally.
 * - The effect of a chunk runs in a fiber of its own, with the context of the
 *   loop: what it forks ends with it, unless it is forked into a scope.
 *   Interruption interrupts it, and waits for it. `handle` itself is called
 *   before, outside of a fiber: a write that it answers with, or an `Exit`, needs
 *   none.
 *
 * **Example** (An echo server)
 *
 * ```ts
 * import { Connection, Listener } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const memory = yield* MemoryTransport.make()
 *   const listener = yield* Listener.listen(memory)
 *   const echo = Effect.fnUntraced(function*(connection: Connection.Connection) {
 *     const { write } = yield* connection.socket.writer
 *     return yield* Connection.runForEach(connection, write)
 *   })
 *   yield* Effect.forkScoped(Listener.serve(listener, echo, { idle: "pull" }))
 *
 *   const client = yield* memory.connect
 *   yield* client.write("hello")
 *   yield* client.end
 *   console.log(yield* client.readAllText) // => hello
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * ```
 *
 * @stability experimental
 * @category running
 * @since 0.1.0
 */
export const runForEach = <E, R>(
  connection: Connection,
  handle: (chunk: Uint8Array | string) => Effect.Effect<unknown, E, R>
): Effect.Effect<never, E | Socket.SocketError, R> =>
  Effect.suspend(() => internal.runForEach(internalConnection.implementationOf(connection), handle))

/**
 * How a protocol that works by callbacks, without a fiber a connection, takes
 * part in the lifetime: what the listener asks it and tells it.
 *
 * **Details**
 *
 * Times are milliseconds of the listener's monotonic clock (`events.now()`).
 *
 * - `busy`: whether something is in flight.
 * - `exchanges`: what is in flight, for reports.
 * - `lastActive`: when something was last read or answered: an idle connection
 *   has the idle grace from then on. Asked again at each look, so that half a
 *   message which arrives while draining can have a grace of its own; it must
 *   not move for ever.
 * - `drainNotified`: draining, a lame duck included, has reached the connection.
 * - `goodbye`: nothing is in flight: say the last word and end the transport, which
 *   may wait for the peer as `linger` says.
 * - `breakOff`: the connection is cut: says so, in the words of a protocol that
 *   has them, where the end of the transport alone would make what is in flight
 *   look whole. Answers whether the driver destroys the transport itself, when
 *   that is out and within a few turns of the event loop; it counts as running
 *   until then. Without it, the transport is destroyed at once.
 * - `cut`: the transport was destroyed; interrupt what still runs.
 * - `running`: whether something still runs after `cut`.
 * - `fibers`: the fibers that serve the connection. A close that one of them asks
 *   for does not wait for what that one does.
 * - `protocol`, `phase`, `bytesPending`: what only the protocol knows, for reports.
 *
 * @stability experimental
 * @category protocols
 * @since 0.1.0
 */
export interface ProtocolDriver {
  readonly busy: () => boolean
  readonly exchanges: () => ReadonlyArray<{ readonly label: string; readonly since: number }>
  readonly lastActive: () => number
  readonly drainNotified: () => void
  readonly goodbye: (linger: LingerOptions | "none") => void
  readonly breakOff?: (() => boolean) | undefined
  readonly cut: () => void
  readonly running: () => boolean
  readonly fibers?: (() => ReadonlyArray<Fiber.Fiber<unknown, unknown>>) | undefined
  readonly protocol?: (() => string) | undefined
  readonly bytesPending?: (() => number) | undefined
  readonly phase?: (() => ConnectionPhase | undefined) | undefined
}

/**
 * What ended a connection: `normal` where its handler, its protocol or the drain
 * did, `byPeer` where its peer did, `failed` where it was broken off in the
 * middle of something.
 *
 * @stability experimental
 * @category protocols
 * @since 0.1.0
 */
export type Ending = "normal" | "byPeer" | "failed"

/**
 * What a protocol driver tells its listener.
 *
 * **Details**
 *
 * Its members are called on it, and not taken off it.
 *
 * - `recheck`: something ended: look again whether the connection is idle.
 * - `closed`: the transport is gone; the last thing a driver says.
 * - `refused`: a request was read after a goodbye and not executed.
 * - `exchangeBegan`: something is in flight from now on: for metrics and spans only.
 *   Answers its span, where exchanges are traced.
 * - `exchangeEnded`: something that began has ended: how many milliseconds it took,
 *   and its span. Called once for each that began, at the latest with `closed`.
 * - `traced`: exchanges are traced: `exchangeBegan` needs a label.
 * - `sweeping`: the accept queue is being swept, one client a turn of the event
 *   loop. What is asked meanwhile, and is in flight from then on, is best begun
 *   by `afterSweep`, so that turns stay short.
 * - `afterSweep`: calls a function when the drain has begun, and after a second, or a
 *   tenth of the deadline, at the latest. Only while `sweeping`.
 * - `linger`: how long a goodbye that begins now may wait for the peer.
 * - `now`: milliseconds of the listener's monotonic clock.
 *
 * @stability experimental
 * @category protocols
 * @since 0.1.0
 */
export interface ProtocolEvents {
  readonly recheck: () => void
  readonly closed: (ending: Ending) => void
  readonly refused: () => void
  readonly exchangeBegan: (label: string | undefined) => Tracer.Span | undefined
  readonly exchangeEnded: (millis: number, span: Tracer.Span | undefined) => void
  readonly traced: boolean
  readonly sweeping: boolean
  readonly afterSweep: (work: () => void) => void
  readonly linger: () => LingerOptions
  readonly now: () => number
}
