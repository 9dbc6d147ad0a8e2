/**
 * WebSockets by the `ws` package: their options, their pings, and a writer that
 * waits for its peer.
 */
import { CurrentConnection } from "@effect-listener/core/Connection"
import * as DurationOption from "@effect-listener/core/DurationOption"
import { TransportBindError } from "@effect-listener/core/Transport"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import type * as NodeWS from "@effect/platform-node/NodeWS"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Socket from "effect/socket/Socket"
import type * as Http from "node:http"
import type { Options } from "../../../NodeWebSocket.ts"
import { type App, connectionOf, upgradedOf } from "../nodeHttpServers.ts"
import type { IdleMode } from "../protocols/upgraded.ts"
import { UpgradingServer } from "./webSocketServer.ts"

/** A mebibyte: more than most messages, and less than what a few clients could fill a memory with. */
const defaultMaxMessageSize = 1 << 20

const defaultPing = Duration.seconds(30)

/** What options mean, and the first that cannot be used. */
export interface WebSocketSettings {
  readonly maxPayload: number
  /** Milliseconds; `Infinity` for no pings. */
  readonly ping: number
  readonly compression: boolean
  readonly bad: TransportBindError | undefined
}

export const settings = (options: Options | undefined): WebSocketSettings => {
  const { compression = false, maxMessageSize = defaultMaxMessageSize } = options ?? {}
  const ping = DurationOption.millis("ping", options?.ping ?? defaultPing, { infinite: true, positive: true })
  const whole = Number.isSafeInteger(maxMessageSize) && maxMessageSize >= 1
  const bad = (parameter: keyof Options, detail: string) =>
    TransportBindError.InvalidArgument({
      parameter,
      detail: `${detail}, got ${Formatter.format(options?.[parameter])}`
    })
  return {
    maxPayload: whole ? maxMessageSize : defaultMaxMessageSize,
    ping: Result.getOrElse(ping, () => Infinity),
    compression,
    bad: !whole
      ? bad("maxMessageSize", "expected a whole number of bytes, at least 1")
      : Result.isFailure(ping)
      ? TransportBindError.InvalidArgument(ping.failure)
      : undefined
  }
}

/** One that pings its clients. */
export class PingingServer extends UpgradingServer {
  private readonly interval: number

  constructor({ compression, maxPayload, ping }: WebSocketSettings) {
    super({ noServer: true, maxPayload, perMessageDeflate: compression, clientTracking: false })
    this.interval = ping
  }

  protected override opened(webSocket: NodeWS.WebSocket): void {
    if (this.interval < DurationOption.longestTimer) keepAsking(webSocket, this.interval)
  }
}

/** A client that does not answer by the next ping has gone, unless it is us who do not listen. */
const keepAsking = (webSocket: NodeWS.WebSocket, interval: number): void => {
  let answered = true
  webSocket.on("pong", () => {
    answered = true
  })
  const timer = setInterval(() => {
    if (!answered && !webSocket.isPaused) return webSocket.terminate()
    answered = false
    if (webSocket.readyState === webSocket.OPEN) webSocket.ping()
  }, interval)
  webSocket.once("close", () => clearInterval(timer))
}

/** The code a WebSocket is closed with by how its handler ended; that of a socket is an end like any other. */
const closeCode = (exit: Exit.Exit<unknown, unknown>): number =>
  Exit.isSuccess(exit)
    ? 1000
    : Cause.hasInterruptsOnly(exit.cause)
    ? 1001
    : Socket.isSocketError(Cause.squash(exit.cause))
    ? 1000
    : 1011

/** What runs the handlers of a `SocketServer`. */
export interface SocketApp {
  readonly handler: (socket: Socket.Socket) => Effect.Effect<unknown, unknown>
  readonly context: Context.Context<never>
  readonly idle: IdleMode
  readonly path: string | undefined
  readonly webSockets: NodeWS.WebSocketServer
}

/** WebSockets and nothing else. */
export const socketApp = (options: SocketApp): App => ({
  request: (request, response) => {
    response.statusCode = 426
    response.setHeader("content-type", "text/plain")
    // HTTP/2 has no such header, as it has no upgrades
    if (request.httpVersionMajor === 1) response.setHeader("upgrade", "websocket")
    response.end("Upgrade Required")
  },
  upgrade: (request, socket, head) => {
    const { path, webSockets } = options
    if (path !== undefined && request.url?.split("?", 1)[0] !== path) {
      // a socket that is on its way out may be reset
      socket.on("error", () => {})
      return void socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      // until the handler reads, nothing is read
      webSocket.pause()
      run(options, request, webSocket)
    })
  }
})

/** Runs the handler of one WebSocket. */
const run = (
  { context, handler, idle }: SocketApp,
  request: Http.IncomingMessage,
  webSocket: NodeWS.WebSocket
): void => {
  const http = connectionOf(request)
  const upgraded = upgradedOf(request.socket)
  const close = (exit: Exit.Exit<unknown, unknown>) => Effect.sync(() => webSocket.close(closeCode(exit)))
  const own = context.pipe(
    Context.add(NodeSocketServer.IncomingMessage, request),
    Context.add(Socket.WebSocket, webSocket),
    Context.add(CurrentConnection, Option.fromNullishOr(http?.connection))
  )
  const program = Socket.fromWebSocket(Effect.succeed(webSocket)).pipe(
    Effect.flatMap((socket) => {
      return handler(upgraded === undefined ? socket : upgraded.watch(socket, idle))
    }),
    Effect.onExit(close),
    Effect.catchIf(Socket.isSocketError, () => Effect.void),
    Effect.ignoreCause({ log: "Unhandled", message: "Unhandled error in SocketServer" })
  )
  http?.trackFiber(Effect.runForkWith(own)(program))
}
