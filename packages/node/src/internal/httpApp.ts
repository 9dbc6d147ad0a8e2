/**
 * An Effect HTTP application as something Node's servers can call: Effect's own
 * handlers, with the fibers they start known to their connections.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as NodeWS from "@effect/platform-node/NodeWS"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpMiddleware } from "effect/http/HttpMiddleware"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import { type App, connectionOf, upgradedOf } from "./nodeServers.ts"
import { watchedRequest } from "./upgraded.ts"

/** What an HTTP server is given to serve. */
export type HttpApp = Effect.Effect<HttpServerResponse, unknown, HttpServerRequest | Scope.Scope>

/** A WebSocket server that tells a connection what it has become. */
export class UpgradingServer extends NodeWS.WebSocketServer {
  override handleUpgrade(...[request, socket, head, done]: Parameters<NodeWS.WebSocketServer["handleUpgrade"]>): void {
    super.handleUpgrade(request, socket, head, (webSocket, request) => {
      upgradedOf(socket)?.opened(webSocket)
      done(webSocket, request)
    })
  }
}

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
    upgrade: NodeHttpServer.makeUpgradeHandler(Effect.succeed(webSockets), watched(inner), { scope, middleware: outer })
  })
}

const requestOf = (context: Context.Context<never>): HttpServerRequest => Context.getUnsafe(context, HttpServerRequest)

/** Lets the connection of a request know the fiber that serves it. */
const tracked = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    connectionOf(NodeHttpServerRequest.toIncomingMessage(requestOf(fiber.context)))?.serving(fiber)
    return work
  })

/** Gives the application an upgraded socket that tells when a message is being handled. */
const watched = (httpApp: HttpApp): HttpApp =>
  Effect.withFiber((fiber) => {
    const request = requestOf(fiber.context)
    const { socket } = NodeHttpServerRequest.toIncomingMessage(request)
    const upgraded = upgradedOf(socket)
    return upgraded === undefined
      ? httpApp
      : Effect.provideService(httpApp, HttpServerRequest, watchedRequest(request, upgraded))
  })
