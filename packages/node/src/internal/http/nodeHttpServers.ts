/**
 * Node's HTTP servers, which never listen: a listener accepts the sockets and
 * gives them here.
 */
import type { Connection, ProtocolDriver, ProtocolEvents } from "@effect-listener/core/Connection"
import * as Effect from "effect/Effect"
import { AsyncLocalStorage } from "node:async_hooks"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import { armTimeouts } from "../platform/privateNode.ts"
import { inheritIntroduction } from "../proxyProtocol/introduction.ts"
import { LingerTimer } from "../socket/goodbye/lingerTimer.ts"
import { netSocketOf } from "../socket/nodeSocket.ts"
import { HttpConnection, httpConnectionOf, type HttpContext } from "./httpConnection.ts"
import { type Http1Limits, Http1Protocol } from "./protocols/http1.ts"
import { Http2Protocol, type SessionLimits } from "./protocols/http2.ts"
import { PrefaceDetection, ServerHandshake, unspoken } from "./protocols/protocolDetection.ts"
import { Tunnel } from "./protocols/tunnel.ts"
import { Upgraded } from "./protocols/upgraded.ts"
import { hasCallbackForUpgrades, isDropped, ServerListeners } from "./serverListeners.ts"

/** A server of Node's. */
export type NodeServer = Http.Server | Http2.Http2Server | Http2.Http2SecureServer

/** What runs requests. */
export interface App {
  readonly request: (
    request: Http.IncomingMessage | Http2.Http2ServerRequest,
    response: Http.ServerResponse | Http2.Http2ServerResponse
  ) => void
  readonly upgrade: (request: Http.IncomingMessage, socket: Net.Socket, head: Buffer) => void
}

/** Milliseconds; `Infinity` where there is no limit. */
export interface OpeningLimits {
  readonly handshake: number
  readonly firstByte: number
}

export interface NodeHttpServersOptions {
  /** Serves all clients, or those that do not speak HTTP/2. One that does TLS itself gets sockets in the clear. */
  readonly server: NodeServer
  /** Serves clients that speak HTTP/2, by ALPN or from the first byte; without it, none is looked for. */
  readonly http2?: Http2.Http2Server | undefined
  readonly opening: OpeningLimits
  readonly http1: Http1Limits
  readonly session: SessionLimits
  readonly halfOpen: boolean
  /** The protocols that requests may be upgraded to, in lower case. Other offers are ignored (RFC 9110, section 7.8). */
  readonly upgrades: ReadonlySet<string>
}

type NodeRequest = Http.IncomingMessage | Http2.Http2ServerRequest

/** The connection a request came on, as long as it is there; none for requests of other servers. */
export const connectionOf = (request: object): HttpConnection | undefined => {
  const key = request instanceof Http.IncomingMessage
    ? request.socket
    : request instanceof Http2.Http2ServerRequest
    ? request.stream.session
    : undefined
  return key === undefined ? undefined : httpConnectionOf(key)
}

/** The connection of an upgraded socket. */
export const upgradedOf = (socket: object): Upgraded | undefined => {
  const protocol = httpConnectionOf(socket)?.current
  return protocol instanceof Upgraded ? protocol : undefined
}

/** The socket of a connection, above TLS where the transport does TLS. */
export const socketOf = ({ transport }: Connection): Net.Socket | undefined => netSocketOf(transport)

/** Where a server has the listener that gives it sockets. */
const serving: unique symbol = Symbol("@effect-listener/node/serving")

/** Whether a listener gives sockets to this server: its events would come to another, too. */
export const isServing = (server: NodeServer & { readonly [serving]?: boolean }): boolean => server[serving] === true

const unavailable = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

export class NodeHttpServers implements HttpContext {
  /** What runs requests, while an application serves. */
  app: App | undefined
  private readonly options: NodeHttpServersOptions
  /** The server does TLS itself: nothing can be said to a client before its handshake. */
  readonly secure: boolean
  /** Clients that have ended their side are answered. */
  readonly halfOpen: boolean
  private readonly listeners = new ServerListeners()
  /** The connection whose handshake runs: how it is found when it is done. */
  private readonly handshaking = new AsyncLocalStorage<HttpConnection>()
  /** The connection whose socket is being given to a server, and that socket: how its session finds them. */
  private arriving: { readonly http: HttpConnection; readonly socket: Net.Socket } | undefined
  readonly lingerTimer = new LingerTimer()
  /** An HTTP/1.1 request without a host is answered 400 (RFC 9112, section 3.2). */
  private readonly hostRequired: boolean
  private open = 0
  private closing = false
  /** The application has closed the server. */
  private closedPast = false
  private onClosedPast: () => void = () => {}

  constructor(options: NodeHttpServersOptions) {
    this.options = options
    const { halfOpen, http2, server } = options
    this.halfOpen = halfOpen
    this.secure = server instanceof Tls.Server
    this.listeners.mark(server, serving)
    this.listenTo(server)
    if (http2 !== undefined) this.listenTo(http2)
    // first of all listeners: the server's own one makes the session
    if (this.secure) {
      this.listeners.prepend(server, "secureConnection", (socket: Tls.TLSSocket) => this.onSecure(socket))
    }
    // Node's own answer would not keep it from executing what comes after it
    this.hostRequired = "requireHostHeader" in server && server.requireHostHeader !== false
    this.listeners.set(server, "requireHostHeader", false)
    this.listeners.set(server, "httpAllowHalfOpen", halfOpen)
    if (hasCallbackForUpgrades(server)) {
      const { shouldUpgradeCallback } = server
      this.listeners.set(
        server,
        "shouldUpgradeCallback",
        (request: Http.IncomingMessage) => this.mayUpgrade(request) && shouldUpgradeCallback.call(server, request)
      )
    }
    // Node's own would end idle clients at once, and stop looking for those that are late
    this.listeners.set(server, "close", (callback?: () => void) => {
      if (callback !== undefined) server.once("close", callback)
      this.closedPast = true
      this.onClosedPast()
      return server
    })
    armTimeouts(server)
  }

  /** Waits until the application closes its server past the listener. */
  readonly closedByApplication: Effect.Effect<void> = Effect.callback((resume) => {
    this.onClosedPast = () => resume(Effect.void)
    if (this.closedPast) this.onClosedPast()
  })

  private listenTo(server: NodeServer): void {
    const { listeners } = this
    listeners.on(
      server,
      "request",
      (request: Http.IncomingMessage, response: Http.ServerResponse) => this.onRequest(request, response, false)
    )
    listeners.on(
      server,
      "checkContinue",
      (request: Http.IncomingMessage, response: Http.ServerResponse) => this.onRequest(request, response, true)
    )
    listeners.on(
      server,
      "upgrade",
      (request: Http.IncomingMessage, socket: Net.Socket, head: Buffer) => this.onUpgrade(request, socket, head)
    )
    listeners.on(server, "session", (session: Http2.ServerHttp2Session) => this.onSession(session))
    // an application that listens itself decides itself
    listeners.onUnlessOthers(server, "clientError", (error: Error, socket: Net.Socket) => onClientError(error, socket))
    listeners.onUnlessOthers(server, "timeout", (timed: Net.Socket | Http2.Http2Session) => onTimeout(timed))
    this.followTunnels(server)
  }

  /**
   * Notices tunnels that an application accepts itself. Only while it listens
   * for them: Node ends the connection of a CONNECT that has no listener.
   */
  private followTunnels(server: NodeServer): void {
    const onTunnel = (request: Http.IncomingMessage, socket: Net.Socket): void => {
      const http = httpConnectionOf(socket)
      http?.switchProtocol(new Tunnel(http, request, socket))
    }
    let followed = false
    const follow = (event: string | symbol): void => {
      if (event !== "connect" || followed) return
      followed = true
      this.listeners.prepend(server, "connect", onTunnel)
    }
    if (server.listenerCount("connect") > 0) follow("connect")
    else this.listeners.on(server, "newListener", follow)
  }

  /** The listener of a server that its application has closed is closed, too: what Node says when no connection is left. */
  tellClosed(): void {
    this.options.server.emit("close")
  }

  /** No more requests for this one. */
  detachApp(app: App): void {
    if (this.app === app) this.app = undefined
  }

  /** Disarms the time-outs when the last socket is gone: until then they are needed. */
  close(): void {
    this.closing = true
    this.lingerTimer.close()
    this.closeWhenEmpty()
  }

  private closeWhenEmpty(): void {
    if (!this.closing || this.open > 0) return
    // the server may be opened again
    this.listeners.remove()
    this.options.server.close()
  }

  // --- connections -----------------------------------------------------------------------------------------------

  /** Begins to serve a connection of one of this package's transports. */
  readonly attach = (connection: Connection, events: ProtocolEvents): ProtocolDriver => {
    const raw = socketOf(connection)
    if (raw === undefined) throw new TypeError(`no socket of Node's under protocol "${connection.protocol}"`)
    const http = new HttpConnection(connection, raw, events, this, unspoken)
    this.open++
    if (raw.destroyed) return http
    const { http2, opening, server } = this.options
    if (isDropped(server, raw, this.open)) http.drop()
    else if (this.secure) this.shakeHands(http)
    else if (http2 === undefined) this.give(http, server)
    else if (raw instanceof Tls.TLSSocket) this.give(http, raw.alpnProtocol === "h2" ? http2 : server)
    else {
      http.switchProtocol(new PrefaceDetection(http)).begin(
        opening.firstByte,
        (spoken) => this.give(http, spoken === "h2" ? http2 : server)
      )
    }
    return http
  }

  onClosed(): void {
    this.open--
    this.closeWhenEmpty()
  }

  /** The server shakes hands, and makes a TLS socket of the raw one. */
  private shakeHands(http: HttpConnection): void {
    http.switchProtocol(new ServerHandshake(http, this.options.opening.handshake))
    // the TLS socket inherits it: a client that ends in the middle of its handshake is gone
    http.raw.allowHalfOpen = false
    this.handshaking.run(http, () => this.options.server.emit("connection", http.raw))
  }

  /** Gives a socket to a server that speaks in the clear. */
  private give(http: HttpConnection, server: NodeServer): void {
    const { raw } = http
    // accepted sockets are paused, and a session does not start them
    raw.read(0)
    this.arriving = { http, socket: raw }
    server.emit("connection", raw)
    if (http.current instanceof Http2Protocol) return
    http.switchProtocol(new Http1Protocol(http, raw, this.options.http1))
    raw.resume()
  }

  private onSecure(socket: Tls.TLSSocket): void {
    const http = this.handshaking.getStore()
    if (http === undefined) return
    http.claim(socket)
    inheritIntroduction(socket, http.raw)
    socket.allowHalfOpen = true
    // the server's own listener comes next: it makes the session
    if (socket.alpnProtocol === "h2") this.arriving = { http, socket }
    else http.switchProtocol(new Http1Protocol(http, socket, this.options.http1))
  }

  private onSession(session: Http2.ServerHttp2Session): void {
    if (this.arriving === undefined) return
    const { http, socket } = this.arriving
    this.arriving = undefined
    http.claim(session)
    http.switchProtocol(new Http2Protocol(http, socket, session, this.options.session))
  }

  // --- requests --------------------------------------------------------------------------------------------------

  private onRequest(request: NodeRequest, response: Parameters<App["request"]>[1], expectsContinue: boolean): void {
    const http = connectionOf(request)
    const protocol = http?.current
    if (protocol instanceof Http1Protocol) {
      // a request and its response are of one version
      const [request1, response1] = [request as Http.IncomingMessage, response as Http.ServerResponse]
      if (protocol.request(request1, response1, expectsContinue)) {
        this.execute(http, request1, response1, expectsContinue)
      }
      return
    }
    if (protocol instanceof Http2Protocol) {
      protocol.request(request as Http2.Http2ServerRequest)
      if (expectsContinue) continueOnRead(request, response)
    }
    this.run(http, request, response)
  }

  readonly execute: HttpContext["execute"] = (http, request, response, expectsContinue) => {
    if (this.isBad(request)) {
      response.writeHead(400, { connection: "close" })
      return void response.end()
    }
    if (expectsContinue && http?.current instanceof Http1Protocol) continueOnRead(request, response)
    this.run(http, request, response)
  }

  /** What Node's parser lets pass: HTTP/0.9, and HTTP/1.1 without a host. */
  private isBad({ headers, httpVersionMajor, httpVersionMinor }: Http.IncomingMessage): boolean {
    return httpVersionMajor !== 1 || (this.hostRequired && httpVersionMinor === 1 && headers.host === undefined)
  }

  private run(
    http: HttpConnection | undefined,
    request: NodeRequest,
    response: Parameters<App["request"]>[1]
  ): void {
    if (http?.sweeping === true) {
      return http.afterSweep(() => {
        if (!isOver(response)) this.serve(request, response)
      })
    }
    this.serve(request, response)
  }

  private serve(request: NodeRequest, response: Parameters<App["request"]>[1]): void {
    if (this.app !== undefined) return this.app.request(request, response)
    // the application is gone, and the connection has not gone with it
    response.statusCode = 503
    response.end()
  }

  /** Whether what a request offers is more than an offer that is ignored. */
  private mayUpgrade(request: Http.IncomingMessage): boolean {
    const protocol = connectionOf(request)?.current
    const { headers, httpVersionMinor, method } = request
    const offer = headers.upgrade?.toLowerCase() ?? ""
    // a client of HTTP/1.0 cannot mean it; and what was asked before is answered before
    if (httpVersionMinor === 0 || !this.options.upgrades.has(offer)) return false
    if (protocol instanceof Http1Protocol && protocol.busy()) return false
    // a handshake has no body (RFC 6455, section 4.1)
    const { "content-length": length = "0", "transfer-encoding": encoding } = headers
    return offer !== "websocket" || (method === "GET" && length === "0" && encoding === undefined)
  }

  private onUpgrade(request: Http.IncomingMessage, socket: Net.Socket, head: Buffer): void {
    const http = httpConnectionOf(socket)
    if (http === undefined) return this.app?.upgrade(request, socket, head)
    if (http.current instanceof Http1Protocol && http.current.saidLast) {
      http.refused()
      return void socket.resume()
    }
    const upgraded = http.switchProtocol(new Upgraded(http, request, socket, this.options.http1.request()))
    if (this.app !== undefined && !(http.draining && upgraded.isWebSocket)) {
      return this.app.upgrade(request, socket, head)
    }
    http.refused()
    // a socket that is on its way out may be reset
    socket.on("error", () => {})
    socket.end(unavailable)
  }
}

/** The client waits for a word before it sends the body: it gets one when the body is read and has not come yet. */
const continueOnRead = (request: NodeRequest, response: Parameters<App["request"]>[1]): void => {
  const read = request._read.bind(request)
  request._read = (size) => {
    request._read = read
    if (!response.headersSent && !request.complete) response.writeContinue()
    read(size)
  }
}

/** Bad input, a request that is late, or a socket that failed. */
const onClientError = (error: Error, socket: Net.Socket): void => {
  const protocol = httpConnectionOf(socket)?.current
  if (protocol instanceof Http1Protocol) protocol.failed(error)
  else socket.destroy(error)
}

/** It was answered, or its client has left it. */
const isOver = (response: Parameters<App["request"]>[1]): boolean =>
  response.writableEnded || (response instanceof Http.ServerResponse ? response.destroyed : response.stream.closed)

const onTimeout = (timed: Net.Socket | Http2.Http2Session): void => {
  const protocol = httpConnectionOf(timed)?.current
  if (protocol instanceof Http1Protocol) protocol.silent()
  else timed.destroy()
}
