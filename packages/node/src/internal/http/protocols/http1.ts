/**
 * HTTP/1 on one connection. Outside a drain a request costs no listener: the
 * connection remembers its newest response, and is busy while that is open.
 */
import type { ConnectionPhase } from "@effect-listener/core/DrainReport"
import * as Http from "node:http"
import * as Net from "node:net"
import { endOnce, type HttpConnection, httpConnectionOf } from "../httpConnection.ts"
import type { Begun, Ending, InFlight, Protocol } from "../protocol.ts"

/** What is discarded of a request body nobody read, to keep the connection; Effect's own limit, in bytes. */
const maxDiscarded = 256 * 1024

/** What a request is called in reports: never with its query, which may be anybody's secret. */
export const label = (method: string | undefined, url: string | undefined): string => {
  const path = url ?? "*"
  const query = path.indexOf("?")
  return `${method ?? "?"} ${query < 0 ? path : path.slice(0, query)}`
}

const hasBody = ({ headers }: Http.IncomingMessage): boolean =>
  headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined

export class Http1Protocol implements Protocol {
  readonly name = "http/1.1"
  private readonly owner: HttpConnection
  private readonly socket: Net.Socket
  /** The response of the newest request; outside a drain only until it is answered, because idle connections are many. */
  private newest: Http.ServerResponse | undefined
  private method: string | undefined
  private url: string | undefined
  /** Whether the newest request has a body. */
  private withBody = false
  private requestedAt = 0
  private answeredAt = performance.now()
  /** How many requests have no answer yet; the oldest of them; and those pipelined behind it. */
  private unanswered = 0
  private oldestSince = 0
  private oldestSpan: Begun["span"]
  private pipelined: Array<Begun> | undefined
  /** The bytes on the wire when the last message was known to be whole. */
  private wholeUntil: number
  /** When it was first noticed that half a message had arrived. */
  private halfSince: number | undefined
  /** The response that tells the client to go: the newest, whose head is not written yet. */
  private last: Http.ServerResponse | undefined
  private ended = false
  /** Until the first request. */
  private timer: NodeJS.Timeout | undefined

  /** `firstByte`: how many milliseconds the client may say nothing; `Infinity` where there is no limit. */
  constructor(owner: HttpConnection, socket: Net.Socket, firstByte: number) {
    this.owner = owner
    this.socket = socket
    this.wholeUntil = owner.raw.bytesRead
    if (firstByte !== Infinity && socket.bytesRead === 0) {
      this.timer = setTimeout(() => {
        if (socket.bytesRead === 0) owner.drop()
      }, firstByte)
    }
    // Node's own destroys the socket as soon as all is flushed, which resets a client that is still sending
    socket.destroySoon = onDestroySoon
    socket.end = endOnce
    socket.push = onPush
  }

  // --- requests --------------------------------------------------------------------------------------------------

  /** A request's head is complete. Answers whether it may be executed. */
  request(request: Http.IncomingMessage, response: Http.ServerResponse): boolean {
    if (this.saidLast) {
      this.owner.refused()
      // unread, its body would stop the reading, and the client would be reset
      request.resume()
      return false
    }
    if (this.timer !== undefined) this.stopTimer()
    this.newest = response
    this.method = request.method
    this.url = request.url
    this.requestedAt = performance.now()
    this.exchangeBegan(request)
    this.wholeUntil = this.owner.raw.bytesRead
    this.halfSince = undefined
    if (!(response instanceof Response)) response.detachSocket = onDetach
    this.withBody = hasBody(request)
    if (this.withBody) response.writeHead = onHead
    if (this.owner.draining) {
      this.announce(response)
      this.watch(response)
      this.owner.recheck()
    }
    return true
  }

  /** The client was told to go: what it still sends is not executed. */
  get saidLast(): boolean {
    return this.ended || this.last?.headersSent === true
  }

  /** The client waits for a word before it sends the body: it gets one when somebody reads. */
  continueOnRead(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    const keepAlive = response.shouldKeepAlive
    // answered without it, the client may or may not send the body: what follows cannot be told from a request
    response.shouldKeepAlive = false
    const read = request._read.bind(request)
    request._read = (size) => {
      request._read = read
      if (!response.headersSent) {
        response.shouldKeepAlive = keepAlive
        if (this.owner.draining && response === this.newest) this.announce(response)
        response.writeContinue()
      }
      read(size)
    }
  }

  /** `Connection: close` goes on the newest response only: on an older one, Node would drop those after it. */
  private announce(response: Http.ServerResponse): void {
    if (this.last !== undefined && this.last !== response) this.last.shouldKeepAlive = true
    this.last = undefined
    if (response.headersSent || !response.shouldKeepAlive) return
    response.shouldKeepAlive = false
    this.last = response
  }

  private watch(response: Http.ServerResponse): void {
    response.once("close", () => this.owner.recheck())
  }

  /** A response has been handed to the kernel, to its last byte. */
  answered(response: Http.ServerResponse): void {
    this.answeredAt = performance.now()
    this.oldestExchangeEnded()
    const newest = response === this.newest
    if (newest ? this.withBody : hasBody(response.req)) this.wholeUntil = this.owner.raw.bytesRead
    if (newest && !this.owner.draining && response.writableFinished) this.newest = undefined
    this.owner.releaseFiber()
  }

  private exchangeBegan({ method, url }: Http.IncomingMessage): void {
    const span = this.owner.exchangeBegan(this.owner.traced ? label(method, url) : undefined)
    if (this.unanswered++ > 0) {
      ;(this.pipelined ??= []).push({ since: this.requestedAt, span })
      return
    }
    this.oldestSince = this.requestedAt
    this.oldestSpan = span
  }

  /** Answers go out in the order of their requests. */
  private oldestExchangeEnded(): void {
    if (this.unanswered === 0) return
    this.owner.exchangeEnded(this.oldestSince, this.oldestSpan, this.answeredAt)
    this.unanswered--
    const next = this.pipelined?.shift()
    this.oldestSpan = next?.span
    if (next !== undefined) this.oldestSince = next.since
  }

  /** What is not answered now ends without an answer. */
  replaced(): void {
    this.stopTimer()
    if (this.unanswered > 0) this.answeredAt = performance.now()
    while (this.unanswered > 0) this.oldestExchangeEnded()
  }

  private stopTimer(): void {
    clearTimeout(this.timer)
    this.timer = undefined
  }

  /** An early answer is out and the client still sends: it is let, because it may read only when it has sent all. */
  discard(request: Http.IncomingMessage): void {
    let discarded = 0
    request.on("data", (chunk: Uint8Array) => {
      discarded += chunk.length
      if (discarded > maxDiscarded) this.end()
    })
    request.resume()
  }

  end(): void {
    if (this.ended) return
    this.ended = true
    this.owner.close(this.socket)
  }

  // --- asked and told --------------------------------------------------------------------------------------------

  busy(): boolean {
    return this.newest !== undefined && !this.newest.closed
  }

  exchanges(): ReadonlyArray<InFlight> {
    if (this.requestedAt === 0 || !(this.busy() || this.socket.closed)) return []
    return [{ label: label(this.method, this.url), since: this.requestedAt }]
  }

  /** Half a head has a grace of its own, from when it is noticed. */
  lastActive(): number {
    if (this.owner.raw.bytesRead === this.wholeUntil) return this.answeredAt
    return this.halfSince ??= performance.now()
  }

  drainNotified(): void {
    if (this.newest === undefined || this.newest.closed) return
    this.announce(this.newest)
    this.watch(this.newest)
  }

  goodbye(): void {
    this.end()
  }

  phase(): ConnectionPhase | undefined {
    return undefined
  }

  bytesPending(): number {
    return this.socket.writableLength
  }

  closed(): Ending {
    this.replaced()
    if (this.socket.readableEnded || this.socket.errored !== null) return "byPeer"
    return this.newest !== undefined && !this.newest.writableFinished ? "failed" : "normal"
  }
}

// --- what the sockets and responses of all connections call --------------------------------------------------------

/** The HTTP/1 that is spoken on a socket. */
const spokenOn = (socket: Net.Socket): Http1Protocol | undefined => {
  const protocol = httpConnectionOf(socket)?.current
  return protocol instanceof Http1Protocol ? protocol : undefined
}

/** Both sides have ended: there is nothing to wait for, and nobody to tell of it. Tunnels have somebody. */
function onPush(this: Net.Socket, chunk: unknown, encoding?: BufferEncoding): boolean {
  if (chunk !== null || !this.writableFinished || spokenOn(this) === undefined) {
    return Net.Socket.prototype.push.call(this, chunk, encoding)
  }
  this.destroy()
  return false
}

function onDestroySoon(this: Net.Socket): void {
  spokenOn(this)?.end()
}

/** The responses of servers of our own making: on those of others, each gets `onDetach`, which takes longer. */
export class Response<Request extends Http.IncomingMessage = Http.IncomingMessage>
  extends Http.ServerResponse<Request>
{
  override detachSocket(socket: Net.Socket): void {
    spokenOn(socket)?.answered(this)
    super.detachSocket(socket)
  }
}

/** What a method of a response does on its class, which may be the application's own. */
const inherited = (response: Http.ServerResponse): Http.ServerResponse => Object.getPrototypeOf(response)

function onDetach(this: Http.ServerResponse, socket: Net.Socket): void {
  spokenOn(socket)?.answered(this)
  inherited(this).detachSocket.call(this, socket)
}

/** The head of an answer to a request with a body. */
const onHead: Http.ServerResponse["writeHead"] = function(this: Http.ServerResponse, ...args: [never]) {
  // before the listener of Effect's handler, which would destroy the socket half a second later
  if (!this.req.complete) this.prependListener("finish", onEarlyAnswer)
  // the arguments are passed on as they came, whichever overload they are for
  return inherited(this).writeHead.apply(this, args)
}

function onEarlyAnswer(this: Http.ServerResponse): void {
  const { req } = this
  if (req.complete || req.destroyed) return
  // the rest of the body is ours: Effect's handler leaves a complete request alone
  req.complete = true
  spokenOn(req.socket)?.discard(req)
}
