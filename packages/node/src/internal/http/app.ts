/**
 * An Effect HTTP application as something Node's servers can call: Effect's own
 * handlers, with the fibers they start known to their connections.
 */
import { CurrentConnection } from "@effect-listener/core/Connection"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import type * as NodeWS from "@effect/platform-node/NodeWS"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { LazyArg } from "effect/Function"
import type { HttpMiddleware } from "effect/http/HttpMiddleware"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Http from "node:http"
import { type App, connectionOf, upgradedOf } from "./nodeHttpServers.ts"
import { watchedRequest } from "./protocols/upgraded.ts"

/** What an HTTP server is given to serve. */
export type HttpApp = Effect.Effect<HttpServerResponse, unknown, HttpServerRequest | Scope.Scope>

/** The WebSocket server of an upgrade, where its handler has chosen one. */
export const ChosenWebSockets: Context.Reference<Option.Option<NodeWS.WebSocketServer>> = Context.Reference(
  "@effect-listener/node/internal/ChosenWebSockets",
  { defaultValue: () => Option.none<NodeWS.WebSocketServer>() }
)

/** Runs requests in the context this is called in; their fibers end with the scope. */
export const makeApp = (
  httpApp: HttpApp,
  middleware: HttpMiddleware | undefined,
  options: { readonly webSockets: NodeWS.WebSocketServer; readonly scope: Scope.Scope }
): Effect.Effect<App> => {
  const { scope, webSockets } = options
  // what is outermost is tracked: a middleware that answers by itself never runs the application
  const outer = middleware && ((handled: HttpApp): HttpApp => tracked(middleware(handled)))
  const inner = middleware === undefined ? tracked(httpApp) : httpApp
  return Effect.all({
    request: NodeHttpServer.makeHandler(inner, { scope, middleware: outer }),
    upgrade: NodeHttpServer.makeUpgradeHandler(
      Effect.map(ChosenWebSockets, Option.getOrElse(() => webSockets)),
      middleware === undefined ? closing(watched(inner)) : watched(inner),
      { scope, middleware: middleware && ((handled: HttpApp): HttpApp => closing(tracked(middleware(handled)))) }
    )
  })
}

/** Lets the connection of a request know the fiber that serves it. */
const tracked = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    connectionOf(NodeHttpServerRequest.toIncomingMessage(requestOf(fiber.context)))?.trackFiber(fiber)
    return work
  })

const requestOf = (context: Context.Context<never>): HttpServerRequest => Context.getUnsafe(context, HttpServerRequest)

/** Effect's request of an upgrade: the response to one that is refused is made when it is needed. */
interface UpgradeRequest {
  response: LazyArg<Http.ServerResponse>
}

/** Lets the answer to an upgrade that is refused say that the connection ends: Effect's handler ends it. */
const closing = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    // its class is not exported, and has this member for `NodeHttpServerRequest.toServerResponse`
    const request = requestOf(fiber.context) as unknown as UpgradeRequest
    const { response } = request
    if (typeof response !== "function") return work
    request.response = () => {
      const made = response()
      made.shouldKeepAlive = false
      return made
    }
    return work
  })

/** Gives the application an upgraded socket that tells when a message is being handled, and its connection. */
const watched = (httpApp: HttpApp): HttpApp =>
  Effect.withFiber((fiber) => {
    const request = requestOf(fiber.context)
    const source = NodeHttpServerRequest.toIncomingMessage(request)
    const upgraded = upgradedOf(source.socket)
    return upgraded === undefined ? httpApp : httpApp.pipe(
      Effect.provideService(HttpServerRequest, watchedRequest(request, upgraded)),
      Effect.provideService(CurrentConnection, Option.fromNullishOr(connectionOf(source)?.connection))
    )
  })
