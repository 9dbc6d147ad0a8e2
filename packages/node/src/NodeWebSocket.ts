/**
 * WebSockets on a listener: as an upgrade within an HTTP application of
 * `NodeHttp`, and as a `SocketServer` of their own.
 *
 * A drain tells each WebSocket 1001 as soon as no message of it is being
 * handled, after what was written before, and gives its client two seconds to
 * answer. Reading stops while a handler does not pull, and writing waits while
 * a client does not read.
 *
 * @stability experimental
 * @since 0.1.0
 */
import { Listener, type ServeOptions } from "@effect-listener/core/Listener"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerError from "effect/http/HttpServerError"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as SocketServer from "effect/socket/SocketServer"
import { ChosenWebSockets } from "./internal/http/app.ts"
import { connectionOf } from "./internal/http/nodeHttpServers.ts"
import * as HttpOptions from "./internal/http/options.ts"
import * as HttpListening from "./internal/http/server.ts"
import { SocketApp } from "./internal/http/websockets/socketApp.ts"
import { PingingServer, settings } from "./internal/http/websockets/webSocket.ts"
import type * as NodeHttp from "./NodeHttp.ts"

/**
 * What a WebSocket may do.
 *
 * **Details**
 *
 * - `maxMessageSize`: the longest message that is accepted, in bytes, unpacked
 *   where it was compressed; a longer one ends the WebSocket with 1009. Default
 *   1 MiB.
 * - `ping`: how often a client is pinged. One that has not answered by the next
 *   ping is gone, and its connection is cut. Default 30 s; an infinite duration
 *   is never.
 * - `compression`: whether messages may be compressed (`permessage-deflate`).
 *   Default `false`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly maxMessageSize?: number | undefined
  readonly ping?: Duration.Input | undefined
  readonly compression?: boolean | undefined
}

/**
 * Upgrades the request of a handler of `NodeHttp` to a WebSocket.
 *
 * **Details**
 *
 * The handshake is done when the socket's reader is acquired. A message is
 * being handled from the pull that gave it until the next; longer work, or work
 * on several at a time, is an exchange of the request's `NodeHttp.connection`.
 *
 * Fails when the request asks for no upgrade, when an option cannot be, and on
 * other servers than those of `NodeHttp`.
 *
 * @see {@link route} for a route that is nothing else
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const upgrade = (
  options?: Options
): Effect.Effect<Socket.Socket, HttpServerError.HttpServerError, HttpServerRequest> =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest
    const source = NodeHttpServerRequest.toIncomingMessage(request)
    const fail = (description: string, cause?: unknown) =>
      new HttpServerError.HttpServerError({
        reason: new HttpServerError.InternalError({ request, description, cause })
      })
    if (connectionOf(source) === undefined) return yield* fail("NodeWebSocket needs a server of NodeHttp")
    const checked = settings(options)
    if (checked.bad !== undefined) return yield* fail("an option of NodeWebSocket cannot be used", checked.bad)
    const webSockets = Option.some(new PingingServer(checked))
    const socket = yield* Effect.provideService(request.upgrade, ChosenWebSockets, webSockets)
    return Socket.make({
      reader: Effect.provideService(socket.reader, ChosenWebSockets, webSockets),
      writer: socket.writer
    })
  })

/**
 * A route on which WebSockets are served.
 *
 * **Details**
 *
 * The handler runs in a scope of its own. The WebSocket is closed when it ends:
 * with 1000, or with 1011 when it fails. The end of the client is not a failure.
 *
 * **Example** (An echo)
 *
 * ```ts
 * import { NodeWebSocket } from "@effect-listener/node"
 * import { Effect } from "effect"
 * import type { Socket } from "effect/socket"
 *
 * const handler = Effect.fnUntraced(function*(socket: Socket.Socket) {
 *   const { pull } = yield* socket.reader
 *   const { writeAll } = yield* socket.writer
 *   yield* Effect.forever(Effect.flatMap(pull, writeAll))
 * })
 *
 * export const echo = NodeWebSocket.route("/echo", handler, { maxMessageSize: 64 * 1024 })
 * ```
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const route = <A, E, R>(
  path: HttpRouter.PathInput,
  handler: (socket: Socket.Socket) => Effect.Effect<A, E, R>,
  options?: Options
): Layer.Layer<
  never,
  never,
  | HttpRouter.HttpRouter
  | HttpRouter.Request.From<"Requires", Exclude<Exclude<R, Scope.Scope> | HttpServerRequest, HttpRouter.Provided>>
  | HttpRouter.Request.From<"Error", Exclude<E, Socket.SocketError> | HttpServerError.HttpServerError>
> =>
  HttpRouter.add(
    "GET",
    path,
    Effect.flatMap(upgrade(options), (socket) => Effect.scoped(handler(socket))).pipe(
      Effect.catchIf((error): error is E & Socket.SocketError => Socket.isSocketError(error), () => Effect.void),
      // never sent: the connection no longer speaks HTTP
      Effect.as(HttpServerResponse.empty())
    )
  )

/**
 * The options of a `SocketServer` of WebSockets: those of `NodeHttp`, and what
 * a WebSocket may do.
 *
 * **Details**
 *
 * - `webSocketPath`: serve upgrades on this path only. Default: on any. Requests
 *   that ask for no upgrade are answered 426, those of other paths 404.
 * - `idle`: as of `Listener.serve`; default `"handler"`: a WebSocket is told to
 *   go when its handler has ended. A handler that hears of
 *   `Connection.draining` can end by itself; one that works on one message at a
 *   time wants `"pull"`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface SocketServerOptions
  extends Omit<NodeHttp.ServerOptions, "websocket" | "http2" | "disablePreemptiveShutdown">, Options
{
  readonly webSocketPath?: string | undefined
  readonly idle?: ServeOptions["idle"]
}

/**
 * Provides Effect's `SocketServer` of WebSockets, and the listener under it.
 *
 * **Details**
 *
 * Handlers find `NodeSocketServer.IncomingMessage`, `Socket.WebSocket` and
 * `Connection.CurrentConnection` in their context. As with every `SocketServer`
 * of this library, interrupting `run` stops it taking connections, and its
 * handlers go on under the listener. A client that comes while `run` is not
 * running has its handshake done, and waits.
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerSocketServer = (
  options: SocketServerOptions
): Layer.Layer<SocketServer.SocketServer | Listener, SocketServer.SocketServerError> =>
  Layer.effectContext(Effect.gen(function*() {
    const checked = settings(options)
    const http = yield* HttpListening.open(
      HttpOptions.httpServer(undefined, { ...options, http2: false }, checked.bad)
    ).pipe(Effect.mapError((cause) => socketServerError(new SocketServer.SocketServerOpenError({ cause }))))
    const app = new SocketApp({
      idle: options.idle ?? "handler",
      path: options.webSocketPath,
      webSockets: new PingingServer(checked)
    })
    // ends with the listener, which a close has to find in service
    const serving = yield* Effect.forkDetach(HttpListening.take(http, app), { startImmediately: true })
    const server = SocketServer.SocketServer.of({
      address: http.address,
      run: Effect.fnUntraced(function*<R, E, _>(handler: (socket: Socket.Socket) => Effect.Effect<_, E, R>) {
        const runner = {
          // the context is the handler's own
          handler: handler as (socket: Socket.Socket) => Effect.Effect<unknown, unknown>,
          context: Context.omit(Scope.Scope)(yield* Effect.context<R>()) as Context.Context<never>
        }
        app.run(runner)
        return yield* Effect.andThen(Fiber.join(serving), Effect.never).pipe(
          Effect.mapError((cause) => socketServerError(new SocketServer.SocketServerUnknownError({ cause }))),
          Effect.ensuring(Effect.sync(() => app.stop(runner)))
        )
      })
    })
    return Context.add(Context.make(SocketServer.SocketServer, server), Listener, http.listener)
  }))

const socketServerError = (reason: SocketServer.SocketServerErrorReason): SocketServer.SocketServerError =>
  new SocketServer.SocketServerError({ reason })
