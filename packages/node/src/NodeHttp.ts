/**
 * HTTP on a listener: what `NodeHttpServer` is, with a lifetime.
 *
 * `layer` takes what `NodeHttpServer.layer` takes and provides what it
 * provides. The difference is in how it ends: accepting stops, what is in
 * flight is answered, clients are told to go in the words of their protocol,
 * and what could not be finished is named. The HTTP servers of Node run the
 * protocols and never listen: sockets are accepted, admitted and counted by the
 * listener under them, which the layers provide, too.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type { Connection } from "@effect-listener/core/Connection"
import { Listener } from "@effect-listener/core/Listener"
import type { NotSupported } from "@effect-listener/core/ListenerError"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import type * as NodeServices from "@effect/platform-node/NodeServices"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type { LazyArg } from "effect/Function"
import type * as Etag from "effect/http/Etag"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type { HttpClient } from "effect/http/HttpClient"
import type * as HttpPlatform from "effect/http/HttpPlatform"
import * as HttpServer from "effect/http/HttpServer"
import { ServeError } from "effect/http/HttpServerError"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as Scope from "effect/Scope"
import type { SocketError } from "effect/socket/Socket"
import * as Http from "node:http"
import type * as Http2 from "node:http2"
import { makeApp } from "./internal/http/app.ts"
import { connectionOf, type NodeServer } from "./internal/http/nodeHttpServers.ts"
import * as HttpOptions from "./internal/http/options.ts"
import * as internal from "./internal/http/server.ts"
import type { Options, ServerOptions, TimeoutOptions } from "./internal/http/serverOptions.ts"

export type { Options, ServerOptions, TimeoutOptions, TlsOptions } from "./internal/http/serverOptions.ts"

/**
 * What the layers provide: the HTTP server, what HTTP applications need of the
 * platform, and the listener.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Provided =
  | HttpServer.HttpServer
  | Listener
  | NodeServices.NodeServices
  | HttpPlatform.HttpPlatform
  | Etag.Generator

const open = (
  createServer: LazyArg<NodeServer> | undefined,
  options: ServerOptions
): Effect.Effect<Context.Context<HttpServer.HttpServer | Listener>, ServeError, Scope.Scope> =>
  Effect.gen(function*() {
    const http = yield* internal.open(HttpOptions.httpServer(createServer, options))
    if (options.signal !== undefined) yield* internal.closeOnAbort(http.listener, options.signal)
    const server = internal.httpServer(http, options.disablePreemptiveShutdown ?? false)
    return Context.add(Context.make(HttpServer.HttpServer, server), Listener, http.listener)
  }).pipe(Effect.mapError((cause) => new ServeError({ cause })))

/** The arguments of everything below: a server of one's own and its options, or the options of one to be made. */
type Arguments<O, S> = [createServer: LazyArg<NodeServer>, options: O] | [options: S]

/**
 * Effect's HTTP server on a listener that is open: what `NodeHttpServer.make`
 * is, with the same arguments or without a server of one's own.
 *
 * **Details**
 *
 * The server never listens: its `listening`, `address()` and `close()` know
 * nothing of the port. When the scope that serves closes, the listener is
 * drained before the handlers' services are released.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const make: {
  (
    createServer: LazyArg<Http.Server | Http2.Http2Server | Http2.Http2SecureServer>,
    options: Options
  ): Effect.Effect<HttpServer.HttpServer["Service"], ServeError, Scope.Scope>
  (options: ServerOptions): Effect.Effect<HttpServer.HttpServer["Service"], ServeError, Scope.Scope>
} = (...args: Arguments<Options, ServerOptions>) => Effect.map(open(...split(args)), Context.get(HttpServer.HttpServer))

const split = <O, S>(args: Arguments<O, S>): readonly [LazyArg<NodeServer> | undefined, O | S] =>
  args.length === 2 ? args : [undefined, args[0]]

/**
 * Provides Effect's HTTP server, and the listener under it.
 *
 * @see {@link layer} for what applications need besides
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerServer: {
  (
    createServer: LazyArg<Http.Server | Http2.Http2Server | Http2.Http2SecureServer>,
    options: Options
  ): Layer.Layer<HttpServer.HttpServer | Listener, ServeError>
  (options: ServerOptions): Layer.Layer<HttpServer.HttpServer | Listener, ServeError>
} = (...args: Arguments<Options, ServerOptions>) => Layer.effectContext(open(...split(args)))

/**
 * Provides Effect's HTTP server on a listener, with what HTTP applications need
 * of the platform: `NodeHttpServer.layer` with a lifetime.
 *
 * **Example** (An application that loses nothing at restarts)
 *
 * ```ts no-run: it serves until a signal comes
 * import { NodeHttp, NodeMain } from "@effect-listener/node"
 * import { Layer } from "effect"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 * import { createServer } from "node:http"
 *
 * const routes = HttpRouter.add("GET", "/", HttpServerResponse.text("hello"))
 *
 * // `NodeHttpServer.layer(createServer, { port: 3000 })` before
 * const server = NodeHttp.layer(createServer, { port: 3000 })
 *
 * NodeMain.runMain(Layer.launch(Layer.provide(HttpRouter.serve(routes), server)))
 * ```
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layer: {
  (
    createServer: LazyArg<Http.Server | Http2.Http2Server | Http2.Http2SecureServer>,
    options: Options
  ): Layer.Layer<Provided, ServeError>
  (options: ServerOptions): Layer.Layer<Provided, ServeError>
} = (...args: Arguments<Options, ServerOptions>) =>
  Layer.merge(Layer.effectContext(open(...split(args))), layerHttpServices)

/**
 * `layer`, with options from the configuration.
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: {
  (
    createServer: LazyArg<Http.Server | Http2.Http2Server | Http2.Http2SecureServer>,
    options: Config.Wrap<Options>
  ): Layer.Layer<Provided, ServeError | Config.ConfigError>
  (options: Config.Wrap<ServerOptions>): Layer.Layer<Provided, ServeError | Config.ConfigError>
} = (...args: Arguments<Config.Wrap<Options>, Config.Wrap<ServerOptions>>) => {
  const [createServer, wrapped] = split<Config.Wrap<ServerOptions>, Config.Wrap<ServerOptions>>(args)
  const context = Effect.flatMap(Config.unwrap(wrapped), (options) => open(createServer, options))
  return Layer.merge(Layer.effectContext(context), NodeHttpServer.layerHttpServices)
}

/**
 * What HTTP applications need of the platform besides a server:
 * `NodeHttpServer.layerHttpServices`.
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerHttpServices: Layer.Layer<
  NodeServices.NodeServices | HttpPlatform.HttpPlatform | Etag.Generator
> = NodeHttpServer.layerHttpServices

/**
 * `layer` on a free port of 127.0.0.1, and a client for it: what `NodeHttpServer.layerTest`
 * provides.
 *
 * **Details**
 *
 * The listener goes by the system's time also where the test does not, as its
 * sockets do, and gives no grace to idle connections: a test over it ends as
 * soon as its requests have.
 *
 * @stability experimental
 * @category testing
 * @since 0.1.0
 */
export const layerTest: Layer.Layer<
  | HttpServer.HttpServer
  | FileSystem.FileSystem
  | Path.Path
  | HttpPlatform.HttpPlatform
  | Etag.Generator
  | HttpClient
  | Listener,
  ServeError
> = HttpServer.layerTestClient.pipe(
  Layer.provide(Layer.provide(
    Layer.fresh(FetchHttpClient.layer),
    Layer.succeed(FetchHttpClient.RequestInit)({ keepalive: false })
  )),
  Layer.provideMerge(Layer.merge(
    Layer.effectContext(Effect.provideService(
      open(Http.createServer, { host: "127.0.0.1", port: 0, drain: { idleGrace: 0 } }),
      Clock.Clock,
      Context.get(Context.empty(), Clock.Clock)
    )),
    layerHttpServices
  ))
)

/**
 * What `handler` needs to know: the options of a server that is made here,
 * without those of its listener.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface HandlerOptions
  extends Pick<ServerOptions, "http1" | "http2" | "halfOpen" | "websocket" | "maxPipelined" | "upgrades">
{
  readonly timeouts?: Omit<TimeoutOptions, "open" | "handshake" | "age"> | undefined
}

/**
 * An HTTP application as a connection handler: for a listener that serves HTTP
 * to some of its connections, or does something with each before.
 *
 * **Details**
 *
 * The connection is driven by HTTP from then on, whatever `idle` says: it is
 * idle between two requests, and its goodbye is HTTP's. It must be one of
 * `NodeTcp`, `NodeUnix` or `NodeTls`, of which nothing has been read; others
 * fail with `NotSupported`. HTTP/2 takes `alpnProtocols: ["h2", "http/1.1"]`
 * under TLS.
 *
 * The scope owns what the application runs in: it must outlive the listener.
 * Where a listener serves nothing but HTTP, a layer costs less: no fiber and no
 * scope a connection.
 *
 * **Example** (HTTP for clients of this machine)
 *
 * ```ts
 * import { Listener } from "@effect-listener/core"
 * import { NodeHttp, NodeTcp } from "@effect-listener/node"
 * import { Effect } from "effect"
 * import { HttpServerResponse } from "effect/http"
 * import { NetAddress } from "effect/net"
 *
 * export const program = Effect.gen(function*() {
 *   const http = yield* NodeHttp.handler(Effect.succeed(HttpServerResponse.text("hello")))
 *   const listener = yield* Listener.listen(NodeTcp.transport({ port: 8080 }))
 *   yield* Listener.serve(listener, (connection) =>
 *     NetAddress.isInetAddress(connection.remote) && NetAddress.isLoopback(connection.remote.address)
 *       ? http(connection)
 *       : Effect.void)
 * })
 * ```
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const handler = <E, R>(
  httpApp: Effect.Effect<HttpServerResponse, E, R>,
  options: HandlerOptions = {}
): Effect.Effect<
  (connection: Connection) => Effect.Effect<void, SocketError | NotSupported>,
  never,
  Exclude<R, HttpServerRequest | Scope.Scope> | Scope.Scope
> =>
  Effect.gen(function*() {
    const http = yield* internal.acquireServers(HttpOptions.httpServer(undefined, options))
    const handlers = yield* Effect.acquireRelease(Effect.sync(() => Scope.makeUnsafe("parallel")), internal.endHandlers)
    // what the application needs is in the context this runs in
    const app = httpApp as Effect.Effect<HttpServerResponse, E, HttpServerRequest | Scope.Scope>
    http.servers.app = yield* makeApp(app, undefined, { webSockets: http.webSockets, scope: handlers })
    return (connection: Connection) => internal.serveConnection(http.servers, connection)
  })

/**
 * The connection a request came on: to hear that it drains, to keep it from
 * being closed by exchanges of one's own. `None` when it is gone already, and
 * for requests of other servers.
 *
 * **Example** (Ending a stream of events when the server goes away)
 *
 * ```ts
 * import { NodeHttp } from "@effect-listener/node"
 * import { Effect, Option, Schedule, Stream } from "effect"
 * import { HttpServerResponse } from "effect/http"
 *
 * export const events = Effect.gen(function*() {
 *   const connection = yield* NodeHttp.connection
 *   const draining = Option.match(connection, { onNone: () => Effect.never, onSome: ({ draining }) => draining })
 *   const ticks = Stream.fromSchedule(Schedule.spaced("1 second")).pipe(
 *     Stream.interruptWhen(draining),
 *     Stream.map((tick) => `data: ${tick}\n\n`),
 *     Stream.concat(Stream.make("event: bye\ndata: \n\n")),
 *     Stream.encodeText
 *   )
 *   return HttpServerResponse.stream(ticks, { contentType: "text/event-stream" })
 * })
 * ```
 *
 * @stability experimental
 * @category accessors
 * @since 0.1.0
 */
export const connection: Effect.Effect<Option.Option<Connection>, never, HttpServerRequest> = Effect.map(
  HttpServerRequest,
  (request) => {
    const http = connectionOf(NodeHttpServerRequest.toIncomingMessage(request))
    return http === undefined ? Option.none() : Option.some(http.connection)
  }
)
