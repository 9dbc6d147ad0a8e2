/**
 * HTTP/2 on one connection: each stream is in flight from its head to its end.
 * Node limits neither how long a session takes to its first stream, nor how
 * long it is idle, nor how long a request takes to arrive: this does.
 */
import type { ConnectionPhase } from "@effect-listener/core/DrainReport"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import type { HttpConnection } from "../httpConnection.ts"
import type { Begun, Ending, InFlight, Protocol } from "../protocol.ts"
import { label } from "./http1.ts"

/** Milliseconds; `Infinity` where there is no limit. */
export interface SessionLimits {
  /** Until the first request. */
  readonly first: number
  /** Without a request in flight, and without a byte. */
  readonly inactivity: number
  /** Until a request has arrived whole. */
  readonly request: number
}

/** How the listener below, one function for all streams, finds what is in flight on one. */
const exchangeOf: unique symbol = Symbol("@effect-listener/node/http2Exchange")

interface OwnedStream extends Http2.ServerHttp2Stream {
  /** From its request on. */
  [exchangeOf]?: Exchange
}

function onClose(this: OwnedStream): void {
  this[exchangeOf]?.protocol.streamClosed(this)
}

/** What was asked for on a stream; it does not keep the stream, because idle sessions are many. */
class Exchange implements InFlight, Begun {
  readonly protocol: Http2Protocol
  readonly since: number
  readonly span: Begun["span"]
  /** Where its stream is among the open ones. */
  at: number
  ended = false
  private readonly method: string
  private readonly url: string

  constructor(
    protocol: Http2Protocol,
    { method, url }: Http2.Http2ServerRequest,
    since: number,
    span: Begun["span"],
    at: number
  ) {
    this.protocol = protocol
    this.method = method
    this.url = url
    this.since = since
    this.span = span
    this.at = at
  }

  get label(): string {
    return label(this.method, this.url)
  }
}

export class Http2Protocol implements Protocol {
  readonly name = "h2"
  private readonly owner: HttpConnection
  private readonly socket: Net.Socket
  private readonly session: Http2.ServerHttp2Session
  private readonly limits: SessionLimits
  /** Those with a request, in no order; not in a `Map`, which keeps its garbage alive (core's `LinkedList`). */
  private readonly streams: Array<OwnedStream> = []
  private readonly bornAt = performance.now()
  private everActive = false
  private newest: Exchange | undefined
  private activeAt = this.bornAt
  private seenBytes = 0
  private timer: NodeJS.Timeout | undefined
  private checkAt = Infinity

  constructor(
    owner: HttpConnection,
    socket: Net.Socket,
    session: Http2.ServerHttp2Session,
    limits: SessionLimits
  ) {
    this.owner = owner
    this.socket = socket
    this.session = session
    this.limits = limits
    // an HTTP/2 client that ends its side has gone
    socket.allowHalfOpen = false
    this.checkBy(this.bornAt + limits.first)
  }

  request(request: Http2.Http2ServerRequest): void {
    const stream: OwnedStream = request.stream
    const now = performance.now()
    this.everActive = true
    const span = this.owner.exchangeBegan(this.owner.traced ? label(request.method, request.url) : undefined)
    this.newest = new Exchange(this, request, now, span, this.streams.push(stream) - 1)
    stream[exchangeOf] = this.newest
    stream.on("close", onClose)
    this.checkBy(now + this.limits.request)
    if (this.owner.draining) this.leave(stream)
    this.owner.recheck()
  }

  streamClosed(stream: OwnedStream): void {
    const exchange = stream[exchangeOf]
    if (exchange === undefined) return
    this.exchangeEnded(exchange)
    this.takeOut(exchange.at)
    this.activeAt = performance.now()
    if (this.streams.length > 0) return
    this.owner.releaseFiber()
    if (this.session.closed) this.owner.watchClose(this.socket)
    else this.checkBy(this.activeAt + this.limits.inactivity)
    this.owner.recheck()
  }

  /** The last one takes its place. */
  private takeOut(at: number): void {
    const last = this.streams.pop()
    const moved = last?.[exchangeOf]
    if (last === undefined || moved === undefined || moved.at === at) return
    this.streams[at] = last
    moved.at = at
  }

  private exchangeEnded(exchange: Exchange): void {
    if (exchange.ended) return
    exchange.ended = true
    this.owner.exchangeEnded(exchange.since, exchange.span)
  }

  /**
   * The client is to go when this stream has ended. A read turn later, because
   * what has arrived by now is not refused.
   */
  private leave(stream: Http2.ServerHttp2Stream): void {
    if (!stream.endAfterHeaders) stream.once("finish", () => setImmediate(() => stopSending(stream)))
    if (!this.session.closed) setImmediate(() => setImmediate(() => this.goodbye()))
  }

  // --- time-outs -------------------------------------------------------------------------------------------------

  /** Looks at the limits at this time at the latest; one timer, rarely moved. */
  private checkBy(at: number): void {
    if (at >= this.checkAt) return
    clearTimeout(this.timer)
    this.checkAt = at
    this.timer = setTimeout(() => this.check(), Math.max(1, Math.ceil(at - performance.now())))
  }

  private check(): void {
    this.checkAt = Infinity
    if (this.session.closed) return
    const now = performance.now()
    if (this.streams.length > 0) return this.checkBy(this.endOverdue(now))
    const read = this.owner.raw.bytesRead
    // a ping keeps a session that was used before
    if (read !== this.seenBytes && this.everActive) this.activeAt = now
    this.seenBytes = read
    const due = this.everActive ? this.activeAt + this.limits.inactivity : this.bornAt + this.limits.first
    if (now >= due) this.goodbye()
    else this.checkBy(due)
  }

  /** Ends streams whose requests are late; answers when the next one will be. */
  private endOverdue(now: number): number {
    let next = Infinity
    // a copy: one that is ended may be taken out
    for (const stream of this.streams.slice()) {
      if (stream.readableEnded || stream.closed) continue
      const due = stream[exchangeOf]!.since + this.limits.request
      if (due > now) next = Math.min(next, due)
      else if (stream.headersSent) stream.close(Http2.constants.NGHTTP2_CANCEL)
      else stream.respond({ ":status": 408 }, { endStream: true })
    }
    return next
  }

  // --- asked and told --------------------------------------------------------------------------------------------

  busy(): boolean {
    return this.streams.length > 0
  }

  exchanges(): ReadonlyArray<InFlight> {
    if (this.streams.length === 0 && this.newest !== undefined && this.socket.closed) return [this.newest]
    return this.openExchanges.toSorted((one, other) => one.since - other.since)
  }

  private get openExchanges(): Array<Exchange> {
    // each has had its request
    return this.streams.map((stream) => stream[exchangeOf]!)
  }

  /** A client that knows of the goodbye needs no grace: only one that never had a word from us. */
  lastActive(): number {
    return this.everActive ? -Infinity : this.bornAt
  }

  drainNotified(): void {
    for (const stream of this.streams) this.leave(stream)
  }

  /** No more streams on this session; when the last has ended, the session ends the socket. */
  goodbye(): void {
    if (this.session.closed) return
    clearTimeout(this.timer)
    if (this.streams.length === 0) this.owner.watchClose(this.socket)
    this.session.close()
  }

  phase(): ConnectionPhase | undefined {
    return undefined
  }

  bytesPending(): number {
    return this.socket.writableLength + (this.session.destroyed ? 0 : this.session.state.outboundQueueSize ?? 0)
  }

  closed(): Ending {
    clearTimeout(this.timer)
    // their own ends come later, and there may be a report before
    for (const exchange of this.openExchanges) this.exchangeEnded(exchange)
    return "byPeer"
  }
}

/** The answer is out, and the client still sends what nobody reads: it is told to stop, or the stream would never end. */
const stopSending = (stream: Http2.ServerHttp2Stream): void => {
  if (!stream.readableEnded && !stream.destroyed) stream.destroy()
}
