/**
 * HTTP/2 on one connection: each stream is in flight from its head to its end.
 * Node limits neither how long a session takes to its first stream, nor how
 * long it is idle, nor how long a head or a body takes to arrive, nor how long
 * an answer waits for its client: this does.
 */
import type { Ending } from "@effect-listener/core/Connection"
import type { ConnectionPhase } from "@effect-listener/core/DrainReport"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import { afterReading, afterWholeReading } from "../../platform/eventLoop.ts"
import { type HttpConnection, httpConnectionOf } from "../httpConnection.ts"
import type { Begun, InFlight, Protocol } from "../protocol.ts"
import { FrameBudget } from "./frameBudget.ts"
import { label } from "./http1.ts"
import { largestChunk } from "./http2Response.ts"
import { StalledStreams } from "./stalledStreams.ts"

/** Milliseconds; `Infinity` where there is no limit. */
export interface SessionLimits {
  /** Until the first request. */
  readonly first: number
  /** Without a request in flight, and without a PING. */
  readonly inactivity: number
  /** Until the head of a request that has begun has arrived whole. */
  readonly head: number
  /** Until a request has arrived whole. */
  readonly request: number
  /** While an answer waits and the client takes nothing of it. */
  readonly send: number
}

/** How often `send` is looked at while it runs: a client has a quarter of it more at the longest. */
const looks = 4

/** How the listener below, one function for all streams, finds what is in flight on one. */
const exchangeOf: unique symbol = Symbol("@effect-listener/node/http2Exchange")

interface OwnedStream extends Http2.ServerHttp2Stream {
  /** From its request on. */
  [exchangeOf]?: Exchange
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

/** How long the resets of the streams that are cut may take to go out, in milliseconds. */
const flushLimit = 100

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
  /** No stream above it has been heard of. */
  private newestStream = 0
  /** When it was first noticed that a head has begun and not ended. */
  private halfSince: number | undefined
  /** While answers wait. */
  private stalled: StalledStreams<OwnedStream> | undefined
  private readonly budget = new FrameBudget()
  private cutAt: number | undefined
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
    session.on("ping", onPing)
    session.on("remoteSettings", onSettings)
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
    if (stream.id !== undefined) this.newestStream = stream.id
    this.halfSince = undefined
    if (!stream.endAfterHeaders) {
      stream.once("finish", onEarlyAnswer)
      this.checkBy(now + this.limits.request)
    }
    this.checkBy(now + Math.min(this.limits.head, this.limits.send / looks))
    if (this.owner.draining) this.goodbyeLater()
    this.owner.recheck()
  }

  streamClosed(stream: OwnedStream): void {
    const exchange = stream[exchangeOf]
    if (exchange === undefined) return
    this.exchangeEnded(exchange)
    this.takeOut(exchange.at)
    this.activeAt = performance.now()
    // what is left may be that of the caller of the close
    if (this.streams.length > 0) return this.owner.recheck()
    this.owner.releaseFiber()
    if (this.session.closed) this.endSession()
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

  /** The client is to open no more streams. A read turn later, because what has arrived by now is not refused. */
  private goodbyeLater(): void {
    if (!this.session.closed) afterWholeReading(() => this.goodbye())
  }

  // --- limits ----------------------------------------------------------------------------------------------------

  /** Looks at the limits at this time at the latest; one timer, rarely moved. */
  private checkBy(at: number): void {
    if (at >= this.checkAt) return
    clearTimeout(this.timer)
    this.checkAt = at
    const look = () => this.check()
    this.timer = setTimeout(() => afterReading(look), Math.max(1, Math.ceil(at - performance.now())))
  }

  private check(): void {
    this.checkAt = Infinity
    if (this.session.destroyed) return
    const now = performance.now()
    const half = this.halfHeadDue(now)
    if (half <= now) return this.drop(Http2.constants.NGHTTP2_ENHANCE_YOUR_CALM)
    if (this.streams.length > 0) {
      this.endStalled(now)
      const next = now + Math.min(this.limits.head, this.limits.send / looks)
      return this.checkBy(Math.min(half, this.endOverdue(now), next))
    }
    this.stalled = undefined
    if (this.session.closed) return
    const due = !this.everActive
      ? this.bornAt + this.limits.first
      : half < Infinity
      ? half
      : this.activeAt + this.limits.inactivity
    if (now >= due) this.goodbye()
    else this.checkBy(due)
  }

  /**
   * When the head that has begun must have ended; `Infinity` where none has. Node tells only of whole heads, so one has
   * begun where a stream is known to the session and not here; or was refused, and then an answer to a PING can come.
   */
  private halfHeadDue(now: number): number {
    const { session } = this
    const { lastProcStreamID: begun = 0 } = session.state
    if (begun <= this.newestStream) return Infinity
    if (this.halfSince === undefined) {
      this.halfSince = now
      session.ping((error) => {
        if (error !== null) return
        this.newestStream = Math.max(this.newestStream, begun)
        this.halfSince = undefined
      })
    }
    return this.halfSince + this.limits.head
  }

  /** Ends streams whose requests are late; answers when the next one will be. */
  private endOverdue(now: number): number {
    let next = Infinity
    // a copy: one that is ended may be taken out
    for (const stream of this.streams.slice()) {
      if (stream.closed || hasArrived(stream)) continue
      const due = stream[exchangeOf]!.since + this.limits.request
      if (due > now) next = Math.min(next, due)
      else if (stream.headersSent) stream.close(Http2.constants.NGHTTP2_CANCEL)
      else stream.respond({ ":status": 408 }, { endStream: true })
    }
    return next
  }

  /** Resets the streams whose answers wait for a client that takes nothing of them. A PING moves no window. */
  private endStalled(now: number): void {
    if (this.stalled === undefined) {
      if (this.streams.every(({ writableLength }) => writableLength === 0)) return
      this.stalled = new StalledStreams(this.limits.send, largestChunk)
    }
    const { remoteWindowSize: room = 0 } = this.session.state
    for (const stream of this.stalled.look(this.streams, room, now)) stream.close(Http2.constants.NGHTTP2_CANCEL)
  }

  /** A PING keeps a session that was used before. */
  pinged(): void {
    if (this.everActive) this.activeAt = performance.now()
    this.charge()
  }

  /** A frame came that asks for an answer and is part of no request. */
  charge(): void {
    if (!this.budget.take()) this.drop(Http2.constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  /** Ends a session whose client keeps to no limits. */
  private drop(code: number): void {
    this.owner.watchClose(this.socket)
    if (!this.session.destroyed) this.session.destroy(undefined, code)
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
    if (this.streams.length > 0) this.goodbyeLater()
  }

  /** No more streams on this session; when the last has ended, the session ends the socket. */
  goodbye(): void {
    if (this.session.closed) return
    if (this.streams.length === 0) this.owner.watchClose(this.socket)
    this.session.close()
    if (this.streams.length === 0) this.endSession()
  }

  /** A session with half a head would not end by itself. */
  private endSession(): void {
    clearTimeout(this.timer)
    this.owner.watchClose(this.socket)
    setImmediate(() => {
      if (!this.session.destroyed && this.streams.length === 0) this.session.destroy()
    })
  }

  /** An answer that is cut must not look whole: each stream is reset, and the session ended when that is out. */
  breakOff(): boolean {
    if (this.streams.length === 0 || this.session.destroyed) return false
    for (const stream of this.streams.slice()) stream.close(Http2.constants.NGHTTP2_INTERNAL_ERROR)
    this.cutAt = performance.now()
    setImmediate(() => this.destroyFlushed())
    return true
  }

  private destroyFlushed(): void {
    const { cutAt, owner, socket } = this
    if (socket.destroyed || cutAt === undefined) return
    if (this.bytesPending() > 0 && performance.now() - cutAt < flushLimit) {
      this.timer = setTimeout(() => this.destroyFlushed(), 1)
      return
    }
    // a reset could reach the client before the resets of its streams are read
    if (this.bytesPending() > 0) owner.reset()
    else socket.destroy()
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

function onClose(this: OwnedStream): void {
  this[exchangeOf]?.protocol.streamClosed(this)
}

function onPing(this: Http2.Http2Session): void {
  spokenOn(this)?.pinged()
}

/** The Http2Protocol that is spoken on a session. */
const spokenOn = (session: Http2.Http2Session): Http2Protocol | undefined => {
  const protocol = httpConnectionOf(session)?.current
  return protocol instanceof Http2Protocol ? protocol : undefined
}

function onSettings(this: Http2.Http2Session): void {
  spokenOn(this)?.charge()
}

/** The request is whole, read or not. */
const hasArrived = (stream: Http2.ServerHttp2Stream): boolean =>
  stream.endAfterHeaders || stream.readableEnded || stream.state.remoteClose === 1

/**
 * The answer is out, and the client still sends what is not read: it is told to stop, or the stream would never end. Not
 * before the end of the answer, which Node sends in a turn of its own (RFC 9113, section 8.1).
 */
function onEarlyAnswer(this: Http2.ServerHttp2Stream): void {
  if (this.readableEnded || this.destroyed) return
  setImmediate(() => setImmediate(() => stopSending(this)))
}

const stopSending = (stream: Http2.ServerHttp2Stream): void => {
  if (stream.destroyed || hasArrived(stream)) return
  if (!stream.closed) stream.close(Http2.constants.NGHTTP2_NO_ERROR)
  // what is buffered of the request would keep it
  setImmediate(() => stream.destroy())
}
