/**
 * Several listeners with one lifetime: one open, one close, one deadline.
 *
 * A host opens all of its listeners before the first of them accepts, or none.
 * Its close turns readiness off, stops all main listeners at once, drains them
 * together, and closes the admin listeners last, so that probes and metrics are
 * answered truthfully to the end. `HostReport` adds up what each of them did.
 *
 * `make` takes listeners; `layer` and `provide` take in those that are made
 * anywhere in the layers of an application.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { type DatagramListener, isDatagramListener } from "./DatagramListener.ts"
import type { CloseOptions, DrainOptions, DrainProgress } from "./Drain.ts"
import { ConnectionCounts, DrainReport, format as formatReport, Outcome } from "./DrainReport.ts"
import * as datagrams from "./internal/datagrams/datagramListener.ts"
import { implementationOf, TypeId as InternalTypeId } from "./internal/host/host.ts"
import type { HostedListener } from "./internal/host/hostClose.ts"
import { merge } from "./internal/host/hostPolicy.ts"
import * as internal from "./internal/host/makeHost.ts"
import * as connections from "./internal/lifecycle/listener.ts"
import type { Listener } from "./Listener.ts"
import type { CloseError, InvalidArgument, OpenError } from "./ListenerError.ts"
import { CurrentRegistry } from "./ListenerRegistry.ts"

/**
 * Runtime type identifier of hosts.
 *
 * @stability experimental
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: "~@effect-listener/core/ListenerHost" = InternalTypeId

/**
 * Schema of `HostTotals`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const HostTotals = Schema.Struct({
  swept: Schema.Int,
  refused: Schema.Int,
  connections: ConnectionCounts,
  cut: Schema.Int,
  handlersLeftBehind: Schema.Int
})

/**
 * The sums over the listeners of a host; `cut` and `handlersLeftBehind` count
 * what the listeners' reports name.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type HostTotals = typeof HostTotals.Type

/**
 * Schema of `HostReport`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const HostReport = Schema.Struct({
  host: Schema.String,
  reason: Schema.String,
  outcome: Outcome,
  duration: Schema.Finite,
  listeners: Schema.Array(DrainReport),
  totals: HostTotals
})

/**
 * What the close of a host did: plain data, without payload.
 *
 * **Details**
 *
 * - `outcome`: the worst of its listeners'.
 * - `duration`: milliseconds from the call to the end.
 * - `listeners`: one report each, the main ones in the host's order, then the
 *   admin ones.
 * - `totals`: what they add up to.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type HostReport = typeof HostReport.Type

/**
 * Several listeners with one lifetime.
 *
 * **Details**
 *
 * - `listeners`: those that belong to it, the main ones first.
 * - `datagramListeners`: the same of those of datagrams.
 * - `readiness`: whether new work should be sent here, for `/readyz`: every
 *   main listener is open, there is at least one, and no close has begun.
 * - `liveness`: whether the process is worth keeping, for `/livez`: no listener
 *   is faulted. Stays `true` while the host closes, however long that takes.
 * - `close`: readiness off, one lame duck over all main listeners, all but the
 *   admin ones stop accepting at once, drain, abort, and the admin ones last,
 *   within the deadline less the host's `reserve`, counted from when accepting
 *   stops. Its error carries the listeners' reports merged into one; `closed`
 *   has them one by one. During a lame duck a second close ends that and both get
 *   one report; later it is `InvalidOperation`; after it, it answers with the
 *   last report. Interrupting it stops the waiting only.
 * - `closed`: waits for the end, whatever closes it.
 * - `abort`: aborts every listener at once, never fails, never waits; a running
 *   close fails with `OperationAborted` and still ends.
 * - `progress`: the close as it runs, all listeners taken together; what a close
 *   of admin listeners waits for counts once that has begun.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface ListenerHost {
  readonly [TypeId]: typeof TypeId
  readonly name: string
  readonly listeners: Effect.Effect<ReadonlyArray<Listener>>
  readonly datagramListeners: Effect.Effect<ReadonlyArray<DatagramListener>>
  readonly readiness: Effect.Effect<boolean>
  readonly liveness: Effect.Effect<boolean>
  readonly close: (options?: CloseOptions) => Effect.Effect<HostReport, CloseError>
  readonly closed: Effect.Effect<HostReport>
  readonly abort: Effect.Effect<void>
  readonly progress: Stream.Stream<DrainProgress>
}

/**
 * The host of the running application: the layers below provide it, for probes
 * and for what closes it.
 *
 * @stability experimental
 * @category services
 * @since 0.1.0
 */
export const ListenerHost: Context.Service<ListenerHost, ListenerHost> = Context.Service<ListenerHost>(
  "@effect-listener/core/ListenerHost"
)

/**
 * Whether a value is a `ListenerHost`.
 *
 * @stability experimental
 * @category guards
 * @since 0.1.0
 */
export const isListenerHost = (u: unknown): u is ListenerHost => Predicate.hasProperty(u, TypeId)

/**
 * The options of a host.
 *
 * **Details**
 *
 * - `name`: in reports, errors and logs. Default `"host"`.
 * - `drain`: `deadline` and `lameDuck` hold for all listeners together; the
 *   other options, where given, go before each listener's own. Default: a
 *   deadline of 20 s, no lame duck.
 * - `reserve`: how much of the deadline is kept for the finalizers that run after
 *   the host is closed. Default 0.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface HostOptions {
  readonly name?: string | undefined
  readonly drain?: DrainOptions | undefined
  readonly reserve?: Duration.Input | undefined
}

/**
 * Makes a host of listeners in state `Created` and opens them all. It belongs to
 * the current scope: when that closes, the host is closed.
 *
 * **Details**
 *
 * Each listener binds, in order, the admin ones last. When all are bound all are
 * open, and only then the first connection is accepted; what arrived before is
 * kept by the transports. When one fails to open, all are `Created` again and
 * their addresses free; the error names the one that failed.
 *
 * The listeners leave the registry of the program, and the host joins it in
 * their place.
 *
 * **Example** (An API and its admin port)
 *
 * ```ts
 * import { Listener, ListenerHost } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const api = yield* Listener.make(yield* MemoryTransport.make(), { name: "api" })
 *   const admin = yield* Listener.make(yield* MemoryTransport.make(), { name: "admin" })
 *   const host = yield* ListenerHost.make([api], { admin: [admin], drain: { deadline: "20 seconds" } })
 *   console.log(yield* host.readiness) // => true
 *   const report = yield* host.close({ reason: "deploy" })
 *   console.log(report.outcome, report.listeners.map((listener) => listener.listener).join(", ")) // => Drained api, admin
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * ```
 *
 * @see {@link provide} for listeners that layers make
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  listeners: ReadonlyArray<Listener | DatagramListener>,
  options?: HostOptions & { readonly admin?: ReadonlyArray<Listener | DatagramListener> | undefined }
): Effect.Effect<ListenerHost, OpenError, Scope.Scope> =>
  Effect.suspend(() =>
    internal.make(listeners.map(hostedOf), {
      ...options,
      admin: options?.admin?.map(hostedOf)
    })
  )

const hostedOf = (listener: Listener | DatagramListener): HostedListener =>
  isDatagramListener(listener) ? datagrams.implementationOf(listener) : connections.implementationOf(listener)

/**
 * The options of a host whose listeners are made by layers: `admin` names those
 * that are closed last.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface HostLayerOptions extends HostOptions {
  readonly admin?: ReadonlyArray<string> | undefined
}

/**
 * A layer that provides a host. Every listener made in the layers it is provided
 * to belongs to it: the host's `close`, a main program's signal, and the end of
 * the host's own scope close them all.
 *
 * **Details**
 *
 * The listeners open and accept as their layers are built. A scope releases what
 * is built on a layer before the layer itself: when it closes without a close
 * before, each listener is drained by its own layer, in that order. `provide` does
 * both in the host's order.
 *
 * @see {@link provide} for layers that open together and are closed before they are released
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: HostLayerOptions): Layer.Layer<ListenerHost, InvalidArgument> =>
  makeLayer(options ?? {}, true)

const makeLayer = (
  options: HostLayerOptions,
  released: boolean
): Layer.Layer<ListenerHost, InvalidArgument> =>
  Layer.effectContext(
    Effect.map(internal.makeEmpty(options, released), (host) => {
      const registry = host.registry((name) => options.admin?.includes(name) === true)
      return Context.add(Context.make(ListenerHost, host), CurrentRegistry, Option.some(registry))
    })
  )

/**
 * Provides a host to the layers of an application, and closes it before they are
 * released.
 *
 * **Details**
 *
 * Every listener made in these layers belongs to the host. The main ones accept
 * when all of the application is built; when a part of it fails to build nothing
 * has been accepted. The admin ones, by name, accept from the start and can say
 * that the others are not ready. When the layer ends, the host closes first, in its
 * own order; then the layers are released.
 *
 * **Example** (Two ports that open, drain and close as one)
 *
 * ```ts
 * import { Listener, ListenerHost } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect, Layer } from "effect"
 *
 * const port = (name: string) =>
 *   Layer.unwrap(Effect.map(MemoryTransport.make(), (transport) =>
 *     Listener.layerServe(transport, (connection) => connection.draining, { name })
 *   ))
 *
 * const app = Layer.merge(port("api"), port("admin"))
 *
 * const program = Effect.gen(function*() {
 *   const host = yield* ListenerHost.ListenerHost
 *   console.log((yield* host.listeners).map((listener) => listener.name).join(", ")) // => api, admin
 *   console.log(yield* host.readiness) // => true
 * })
 *
 * await Effect.runPromise(Effect.provide(program, ListenerHost.provide(app, { admin: ["admin"] })))
 * ```
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const provide: {
  (options?: HostLayerOptions): <A, E, R>(
    app: Layer.Layer<A, E, R>
  ) => Layer.Layer<A | ListenerHost, E | InvalidArgument, Exclude<R, ListenerHost>>
  <A, E, R>(
    app: Layer.Layer<A, E, R>,
    options?: HostLayerOptions
  ): Layer.Layer<A | ListenerHost, E | InvalidArgument, Exclude<R, ListenerHost>>
} = dual(
  (args) => Layer.isLayer(args[0]),
  <A, E, R>(
    app: Layer.Layer<A, E, R>,
    options?: HostLayerOptions
  ): Layer.Layer<A | ListenerHost, E | InvalidArgument, Exclude<R, ListenerHost>> =>
    started(options?.admin ?? []).pipe(Layer.provideMerge(app), Layer.provideMerge(makeLayer(options ?? {}, false)))
)

/** Built last, so released first. */
const started = (admin: ReadonlyArray<string>): Layer.Layer<never, InvalidArgument, ListenerHost> =>
  Layer.effectDiscard(
    Effect.flatMap(ListenerHost, (service) => {
      // the one that `provide` makes just before
      const host = implementationOf(service)
      const missing = host.missing(admin)
      return Effect.andThen(
        Effect.addFinalizer(() => host.finish),
        missing === undefined ? Effect.sync(() => host.release()) : Effect.fail(internal.invalid(host.name, missing))
      )
    })
  )

/**
 * A report as a person would like to read it: the host in two lines, then each
 * of its listeners.
 *
 * **Example** (Printing a report)
 *
 * ```ts
 * import { Listener, ListenerHost } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const api = yield* Listener.make(yield* MemoryTransport.make(), { name: "api" })
 *   const host = yield* ListenerHost.make([api], { name: "service" })
 *   console.log(ListenerHost.format(yield* host.close({ reason: "deploy" })))
 *   // => service: drained in … ms (deploy)
 *   // =>   0 connections
 *   // =>   api: drained in … ms (deploy)
 *   // =>     0 connections
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * ```
 *
 * @stability experimental
 * @category formatting
 * @since 0.1.0
 */
export const format = (report: HostReport): string => {
  const listeners = report.listeners.flatMap((listener) => formatReport(listener).split("\n"))
  return [
    formatReport({ ...merge(report), cut: [], handlersLeftBehind: [] }),
    ...listeners.map((line) => `  ${line}`)
  ].join("\n")
}
