/**
 * What a `SocketServer` of WebSockets serves: WebSockets and nothing else. Their
 * handshakes are done also while it does not run; their messages wait.
 */
import { CurrentConnection } from "@effect-listener/core/Connection"
import type { ServeOptions } from "@effect-listener/core/Listener"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import type * as NodeWS from "@effect/platform-node/NodeWS"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Socket from "effect/socket/Socket"
import type * as Http from "node:http"
import type * as Net from "node:net"
import { type App, connectionOf, upgradedOf } from "../nodeHttpServers.ts"

type IdleMode = NonNullable<ServeOptions["idle"]>

export interface SocketAppOptions {
  readonly idle: IdleMode
  readonly path: string | undefined
  readonly webSockets: NodeWS.WebSocketServer
}

/** What runs the handlers, from `run` on. */
export interface SocketRunner {
  readonly handler: (socket: Socket.Socket) => Effect.Effect<unknown, unknown>
  readonly context: Context.Context<never>
}

interface Opened {
  readonly request: Http.IncomingMessage
  readonly webSocket: NodeWS.WebSocket
}

export class SocketApp implements App {
  private readonly options: SocketAppOptions
  private runner: SocketRunner | undefined
  /** Those that no runner has taken. */
  private waiting: Array<Opened> = []

  constructor(options: SocketAppOptions) {
    this.options = options
  }

  readonly request: App["request"] = (request, response) => {
    response.statusCode = 426
    response.setHeader("content-type", "text/plain")
    // HTTP/2 has no such header, as it has no upgrades
    if (request.httpVersionMajor === 1) response.setHeader("upgrade", "websocket")
    response.end("Upgrade Required")
  }

  readonly upgrade = (request: Http.IncomingMessage, socket: Net.Socket, head: Buffer): void => {
    const { path, webSockets } = this.options
    if (path !== undefined && request.url?.split("?", 1)[0] !== path) {
      // a socket that is on its way out may be reset
      socket.on("error", () => {})
      return void socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      // until the handler reads, nothing is read
      webSocket.pause()
      this.opened({ request, webSocket })
    })
  }

  private opened(opened: Opened): void {
    if (this.runner !== undefined) return runHandler(this.runner, opened, this.options.idle)
    this.waiting.push(opened)
    opened.webSocket.once("close", () => {
      this.waiting = this.waiting.filter((other) => other !== opened)
    })
  }

  /** Runs a handler for each that waits, and for each that comes until `stop`. */
  run(runner: SocketRunner): void {
    this.runner = runner
    for (const opened of this.waiting.splice(0)) runHandler(runner, opened, this.options.idle)
  }

  stop(runner: SocketRunner): void {
    if (this.runner === runner) this.runner = undefined
  }
}

/** Runs the handler of one WebSocket. */
const runHandler = ({ context, handler }: SocketRunner, { request, webSocket }: Opened, idle: IdleMode): void => {
  const http = connectionOf(request)
  const upgraded = upgradedOf(request.socket)
  const close = (exit: Exit.Exit<unknown, unknown>) =>
    Effect.sync(() => {
      webSocket.close(closeCode(exit))
      // without a reader it was never resumed, and the client's answer would not be read
      webSocket.resume()
    })
  const own = context.pipe(
    Context.add(NodeSocketServer.IncomingMessage, request),
    Context.add(Socket.WebSocket, webSocket),
    Context.add(CurrentConnection, Option.fromNullishOr(http?.connection))
  )
  const program = Socket.fromWebSocket(Effect.succeed(webSocket)).pipe(
    Effect.flatMap((socket) => handler(upgraded === undefined ? socket : upgraded.watch(socket, idle))),
    Effect.onExit(close),
    Effect.catchIf(Socket.isSocketError, () => Effect.void),
    Effect.ignoreCause({ log: "Unhandled", message: "Unhandled error in SocketServer" })
  )
  http?.trackFiber(Effect.runForkWith(own)(program))
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
