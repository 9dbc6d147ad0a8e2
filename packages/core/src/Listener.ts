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
import type * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { AdmissionOptions, TimeoutOptions } from "./Admission.ts"
import type { Connection } from "./Connection.ts"
import type { CloseOptions, DrainOptions, DrainProgress, DryRun } from "./Drain.ts"
import type { ConnectionInfo, DrainReport } from "./DrainReport.ts"
import type { AcceptError, CloseError, InvalidArgument, InvalidOperation, OpenError } from "./ListenerError.ts"
import type { ListenerState } from "./ListenerState.ts"

/**
 * Runtime type identifier of listeners.
 *
 * @stability experimental
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~@effect-listener/core/Listener"

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
 *   the waiting, not the drain.
 * - `closed`: waits for `Closed`, whoever closes.
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

/**
 * The options of a listener: its name in reports and logs (default: the
 * transport's), how it drains, whom it lets in, how long things may take.
 *
 * **Details**
 *
 * They are checked by `open`: `make` cannot fail.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface ListenerOptions {
  readonly name?: string | undefined
  readonly drain?: DrainOptions | undefined
  readonly admission?: AdmissionOptions | undefined
  readonly timeouts?: TimeoutOptions | undefined
}

/**
 * How connections are served.
 *
 * **Details**
 *
 * `idle` says when a connection has nothing in flight:
 *
 * - `"handler"` (default): never, from accept to the handler's end. Safe for
 *   any protocol, but a client that stays costs the deadline. Once the handler
 *   has opened an exchange, the connection goes by `"pull"`.
 * - `"pull"`: while the handler waits in `pull` with no open exchange. For
 *   handlers that work on one thing at a time: what most want.
 * - `"exchange"`: while no exchange is open. For callback protocols.
 *
 * `refuse` says how a connection is refused that admission does not let in; a
 * FIN by default.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface ServeOptions {
  readonly idle?: "handler" | "pull" | "exchange" | undefined
  readonly refuse?: ((connection: Connection) => Effect.Effect<void>) | undefined
}
