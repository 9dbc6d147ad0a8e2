/**
 * What an operator sees of listeners: probes for an orchestrator, metrics for
 * Prometheus, and every connection for a person, as JSON and as a page that
 * shows a drain while it runs.
 *
 * The routes belong on a listener of their own, an admin one of the
 * `ListenerHost`: that one closes last, so that what they say is true to the end,
 * and its port is not the one the world can reach. They show addresses and the
 * labels of exchanges, such as `GET /orders`, never payload data.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type { DatagramListener } from "@effect-listener/core/DatagramListener"
import { ConnectionInfo, ConnectionPhase } from "@effect-listener/core/DrainReport"
import * as DurationOption from "@effect-listener/core/DurationOption"
import type { Listener } from "@effect-listener/core/Listener"
import { InvalidArgument } from "@effect-listener/core/ListenerError"
import { ListenerHost } from "@effect-listener/core/ListenerHost"
import { ListenerState } from "@effect-listener/core/ListenerState"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import type * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { events } from "./internal/inspector/events.ts"
import { isAllowed } from "./internal/inspector/hostCheck.ts"
import * as inspection from "./internal/inspector/inspect.ts"
import * as page from "./internal/inspector/page.ts"
import { WorkerInfo } from "./internal/reports/schemas.ts"
import type { NodeWorkers } from "./NodeWorkers.ts"

/**
 * Schema of `InspectedConnection`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const InspectedConnection = Schema.Struct({
  ...ConnectionInfo.fields,
  moreExchanges: Schema.optionalKey(Schema.Int)
})

/**
 * One connection, with its eight oldest exchanges; `moreExchanges` is how many it
 * has beside them.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type InspectedConnection = typeof InspectedConnection.Type

/**
 * Schema of `ConnectionGroups`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const ConnectionGroups = Schema.Struct({
  groups: Schema.Array(Schema.Struct({ name: Schema.String, count: Schema.Int, oldest: Schema.Finite })),
  more: Schema.Int
})

/**
 * Many in a few lines: the largest groups, how many are in each, and the age in
 * milliseconds of the oldest in it. `more` is how many groups there are beside
 * them.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type ConnectionGroups = typeof ConnectionGroups.Type

/**
 * Schema of `RunningDrain`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const RunningDrain = Schema.Struct({
  stage: Schema.Literals(["LameDuck", "Sweeping", "Draining", "Aborting"]),
  remaining: Schema.Int,
  connections: Schema.Int,
  timeLeft: Schema.NullOr(Schema.Finite),
  oldest: Schema.NullOr(InspectedConnection)
})

/**
 * A close that runs: how many of its connections it still waits for, how many
 * milliseconds it may still take (`null` without a deadline), and the connection
 * that is open longest.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type RunningDrain = typeof RunningDrain.Type

/**
 * Schema of `ListenerInspection`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const ListenerInspection = Schema.Struct({
  name: Schema.String,
  address: Schema.NullOr(Schema.String),
  state: ListenerState,
  ready: Schema.Boolean,
  counts: Schema.Struct({ total: Schema.Int, phases: Schema.Record(ConnectionPhase, Schema.Int) }),
  drain: Schema.NullOr(RunningDrain),
  labels: ConnectionGroups,
  networks: ConnectionGroups,
  connections: Schema.Array(InspectedConnection)
})

/**
 * One listener as it stands.
 *
 * **Details**
 *
 * - `address`: where it listens; `null` where it is not open.
 * - `counts`: of all its connections, and how many of them stand in each phase.
 * - `drain`: its close, while one runs.
 * - `labels`: what is in flight, by label; numbers in it do not make another group.
 * - `networks`: where clients come from: /24 of IPv4, /64 of IPv6.
 * - `connections`, of a datagram listener exchanges, one a datagram: those with the oldest work in flight first, then those that are
 *   open longest; not more than the limit.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type ListenerInspection = typeof ListenerInspection.Type

/**
 * Schema of `WorkersInspection`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const WorkersInspection = Schema.Struct({
  size: Schema.Int,
  replacement: Schema.NullOr(Schema.Struct({ generation: Schema.Int, done: Schema.Int })),
  workers: Schema.Array(Schema.Struct({
    ...WorkerInfo.fields,
    answers: Schema.Boolean,
    listeners: Schema.Array(ListenerInspection)
  }))
})

/**
 * The workers of a supervisor as they stand.
 *
 * **Details**
 *
 * - `size`: how many there should be.
 * - `replacement`: the one that runs, which generation it makes, and how many
 *   workers of that generation accept.
 * - `workers`: each process with its listeners; `answers` is `false` of one whose
 *   event loop is held, or that does not run under `NodeMain.runMain`.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type WorkersInspection = typeof WorkersInspection.Type

/**
 * Schema of `Inspection`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const Inspection = Schema.Struct({
  host: Schema.NullOr(Schema.String),
  ready: Schema.Boolean,
  live: Schema.Boolean,
  drain: Schema.NullOr(RunningDrain),
  listeners: Schema.Array(ListenerInspection),
  workers: Schema.optionalKey(WorkersInspection)
})

/**
 * Listeners as they stand: what `/listeners` answers, in JSON.
 *
 * **Details**
 *
 * - `host`: the name of their host; `null` where they have none.
 * - `ready`, `live`: what `/readyz` and `/livez` say.
 * - `drain`: the close of the host, while one runs.
 * - `workers`: those of a supervisor, where it is one that was asked.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Inspection = typeof Inspection.Type

/**
 * What is inspected: the listeners of a host, some listeners without one, which
 * are ready together when each of them is, or the workers of a supervisor, which
 * are ready when one of them is.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Source = ListenerHost | ReadonlyArray<Listener | DatagramListener> | NodeWorkers

/**
 * The options of `routes`.
 *
 * **Details**
 *
 * - `prefix`: goes before every path, such as `"/admin"`. Default: none.
 * - `limit`: how many connections of one listener are listed. They are counted
 *   whatever the limit is. Default 500.
 * - `interval`: how often the page is told what has changed, at most once a
 *   millisecond. Default 500 ms.
 * - `metrics`: how the names of metrics are written.
 * - `hosts`: the names the port is asked by, beside addresses, names without a dot
 *   and the machine's own: `"admin.internal"`, or `"*.internal"` for all below it. A
 *   request by another name is refused with 421, because a web page that lets its
 *   own name point to this machine could read all of it. `"any"` refuses none.
 *   Default: none.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly prefix?: string | undefined
  readonly limit?: number | undefined
  readonly interval?: Duration.Input | undefined
  readonly metrics?: PrometheusMetrics.FormatOptions | undefined
  readonly hosts?: ReadonlyArray<string> | "any" | undefined
}

const defaultLimit = 500

/**
 * Looks at listeners as they stand. What is answered is plain data.
 *
 * @stability experimental
 * @category accessors
 * @since 0.1.0
 */
export const inspect = (source: Source, options?: Pick<Options, "limit">): Effect.Effect<Inspection> =>
  inspection.inspect(source, options?.limit ?? defaultLimit)

/**
 * Adds the routes of an inspector to an `HttpRouter`.
 *
 * **Details**
 *
 * | path | |
 * |---|---|
 * | `/livez` | 200 while the process is worth keeping, also as it drains; 503 once a listener has failed |
 * | `/readyz` | 200 while new work should be sent here; 503, with the reason, from the moment a close begins |
 * | `/metrics` | every Effect metric of the program in Prometheus' text format; of workers each with the label `worker` |
 * | `/listeners` | an `Inspection` as JSON |
 * | `/listeners/page` | the same as a page that stays up to date; it loads nothing else |
 * | `/listeners/events` | what the page is told, as server-sent events, each an `Inspection`; it ends when its own listener drains |
 *
 * They can be read by all that can reach the port. Addresses are masked where a
 * listener's option `maskRemote` says so.
 *
 * A `limit` or an `interval` that cannot be used fails the layer with
 * `InvalidArgument`.
 *
 * **Example** (Probes on a port of their own)
 *
 * ```ts
 * import { Listener, ListenerHost } from "@effect-listener/core"
 * import { ListenerInspector, NodeHttp } from "@effect-listener/node"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Context, Effect, Layer } from "effect"
 * import { HttpRouter, HttpServer } from "effect/http"
 *
 * const program = Effect.gen(function*() {
 *   const api = yield* Listener.make(yield* MemoryTransport.make(), { name: "api" })
 *   const host = yield* ListenerHost.make([api])
 *   const admin = yield* Layer.build(
 *     HttpRouter.serve(ListenerInspector.routes(host), { disableListenLog: true, disableLogger: true }).pipe(
 *       Layer.provideMerge(NodeHttp.layer({ host: "127.0.0.1", port: 0 }))
 *     )
 *   )
 *   const url = HttpServer.formatAddress(Context.get(admin, HttpServer.HttpServer).address)
 *   const readyz = Effect.map(Effect.promise(() => fetch(`${url}/readyz`)), ({ status }) => status)
 *   console.log(yield* readyz) // => 200
 *   yield* host.close()
 *   console.log(yield* readyz) // => 503
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * ```
 *
 * @see {@link layer} for the host of the application's layers
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const routes = (source: Source, options?: Options): Layer.Layer<never, InvalidArgument, HttpRouter.HttpRouter> =>
  Layer.unwrap(
    Effect.map(Effect.fromResult(resolveInterval(options)), (interval) => routesAt(source, interval, options))
  )

/** How often the page is told what has changed, in milliseconds. */
const resolveInterval = (options: Options | undefined): Result.Result<number, InvalidArgument> => {
  const { interval = "500 millis", limit = defaultLimit } = options ?? {}
  const whole = limit === Infinity || Number.isSafeInteger(limit) && limit >= 0
  return Result.flatMap(
    DurationOption.millis("interval", interval, { positive: true }),
    (millis) =>
      whole ? Result.succeed(Math.max(1, millis)) : Result.fail({
        parameter: "limit",
        detail: `expected a whole number of at least 0, got ${Formatter.format(limit)}`
      })
  ).pipe(
    Result.mapError((bad) => new InvalidArgument({ operation: "routes", listener: "inspector", trail: [], ...bad }))
  )
}

const routesAt = (
  source: Source,
  interval: number,
  options: Options | undefined
): Layer.Layer<never, never, HttpRouter.HttpRouter> => {
  const look = inspect(source, options)
  const { hosts = [], metrics, prefix } = options ?? {}
  const answers = {
    "/livez": probe(source, inspection.isLive, ({ state }) => state === "Faulted"),
    "/readyz": probe(source, inspection.isReady, ({ ready }) => !ready),
    "/metrics": Effect.map(inspection.metricsOf(source, metrics), prometheus),
    "/listeners": Effect.map(look, (seen) => HttpServerResponse.jsonUnsafe(seen)),
    "/listeners/page": Effect.succeed(page.response),
    "/listeners/events": events(look, interval)
  }
  return HttpRouter.addAll(
    Object.entries(answers).map(([path, answer]) =>
      // `Object.entries` widens the keys, which are all paths
      HttpRouter.route("GET", path as `/${string}`, Effect.map(guarded(hosts, answer), safe))
    ),
    { prefix }
  )
}

/**
 * `routes` for the host in scope: for layers that `ListenerHost.provide` is given.
 *
 * **Example** (A service and its admin port)
 *
 * ```ts no-run: serves until it is told to stop
 * import { ListenerHost } from "@effect-listener/core"
 * import { ListenerInspector, NodeHttp, NodeMain } from "@effect-listener/node"
 * import { Layer } from "effect"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 *
 * const Api = HttpRouter.serve(HttpRouter.add("GET", "/", HttpServerResponse.text("hello"))).pipe(
 *   Layer.provide(NodeHttp.layer({ port: 8080, name: "api" }))
 * )
 *
 * const Admin = HttpRouter.serve(ListenerInspector.layer()).pipe(
 *   Layer.provide(NodeHttp.layer({ host: "127.0.0.1", port: 9090, name: "admin" }))
 * )
 *
 * const Service = ListenerHost.provide(Layer.merge(Api, Admin), {
 *   admin: ["admin"],
 *   drain: { lameDuck: "5 seconds", deadline: "20 seconds" }
 * })
 *
 * NodeMain.runMain(Layer.launch(Service))
 * ```
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<never, InvalidArgument, ListenerHost | HttpRouter.HttpRouter> =>
  Layer.unwrap(Effect.map(ListenerHost, (host) => routes(host, options)))

/** A probe; where it says no, with the listeners that are why. */
const probe = (
  source: Source,
  good: (source: Source) => Effect.Effect<boolean>,
  why: (listener: ListenerInspection) => boolean
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.gen(function*() {
    if (yield* good(source)) return HttpServerResponse.text("ok\n")
    const { listeners, workers } = yield* inspection.inspect(source, 0)
    const lines = [
      ...listeners.filter(why).map(({ drain, name, state }) => `${name}: ${drain?.stage ?? state}`),
      ...workers?.workers.map(({ slot, state }) => `worker ${slot}: ${state}`) ?? []
    ]
    return HttpServerResponse.text(`no\n${lines.map(printable).join("")}`, { status: 503 })
  })

/** One line, whatever a listener of another kind may be called. */
const printable = (line: string): string => `${line.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, "?")}\n`

const prometheus = (text: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8" })

/** The answer to a request that asked by a name of the inspector's. */
const guarded = <R>(
  hosts: ReadonlyArray<string> | "any",
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, never, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest | R> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
    // HTTP/2 has the name in a header of its own
    isAllowed(headers["host"], hosts) && isAllowed(headers[":authority"], hosts) ? answer : Effect.succeed(misdirected))

const misdirected = HttpServerResponse.text(
  "the inspector is not asked by this name; if it should be, name it in the option hosts\n",
  { status: 421 }
)

/** What was true a moment ago is no answer here, and nothing is taken for another type than it says. */
const safe = (response: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.setHeaders(response, { "cache-control": "no-store", "x-content-type-options": "nosniff" })
