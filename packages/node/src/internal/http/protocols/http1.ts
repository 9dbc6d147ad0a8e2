/**
 * HTTP/1 on one connection. Outside a drain a request costs no listener: the
 * connection remembers its newest response, and is busy while that is open.
 */
import type { Ending } from "@effect-listener/core/Connection"
import type { ConnectionPhase } from "@effect-listener/core/DrainReport"
import type * as Http from "node:http"
import type * as Net from "node:net"
import { afterReading } from "../../platform/eventLoop.ts"
import { isLast } from "../../platform/privateNode.ts"
import type { HttpConnection } from "../httpConnection.ts"
import type { InFlight, Protocol } from "../protocol.ts"
import { answerTo, isBadInput, onBadInput } from "./badInput.ts"
import {
  abandonResponse,
  holdOn,
  HookedHttp1,
  hookResponse,
  hookSocket,
  onBodyHead,
  onPipelinedHead
} from "./http1Hooks.ts"
import { Pipeline, type Unanswered } from "./http1Pipeline.ts"

/** What is discarded of a request body that the application did not read, to keep the connection; Effect's own limit, in bytes. */
const maxDiscarded = 256 * 1024

/** How often a client that is not read is asked whether it is there, in milliseconds. */
const probeEvery = 1000

export interface Http1Limits {
  /** Milliseconds until the first byte; `Infinity` where there is no limit. */
  readonly firstByte: number
  /** Milliseconds until a request has arrived whole, as Node's server has it at the time; 0 where there is no limit. */
  readonly request: () => number
  /** Milliseconds until its head has, likewise. */
  readonly head: () => number
  /** Unanswered requests that are executed side by side. */
  readonly maxPipelined: number
}

/** What a request is called in reports: never with its query, which may be secret. */
export const label = (method: string | undefined, url: string | undefined): string => {
  const path = url ?? "*"
  const query = path.indexOf("?")
  return `${method ?? "?"} ${query < 0 ? path : path.slice(0, query)}`
}

/**
 * - `"Open"`: requests are executed as they come.
 * - `"Held"`: more came than are executed side by side; reading pauses.
 * - `"Failed"`: what came is no HTTP, or came too late; nothing more is taken.
 */
type Reading = "Open" | "Held" | "Failed"

/**
 * - `"KeepAlive"`: answers leave the connection open, as far as the client wants it.
 * - `"Last"`: the newest answer tells the client to go, once its head is written.
 * - `"Closed"`: our side is ended.
 */
type Writing = "KeepAlive" | "Last" | "Closed"

export class Http1Protocol extends HookedHttp1 implements Protocol {
  readonly name = "http/1.1"
  private readonly owner: HttpConnection
  private readonly socket: Net.Socket
  private readonly limits: Http1Limits
  private reading: Reading = "Open"
  private writing: Writing = "KeepAlive"
  private readonly pipeline = new Pipeline()
  /** The response of the newest request; outside a drain only until it is answered, because idle connections are many. */
  private newest: Http.ServerResponse | undefined
  private method: string | undefined
  private url: string | undefined
  /** Whether the newest request has a body. */
  private withBody = false
  private requestedAt = 0
  private answeredAt = performance.now()
  /** The bytes on the wire when the last message was known to be whole. */
  private wholeUntil: number
  /** When it was first noticed that half a message had arrived. */
  private halfSince: number | undefined
  /** Until the first request; while reading pauses; until a body has come that Node no longer waits for. */
  private timer: NodeJS.Timeout | undefined
  /** What is answered to bad input, when all before it is answered. */
  private errorCode: string | undefined
  private answerReset = false

  constructor(owner: HttpConnection, socket: Net.Socket, limits: Http1Limits) {
    super()
    this.owner = owner
    this.socket = socket
    this.limits = limits
    this.wholeUntil = owner.raw.bytesRead
    const { firstByte } = limits
    if (firstByte !== Infinity && socket.bytesRead === 0) {
      this.timer = setTimeout(() =>
        afterReading(() => {
          if (socket.bytesRead === 0) owner.drop()
        }), firstByte)
    }
    hookSocket(socket)
  }

  // --- requests --------------------------------------------------------------------------------------------------

  /** A request's head is complete. Answers whether to execute it now. */
  request(request: Http.IncomingMessage, response: Http.ServerResponse, expectsContinue: boolean): boolean {
    if (this.saidLast) {
      this.owner.refused()
      // unread, its body would stop the reading, and the client would be reset
      request.resume()
      return false
    }
    if (this.timer !== undefined) this.stopTimer()
    const before = this.newest
    this.newest = response
    this.method = request.method
    this.url = request.url
    this.requestedAt = performance.now()
    this.wholeUntil = this.owner.raw.bytesRead
    this.halfSince = undefined
    hookResponse(response)
    this.withBody = hasBody(request)
    if (this.withBody) response.writeHead = onBodyHead
    // told to go on an older response, the client would not get the ones after it
    if (before !== undefined && !before.headersSent) before.writeHead = onPipelinedHead
    if (this.owner.draining) {
      this.announce(before, response)
      this.watch(response)
      this.owner.recheck()
    }
    const span = this.owner.exchangeBegan(this.owner.traced ? label(request.method, request.url) : undefined)
    const one: Unanswered = { request, response, expectsContinue, since: this.requestedAt, span, next: undefined }
    if (this.pipeline.push(one, this.sideBySide)) return true
    this.hold()
    return false
  }

  /** The client was told to go: what it still sends is not executed. */
  get saidLast(): boolean {
    if (this.writing === "Closed" || this.reading === "Failed") return true
    const { newest } = this
    return newest !== undefined && newest.headersSent && isLast(newest)
  }

  /** `Connection: close` goes on the newest response only: on an older one, Node would drop those after it. */
  private announce(before: Http.ServerResponse | undefined, response: Http.ServerResponse): void {
    if (this.writing === "Closed") return
    if (this.writing === "Last" && before !== undefined && before !== response) before.shouldKeepAlive = true
    this.writing = "KeepAlive"
    if (response.headersSent || !response.shouldKeepAlive) return
    response.shouldKeepAlive = false
    this.writing = "Last"
  }

  private watch(response: Http.ServerResponse): void {
    response.once("close", () => this.owner.recheck())
  }

  /** The newest response, and no older one, is to tell the client to go. */
  override closeAfterNewest(): void {
    if (this.newest !== undefined && !this.newest.headersSent) this.announce(undefined, this.newest)
  }

  /** A response has been handed to the kernel, to its last byte. */
  override answered(response: Http.ServerResponse): void {
    const { newest, oldest } = this.pipeline
    // others are Node's own, to what never came here
    if (oldest === undefined || oldest.response !== response) return
    this.answeredAt = performance.now()
    this.oldestExchangeEnded()
    const isNewest = response === this.newest
    if (isNewest ? this.withBody : hasBody(response.req)) this.wholeUntil = this.owner.raw.bytesRead
    if (isNewest && !this.owner.draining && response.writableFinished) this.newest = undefined
    this.owner.releaseFiber()
    if (oldest !== newest || this.reading !== "Open") this.goOn(isLast(response))
  }

  private oldestExchangeEnded(): void {
    const { oldest } = this.pipeline
    if (oldest === undefined) return
    this.pipeline.shift()
    this.owner.exchangeEnded(oldest.since, oldest.span, this.answeredAt)
  }

  /** An answer is out: those that wait for it are executed, unless it was the last, and what is over ends. */
  private goOn(last: boolean): void {
    for (let next = this.next(); next !== undefined; next = this.next()) {
      if (last) this.owner.refused()
      else this.owner.execute(next)
    }
    if (this.reading === "Failed") this.endBadInput()
    else if (this.reading === "Held" && !this.pipeline.full) this.takeUp()
  }

  private next(): Unanswered | undefined {
    return this.pipeline.take(this.sideBySide)
  }

  /** Over HTTP/1.0 an answer without a length ends the connection: what comes after it is not begun before. */
  private get sideBySide(): number {
    return this.pipeline.oldest?.request.httpVersionMinor === 0 ? 1 : this.limits.maxPipelined
  }

  /** Another protocol takes over, or the socket is gone: what is not answered now ends without an answer. */
  replaced(): void {
    this.stopTimer()
    if (this.pipeline.oldest === undefined) return
    this.answeredAt = performance.now()
    while (this.pipeline.oldest !== undefined) this.oldestExchangeEnded()
  }

  private stopTimer(): void {
    clearTimeout(this.timer)
    this.timer = undefined
  }

  // --- too many at once ------------------------------------------------------------------------------------------

  private hold(): void {
    this.socket.pause()
    if (this.reading === "Open") {
      this.reading = "Held"
      this.socket.on("resume", holdOn)
    }
    if (this.timer === undefined) this.timer = setInterval(() => this.probe(), probeEvery)
  }

  /** Nothing is heard of a client that is not read: writing nothing finds out whether it has reset the connection. */
  private probe(): void {
    if (this.socket.writable && this.socket.writableLength === 0) this.socket.write("")
  }

  private takeUp(): void {
    this.reading = "Open"
    this.stopTimer()
    this.socket.off("resume", holdOn)
    this.socket.resume()
  }

  // --- bad input -------------------------------------------------------------------------------------------------

  /** Node's parser or one of its time-outs has found something wrong, or the socket has failed. */
  failed(error: NodeJS.ErrnoException): void {
    if (!isBadInput(error.code)) return void this.socket.destroy(error)
    if (this.reading === "Failed" || this.writing === "Closed") return
    if (error.code !== "ERR_HTTP_REQUEST_TIMEOUT") return this.fail(error.code)
    const late = this.incomplete === undefined ? "head" : "body"
    const { requestedAt } = this
    // what came in time is still to be read: Node looks at its clock first
    afterReading(() => {
      if (this.socket.destroyed || this.reading === "Failed") return
      if (late === "head" ? this.requestedAt === requestedAt : this.incomplete !== undefined) {
        return this.fail(error.code)
      }
      // Node no longer waits for the rest of a request whose head was late
      if (late === "head" && this.incomplete !== undefined) this.limitBody()
    })
  }

  private limitBody(): void {
    const left = this.limits.request() - this.limits.head()
    const { requestedAt } = this
    if (left <= 0 || this.timer !== undefined) return
    this.timer = setTimeout(() =>
      afterReading(() => {
        if (this.requestedAt === requestedAt && this.incomplete !== undefined) this.fail("ERR_HTTP_REQUEST_TIMEOUT")
      }), left)
  }

  /** The newest request, where its body has not come whole. */
  private get incomplete(): Unanswered | undefined {
    const { newest } = this.pipeline
    return newest === undefined || newest.request.complete ? undefined : newest
  }

  private fail(code: string | undefined): void {
    this.reading = "Failed"
    this.errorCode = code
    this.endBadInput()
  }

  private endBadInput(): void {
    if (this.writing === "Closed") return
    const { incomplete } = this
    const { newest, oldest } = this.pipeline
    const action = onBadInput({
      unanswered: oldest !== undefined,
      incomplete: incomplete !== undefined,
      alone: oldest === newest,
      headSent: incomplete?.response.headersSent === true
    })
    if (action === "AfterAnswers") return
    if (action === "BreakOff") return this.resetAnswer()
    const answer = answerTo(this.errorCode)
    if (answer !== undefined && this.socket.writable) this.socket.write(answer)
    this.end()
    if (incomplete === undefined) return
    // its handler works for an answer that has been given
    this.newest = undefined
    abandonResponse(incomplete.response, this.socket)
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  /** An early answer is out and the client still sends: it is let, because it may read only when it has sent all. */
  override discard(request: Http.IncomingMessage): void {
    let discarded = 0
    request.on("data", (chunk: Uint8Array) => {
      discarded += chunk.length
      if (discarded > maxDiscarded) this.end()
    })
    request.resume()
  }

  override end(): void {
    if (this.writing === "Closed") return
    this.writing = "Closed"
    this.stopTimer()
    this.owner.close(this.socket)
    // what is not read is not discarded either
    if (this.reading === "Open") return
    this.socket.off("resume", holdOn)
    this.socket.resume()
  }

  /** The application ends our side. */
  override ended(): void {
    if (this.writing === "Closed") return
    this.writing = "Closed"
    this.owner.watchClose(this.socket)
  }

  /** An answer whose end only the end of the connection tells has begun, and is not out. */
  override get closeDelimited(): boolean {
    const response = this.pipeline.oldest?.response
    return response !== undefined && response.headersSent && !response.chunkedEncoding && !response.writableFinished
  }

  /** What is out of an answer must not look whole: a reset, where there is one. Answers whether it is done. */
  override resetAnswer(): void {
    if (this.answerReset) return
    this.answerReset = true
    this.owner.reset()
  }

  /** Nothing came for the time that an idle connection is kept. */
  silent(): void {
    const { bytesRead } = this.owner.raw
    afterReading(() => {
      if (this.socket.destroyed || this.owner.raw.bytesRead !== bytesRead) return
      if (this.busy()) this.socket.destroy()
      else this.end()
    })
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
    this.announce(undefined, this.newest)
    this.watch(this.newest)
  }

  goodbye(lingers: boolean): void {
    const { raw } = this.owner
    // TLS has a last word of its own
    const delivered = this.socket === raw && raw.writableLength === 0 && raw.readableLength === 0
    if (lingers || !delivered || this.lastActive() !== this.answeredAt) return this.end()
    this.writing = "Closed"
    this.stopTimer()
    this.owner.drop()
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

const hasBody = ({ headers }: Http.IncomingMessage): boolean =>
  headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined
