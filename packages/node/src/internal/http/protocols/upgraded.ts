/**
 * A connection that is no longer HTTP: a WebSocket, or whatever its handler
 * upgraded it to. In flight is what the handler works on, from the pull that
 * gave it something to its next.
 */
import type { Ending } from "@effect-listener/core/Connection"
import type { ConnectionPhase } from "@effect-listener/core/DrainReport"
import type { ServeOptions } from "@effect-listener/core/Listener"
import type * as NodeWS from "@effect/platform-node/NodeWS"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Socket from "effect/socket/Socket"
import type * as Http from "node:http"
import type * as Net from "node:net"
import { afterReading } from "../../platform/eventLoop.ts"
import type { HttpConnection } from "../httpConnection.ts"
import type { Begun, InFlight, Protocol } from "../protocol.ts"
import { backpressuredWriter } from "../websockets/backpressuredWriter.ts"
import { label } from "./http1.ts"

/** When a connection has nothing in flight, as of `Listener.serve`. */
type IdleMode = NonNullable<ServeOptions["idle"]>

/** How long the peer of a WebSocket may take to answer its goodbye, in milliseconds. */
const closeLimit = 2000

/** How long a handler may go on with what it has taken when its client has left, in milliseconds. */
const abandonedLimit = 30_000

/** A reader and what it works on: one message at a time, so that a message needs no memory of its own. */
interface Reader {
  since: number
  span: Begun["span"]
}

const late = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

export class Upgraded implements Protocol {
  private readonly owner: HttpConnection
  private readonly socket: Net.Socket
  private readonly label: string
  readonly isWebSocket: boolean
  private readonly since = performance.now()
  private readonly span: Begun["span"]
  /** Until the handler has upgraded the connection, or answered as to any other request. */
  private asking = true
  /** Once its handshake is done. */
  webSocket: NodeWS.WebSocket | undefined
  /** Readers whose handlers work on what they pulled. */
  private readonly working = new Set<Reader>()
  private readers = 0
  /** Pulls that wait for a message. */
  private pulling = 0
  private everPulled = false
  private saidGoodbye = false
  private timer: NodeJS.Timeout | undefined

  /** `bodyLimit`: how many milliseconds the body of the request may take; 0 where there is no limit. */
  constructor(owner: HttpConnection, request: Http.IncomingMessage, socket: Net.Socket, bodyLimit: number) {
    this.owner = owner
    this.socket = socket
    this.label = label(request.method, request.url)
    this.span = this.exchangeBegan()
    this.isWebSocket = request.headers.upgrade?.toLowerCase() === "websocket"
    socket.destroySoon = () => owner.close(socket)
    socket.once("finish", () => this.answered())
    const { "content-length": length = "0", "transfer-encoding": encoding } = request.headers
    if (bodyLimit > 0 && (length !== "0" || encoding !== undefined)) this.limitBody(request, bodyLimit)
  }

  /** A body that has not come by then is not waited for. */
  private limitBody(request: Http.IncomingMessage, millis: number): void {
    const { "content-length": length } = request.headers
    // Node before 26 takes an upgrade for complete with its head, and leaves the body to the one that upgrades
    const end = this.owner.raw.bytesRead + Number(length ?? 0)
    const arrived = () => length === undefined ? request.complete : this.owner.raw.bytesRead >= end
    this.timer = setTimeout(() =>
      afterReading(() => {
        if (!this.asking || arrived()) return
        // a socket that is on its way out may be reset
        this.socket.on("error", () => {})
        this.socket.end(late)
      }), millis)
  }

  get name(): string {
    return this.webSocket === undefined ? "upgraded" : "websocket"
  }

  // --- what happens ----------------------------------------------------------------------------------------------

  /** The handshake of a WebSocket is done. */
  opened(webSocket: NodeWS.WebSocket): void {
    this.webSocket = webSocket
    webSocket.once("close", () => this.clientLeft())
    this.askingEnded()
    this.owner.recheck()
  }

  /** A handler that waits in a pull hears of it there. Others would write, or wait for something to write, for ever. */
  private clientLeft(): void {
    clearTimeout(this.timer)
    if (this.pulling > 0) return
    if (!this.everPulled) return this.owner.interruptFibers()
    this.timer = setTimeout(() => this.owner.interruptFibers(), abandonedLimit)
  }

  /** Our side has ended: the answer of a handler that did not upgrade is out, or an upgraded protocol is over. */
  private answered(): void {
    this.askingEnded()
    this.owner.watchClose(this.socket)
    // nothing else reads what a client may still send
    if (this.webSocket === undefined && this.readers === 0) this.socket.resume()
    this.owner.recheck()
  }

  /** The socket an upgrade gives its handler, watched. */
  watch(socket: Socket.Socket, idle: IdleMode = "pull"): Socket.Socket {
    const reader = Effect.gen({ self: this }, function*() {
      const inner = yield* socket.reader
      const self: Reader = { since: 0, span: undefined }
      this.readers++
      this.askingEnded()
      if (idle === "handler") this.work(self)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          this.readers--
          this.rest(self)
        })
      )
      const waiting = Effect.onExit(inner.pull, () => {
        this.pulling--
        return Effect.void
      })
      const pull: Socket.Reader["pull"] = Effect.suspend(() => {
        if (idle === "pull") this.rest(self)
        this.everPulled = true
        this.pulling++
        return Effect.flatMap(waiting, (messages) => {
          // it could not be answered
          if (this.saidGoodbye) {
            this.owner.refused()
            return pull
          }
          if (idle === "pull") this.work(self)
          return Effect.succeed(messages)
        })
      })
      return { ...inner, pull }
    })
    return Socket.make({
      reader,
      writer: this.isWebSocket
        ? Effect.map(socket.writer, (writer) => backpressuredWriter(writer, () => this.webSocket))
        : socket.writer
    })
  }

  private work(reader: Reader): void {
    // a second pull while the first is worked on goes on with the same work
    if (this.working.has(reader)) return
    reader.since = performance.now()
    reader.span = this.exchangeBegan()
    this.working.add(reader)
  }

  private rest(reader: Reader): void {
    if (!this.working.delete(reader)) return
    this.owner.exchangeEnded(reader.since, reader.span)
    this.owner.recheck()
  }

  private exchangeBegan(): Begun["span"] {
    return this.owner.exchangeBegan(this.owner.traced ? this.label : undefined)
  }

  private askingEnded(): void {
    if (!this.asking) return
    this.asking = false
    clearTimeout(this.timer)
    this.owner.exchangeEnded(this.since, this.span)
  }

  // --- asked and told --------------------------------------------------------------------------------------------

  busy(): boolean {
    return this.asking || this.working.size > 0
  }

  exchanges(): ReadonlyArray<InFlight> {
    if (this.asking || this.socket.closed) return [{ label: this.label, since: this.since }]
    return Array.from(this.working, ({ since }) => ({ label: this.label, since }))
  }

  /** An idle one needs no grace: its goodbye says what an answer would say. */
  lastActive(): number {
    return -Infinity
  }

  drainNotified(): void {}

  goodbye(): void {
    if (this.saidGoodbye) return
    this.saidGoodbye = true
    if (this.webSocket === undefined) return this.owner.close(this.socket)
    this.owner.watchClose(this.socket)
    this.webSocket.close(1001, "going away")
    if (this.webSocket.isPaused) this.readOn(this.webSocket)
    // it is asked for an answer when it has had the question: what was written before may take its time
    const asked = () => {
      this.timer = setTimeout(() => this.webSocket?.terminate(), closeLimit)
    }
    if (this.socket.writable) this.socket.write("", asked)
    else asked()
  }

  /** Nothing has taken what came: it is dropped, or the answer behind it would not be read. */
  private readOn(webSocket: NodeWS.WebSocket): void {
    webSocket.removeAllListeners("message")
    webSocket.on("message", () => this.owner.refused())
    webSocket.resume()
  }

  phase(): ConnectionPhase | undefined {
    return this.asking ? undefined : "Upgraded"
  }

  bytesPending(): number {
    return this.socket.writableLength
  }

  closed(): Ending {
    if (this.webSocket === undefined || this.saidGoodbye) clearTimeout(this.timer)
    this.askingEnded()
    // Effect's handler takes a socket whose writable side has ended for one that is answered
    if (this.webSocket === undefined && this.readers === 0) this.owner.interruptFibers()
    for (const reader of Array.from(this.working)) this.rest(reader)
    return this.socket.readableEnded || this.socket.errored !== null || this.webSocket !== undefined
      ? "byPeer"
      : "normal"
  }
}

/**
 * The request of an upgrade, with a socket that is watched. A request that is
 * modified, as routers do, stays one.
 */
export const watchedRequest = (request: HttpServerRequest, upgraded: Upgraded): HttpServerRequest =>
  Object.create(request, {
    upgrade: { get: () => Effect.map(request.upgrade, (socket) => upgraded.watch(socket)) },
    upgradeWith: {
      value: (options: Parameters<HttpServerRequest["upgradeWith"]>[0]) =>
        Effect.map(request.upgradeWith(options), (socket) => upgraded.watch(socket))
    },
    modify: {
      value: (options: Parameters<HttpServerRequest["modify"]>[0]) => watchedRequest(request.modify(options), upgraded)
    }
  })
