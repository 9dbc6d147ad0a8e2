/**
 * A connection that is no longer HTTP: a WebSocket, or whatever its handler
 * upgraded it to. In flight is what the handler works on, from the pull that
 * gave it something to its next.
 */
import type { ConnectionPhase } from "@effect-listener/core/DrainReport"
import type { ServeOptions } from "@effect-listener/core/Listener"
import type * as NodeWS from "@effect/platform-node/NodeWS"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Socket from "effect/socket/Socket"
import type * as Http from "node:http"
import type * as Net from "node:net"
import type { HttpConnection } from "../httpConnection.ts"
import type { Begun, Ending, InFlight, Protocol } from "../protocol.ts"
import { label } from "./http1.ts"

/** When a connection has nothing in flight, as of `Listener.serve`. */
export type IdleMode = NonNullable<ServeOptions["idle"]>

/** How long the peer of a WebSocket may take to answer its goodbye, in milliseconds. */
const closeLimit = 2000

/** One who reads, and what it works on: one at a time, so that a message needs no memory of its own. */
interface Reader {
  since: number
  span: Begun["span"]
}

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
  private saidGoodbye = false
  private timer: NodeJS.Timeout | undefined

  constructor(owner: HttpConnection, request: Http.IncomingMessage, socket: Net.Socket) {
    this.owner = owner
    this.socket = socket
    this.label = label(request.method, request.url)
    this.span = this.exchangeBegan()
    this.isWebSocket = request.headers.upgrade?.toLowerCase() === "websocket"
    socket.destroySoon = () => owner.close(socket)
    socket.once("finish", () => this.answered())
  }

  get name(): string {
    return this.webSocket === undefined ? "upgraded" : "websocket"
  }

  // --- what happens ----------------------------------------------------------------------------------------------

  /** The handshake of a WebSocket is done. */
  opened(webSocket: NodeWS.WebSocket): void {
    this.webSocket = webSocket
    this.askingEnded()
    this.owner.recheck()
  }

  /** Our side has ended: the answer of a handler that did not upgrade is out, or an upgraded protocol is over. */
  private answered(): void {
    this.askingEnded()
    this.owner.watchClose(this.socket)
    // nobody else reads what a client may still send
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
      const pull: Socket.Reader["pull"] = Effect.suspend(() => {
        if (idle === "pull") this.rest(self)
        return Effect.flatMap(inner.pull, (messages) => {
          // nobody could answer it any more
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
    return Socket.make({ reader, writer: socket.writer })
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
    // it is asked for an answer when it has had the question: what was written before may take its time
    const asked = () => {
      this.timer = setTimeout(() => this.webSocket?.terminate(), closeLimit)
    }
    if (this.socket.writable) this.socket.write("", asked)
    else asked()
  }

  phase(): ConnectionPhase | undefined {
    return this.asking ? undefined : "Upgraded"
  }

  bytesPending(): number {
    return this.socket.writableLength
  }

  closed(): Ending {
    clearTimeout(this.timer)
    this.askingEnded()
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
