/**
 * Node's HTTP servers, which never listen: a listener accepts the sockets and
 * gives them here.
 */
import type { Connection, ProtocolDriver, ProtocolEvents } from "@effect-listener/core/Connection"
import { AsyncLocalStorage } from "node:async_hooks"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import { inheritIntroduction } from "../proxyProtocol/introduction.ts"
import { LingerTimer } from "../socket/lingerTimer.ts"
import { netSocketOf } from "../socket/nodeSocket.ts"
import { HttpConnection, httpConnectionOf, type HttpContext } from "./httpConnection.ts"
import { Http1Protocol } from "./protocols/http1.ts"
import { Http2Protocol, type SessionLimits } from "./protocols/http2.ts"
import { FirstBytes, Handshake, unspoken } from "./protocols/protocolDetection.ts"
import { Tunnel } from "./protocols/tunnel.ts"
import { Upgraded } from "./protocols/upgraded.ts"

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
  /** Serves everybody, or everybody who does not speak HTTP/2. One that does TLS itself gets sockets in the clear. */
  readonly server: NodeServer
  /** Serves who speaks HTTP/2, by ALPN or from the first byte; without it nobody looks whether one does. */
  readonly http2?: Http2.Http2Server | undefined
  readonly opening: OpeningLimits
  readonly session: SessionLimits
  readonly halfOpen: boolean
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

const unavailable = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

export class NodeHttpServers implements HttpContext {
  /** What runs requests, while somebody serves. */
  app: App | undefined
  private readonly options: NodeHttpServersOptions
  /** The server does TLS itself: nothing can be said to a client before its handshake. */
  readonly secure: boolean
  /** The connection whose handshake runs: how it is found when it is done. */
  private readonly handshaking = new AsyncLocalStorage<HttpConnection>()
  /** The connection whose socket is being given to a server, and that socket: how its session finds them. */
  private arriving: { readonly http: HttpConnection; readonly socket: Net.Socket } | undefined
  readonly lingerTimer = new LingerTimer()
  private open = 0
  private closing = false

  constructor(options: NodeHttpServersOptions) {
    this.options = options
    const { halfOpen, http2, server } = options
    this.secure = server instanceof Tls.Server
    this.listenTo(server)
    if (http2 !== undefined) this.listenTo(http2)
    // first of all listeners: the server's own one makes the session
    if (this.secure) {
      ;(server as Tls.Server).prependListener("secureConnection", (socket) => this.onSecure(socket))
    }
    if ("httpAllowHalfOpen" in server) server.httpAllowHalfOpen = halfOpen
    // Node arms its time-outs when a server begins to listen
    server.emit("listening")
  }

  private listenTo(server: NodeServer): void {
    // the members used exist on every kind of server, with listener types that differ
    const common = server as Http.Server
    common.on("request", (request, response) => this.onRequest(request, response, false))
    common.on("checkContinue", (request, response) => this.onRequest(request, response, true))
    common.on("upgrade", (request, socket, head) => this.onUpgrade(request, socket as Net.Socket, head))
    common.on("session", (session: Http2.ServerHttp2Session) => this.onSession(session))
    this.followTunnels(common)
  }

  /**
   * Notices tunnels that an application accepts itself. Only while it listens
   * for them: Node ends the connection of a CONNECT that nobody listens for.
   */
  private followTunnels(server: Http.Server): void {
    const onTunnel = (request: Http.IncomingMessage, socket: Net.Socket): void => {
      const http = httpConnectionOf(socket)
      http?.switchProtocol(new Tunnel(http, request, socket))
    }
    const follow = (event: string | symbol): void => {
      if (event !== "connect" || server.listeners(event).includes(onTunnel)) return
      server.off("newListener", follow)
      server.prependListener("connect", onTunnel)
    }
    if (server.listenerCount("connect") > 0) follow("connect")
    else server.on("newListener", follow)
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
    // it never listened, which is all its callback has to say
    this.options.server.close(() => {})
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
    if (this.secure) this.shakeHands(http)
    else if (http2 === undefined) this.give(http, server)
    else if (raw instanceof Tls.TLSSocket) this.give(http, raw.alpnProtocol === "h2" ? http2 : server)
    else {
      http.switchProtocol(new FirstBytes(http)).begin(
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
    http.switchProtocol(new Handshake(http, this.options.opening.handshake))
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
    http.switchProtocol(new Http1Protocol(http, raw, this.options.opening.firstByte))
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
    else http.switchProtocol(new Http1Protocol(http, socket, this.options.opening.firstByte))
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
    const protocol = connectionOf(request)?.current
    if (protocol instanceof Http1Protocol) {
      // a request and its response are of one version
      const [request1, response1] = [request as Http.IncomingMessage, response as Http.ServerResponse]
      if (!protocol.request(request1, response1)) return
      if (expectsContinue) protocol.continueOnRead(request1, response1)
    } else if (protocol instanceof Http2Protocol) {
      protocol.request(request as Http2.Http2ServerRequest)
      if (expectsContinue) continueOnRead(request, response)
    }
    if (this.app !== undefined) return this.app.request(request, response)
    // who served is gone, and the connection has not gone with it
    response.statusCode = 503
    response.end()
  }

  private onUpgrade(request: Http.IncomingMessage, socket: Net.Socket, head: Buffer): void {
    const http = httpConnectionOf(socket)
    if (http === undefined) return this.app?.upgrade(request, socket, head)
    if (http.current instanceof Http1Protocol && http.current.saidLast) {
      http.refused()
      return void socket.resume()
    }
    const upgraded = http.switchProtocol(new Upgraded(http, request, socket))
    if (this.app !== undefined && !(http.draining && upgraded.isWebSocket)) {
      return this.app.upgrade(request, socket, head)
    }
    http.refused()
    // a socket that is on its way out may be reset
    socket.on("error", () => {})
    socket.end(unavailable)
  }
}

/** The client waits for a word before it sends the body: it gets one when somebody reads. */
const continueOnRead = (request: NodeRequest, response: Parameters<App["request"]>[1]): void => {
  const read = request._read.bind(request)
  request._read = (size) => {
    request._read = read
    if (!response.headersSent) response.writeContinue()
    read(size)
  }
}
