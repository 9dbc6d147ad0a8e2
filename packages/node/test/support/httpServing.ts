/** HTTP servers in the process of the test. */
import { Listener } from "@effect-listener/core/Listener"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServer } from "effect/http/HttpServer"
import type { HttpServerError, ServeError } from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import type * as Http from "node:http"
import type * as Http2 from "node:http2"

export interface Serving {
  readonly listener: Listener
  readonly port: number
}

/** Serves an application without a router, until the scope ends. */
export const app = <E>(
  httpApp: Effect.Effect<HttpServerResponse, E, HttpServerRequest | Scope.Scope>,
  options: Partial<NodeHttp.ServerOptions> = {}
): Effect.Effect<Serving, ServeError, Scope.Scope> =>
  Effect.gen(function*() {
    const services = yield* Layer.build(NodeHttp.layerServer(withPort(options)))
    yield* Context.get(services, HttpServer).serve(httpApp)
    return yield* servingOf(services)
  })

/** Serves an application by a server of one's own. */
export const given = <E>(
  createServer: () => Http.Server | Http2.Http2Server | Http2.Http2SecureServer,
  httpApp: Effect.Effect<HttpServerResponse, E, HttpServerRequest | Scope.Scope>,
  options: NodeHttp.Options = {}
): Effect.Effect<Serving, ServeError, Scope.Scope> =>
  Effect.gen(function*() {
    const services = yield* Layer.build(NodeHttp.layerServer(createServer, { host: "127.0.0.1", port: 0, ...options }))
    yield* Context.get(services, HttpServer).serve(httpApp)
    return yield* servingOf(services)
  })

/** Serves routes, until the scope ends. */
export const routes = <E>(
  layer: Layer.Layer<never, E, HttpRouter.HttpRouter | HttpRouter.Request<"Error", HttpServerError>>,
  options: Partial<NodeHttp.ServerOptions> = {}
): Effect.Effect<Serving, E | ServeError, Scope.Scope> =>
  Effect.gen(function*() {
    const served = HttpRouter.serve(layer, { disableLogger: true, disableListenLog: true })
    return yield* servingOf(yield* Layer.build(Layer.provideMerge(served, NodeHttp.layer(withPort(options)))))
  })

const withPort = (options: Partial<NodeHttp.ServerOptions>): NodeHttp.ServerOptions =>
  options.path === undefined ? { host: "127.0.0.1", port: 0, ...options } : options

const servingOf = (services: Context.Context<Listener>): Effect.Effect<Serving> => {
  const listener = Context.get(services, Listener)
  return Effect.map(Effect.orDie(listener.address), (address) => ({
    listener,
    port: NetAddress.isInetAddress(address) ? address.port : 0
  }))
}
