/**
 * An HTTP server on a listener: what serves it, what closes it, and when.
 */
import type { Connection } from "@effect-listener/core/Connection"
import type { DrainReport } from "@effect-listener/core/DrainReport"
import * as Listener from "@effect-listener/core/Listener"
import { type ListenerFaulted, type ListenError, NotSupported } from "@effect-listener/core/ListenerError"
import type { Transport } from "@effect-listener/core/Transport"
import type * as NodeWS from "@effect/platform-node/NodeWS"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { HttpMiddleware } from "effect/http/HttpMiddleware"
import * as HttpServer from "effect/http/HttpServer"
import type * as NetAddress from "effect/net/NetAddress"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { missingFor } from "../platform/privateNode.ts"
import { endedByPeer, openError } from "../platform/socketErrors.ts"
import { type HttpApp, makeApp } from "./app.ts"
import { type App, NodeHttpServers, type NodeHttpServersOptions, socketOf } from "./nodeHttpServers.ts"
import { UpgradingServer } from "./websockets/webSocketServer.ts"

export interface HttpServerOptions {
  readonly transport: Transport
  readonly listener: Listener.ListenerOptions
  readonly servers: NodeHttpServersOptions
  readonly webSockets: NodeWS.ServerOptions | undefined
}

/** A listener that speaks HTTP. */
export interface HttpListener {
  readonly listener: Listener.Listener
  readonly address: NetAddress.SocketAddress
  readonly servers: NodeHttpServers
  readonly webSockets: NodeWS.WebSocketServer
}

/** Node's servers, and one for their WebSockets, which go with the scope. */
export const acquireServers = (
  options: Pick<HttpServerOptions, "servers" | "webSockets">
): Effect.Effect<Pick<HttpListener, "servers" | "webSockets">, never, Scope.Scope> =>
  Effect.all({
    webSockets: Effect.acquireRelease(
      Effect.sync(() => new UpgradingServer({ ...options.webSockets, noServer: true })),
      // what is still connected has gone to another scope, and keeps its socket
      (server) => Effect.sync(() => server.close())
    ),
    servers: Effect.acquireRelease(
      Effect.sync(() => new NodeHttpServers(options.servers)),
      (servers) => Effect.sync(() => servers.close())
    )
  })

export const open: (options: HttpServerOptions) => Effect.Effect<HttpListener, ListenError, Scope.Scope> = Effect
  .fnUntraced(function*(options) {
    const feature = missingFor("http")
    if (feature !== undefined) {
      return yield* new NotSupported({
        operation: "open",
        listener: options.listener.name ?? options.transport.name,
        trail: [],
        feature
      })
    }
    const servers = yield* acquireServers(options)
    const listener = yield* Listener.listen(options.transport, options.listener)
    yield* Effect.forkScoped(servers.servers.closedByApplication.pipe(
      Effect.andThen(Listener.shutdown(listener, "server closed by the process")),
      Effect.andThen(Effect.sync(() => servers.servers.tellClosed()))
    ))
    // an open listener has an address
    return { ...servers, listener, address: yield* Effect.orDie(listener.address) }
  })

/** Speaks HTTP in the handler of a connection, whose socket must be one of Node's. */
export const serveConnection = (
  servers: NodeHttpServers,
  connection: Connection
): Effect.Effect<void, Socket.SocketError | NotSupported> => {
  const feature = socketOf(connection) === undefined
    ? `HTTP over the protocol "${connection.protocol}"`
    : missingFor("http")
  return feature !== undefined
    ? Effect.fail(new NotSupported({ operation: "serve", listener: connection.listener, trail: [], feature }))
    : Effect.flatMap(Listener.drive(connection, servers.attach), (ended) => {
      switch (ended) {
        case "normal":
          return Effect.void
        case "byPeer":
          return Effect.fail(endedByPeer())
        case "failed":
          return Effect.fail(openError(new Error("a response was broken off")))
      }
    })
}

/** Gives an application the connections of a listener, for as long as that lives. */
export const take = (
  { listener, servers }: HttpListener,
  app: App
): Effect.Effect<DrainReport, ListenerFaulted> =>
  Effect.suspend(() => {
    servers.app = app
    return Listener.serveDriver(listener, servers.attach, {
      halfOpen: servers.halfOpen,
      refuse: servers.secure ? undefined : refuseWith503
    })
  })

/** Effect's service. Its scope ends with a drain, unless the listener is to stay open. */
export const httpServer = (http: HttpListener, stayOpen: boolean): HttpServer.HttpServer["Service"] =>
  HttpServer.make({
    address: http.address,
    serve: Effect.fnUntraced(function*(httpApp: HttpApp, middleware?: HttpMiddleware) {
      const scope = yield* Effect.scope
      const handlers = Scope.makeUnsafe("parallel")
      const app = yield* makeApp(httpApp, middleware, { webSockets: http.webSockets, scope: handlers })
      // an abort ends it, which the owner of the listener sees
      yield* Effect.forkIn(Effect.ignore(take(http, app)), scope, { startImmediately: true })
      // after the fork, so that it runs before: what comes while the queue is swept is served
      yield* Scope.addFinalizer(
        scope,
        Effect.andThen(
          stayOpen ? endHandlers(handlers) : drain(http.listener),
          Effect.sync(() => http.servers.detachApp(app))
        )
      )
    })
  })

/**
 * Closes the listener before anything is released that handlers use: this is a
 * finalizer of the scope they are served in.
 */
const drain = (listener: Listener.Listener): Effect.Effect<void> => Listener.shutdown(listener, "serving ended")

/** Interrupts the handlers that run; one that does not let itself be interrupted is left behind after a second. */
export const endHandlers = (handlers: Scope.Closeable): Effect.Effect<void> =>
  Effect.flatMap(
    Effect.forkDetach(Scope.close(handlers, Exit.void), { startImmediately: true }),
    (closing) => Effect.asVoid(Effect.interruptible(Effect.timeoutOption(Fiber.await(closing), "1 second")))
  )

/** Closes the listener when the signal is aborted. */
export const closeOnAbort = (
  listener: Listener.Listener,
  signal: AbortSignal
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.forkScoped(Effect.andThen(
    Effect.callback<void>((resume) => {
      const onAbort = () => resume(Effect.void)
      if (signal.aborted) return onAbort()
      signal.addEventListener("abort", onAbort, { once: true })
      return Effect.sync(() => signal.removeEventListener("abort", onAbort))
    }),
    drain(listener)
  )))

/** Admission's refusal, in the clear: come again, but not all at once. */
const refuseWith503 = (connection: Connection): Effect.Effect<void> =>
  Effect.flatMap(
    Random.nextIntBetween(1, 5),
    (seconds) =>
      Effect.flatMap(connection.transport.socket.writer, (writer) =>
        writer.write(
          `HTTP/1.1 503 Service Unavailable\r\nRetry-After: ${seconds}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`
        ))
  ).pipe(
    Effect.scoped,
    // a client that has gone need not be told
    Effect.ignore
  )
