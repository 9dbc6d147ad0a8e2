/**
 * One connection of an HTTP server, as its listener sees it: busy or idle, told
 * to end, ended. What is spoken on it is its protocol's business, and may
 * change: a handshake becomes HTTP/1, which becomes a WebSocket.
 */
import type { Connection, Ending, ProtocolDriver, ProtocolEvents } from "@effect-listener/core/Connection"
import type { ConnectionPhase } from "@effect-listener/core/DrainReport"
import type { LingerOptions } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { ClientAbort } from "effect/http/HttpServerError"
import type * as Tracer from "effect/Tracer"
import type * as Http from "node:http"
import type * as Http2 from "node:http2"
import type * as Net from "node:net"
import { endOurSide, LingeringClose } from "../socket/goodbye/lingeringClose.ts"
import type { LingerTimer } from "../socket/goodbye/lingerTimer.ts"
import type { InFlight, Protocol } from "./protocol.ts"
import type { Unanswered } from "./protocols/http1Pipeline.ts"

const noFibers: ReadonlyArray<never> = []

/** What the connections of a server have in common. */
export interface HttpContext {
  readonly lingerTimer: LingerTimer
  /** Gives a request that waited for others to the application. */
  readonly execute: (
    http: HttpConnection | undefined,
    request: Http.IncomingMessage,
    response: Http.ServerResponse,
    expectsContinue: boolean
  ) => void
  /** The socket of a connection is gone. */
  readonly onClosed: () => void
}

/**
 * Counts what comes in steps of a small packet (RFC 9293, section 3.7.1): a client that drips is silent, or it would be
 * lingered for as long as it likes.
 */
class Packets {
  private readonly raw: Net.Socket

  constructor(raw: Net.Socket) {
    this.raw = raw
  }

  get bytesRead(): number {
    const { bytesRead } = this.raw
    return bytesRead - bytesRead % 512
  }
}

const httpConnection: unique symbol = Symbol("@effect-listener/node/httpConnection")

/** A socket or an HTTP/2 session. */
interface Owned {
  [httpConnection]?: HttpConnection | undefined
}

/** The connection that a socket or an HTTP/2 session belongs to; none for those of other servers. */
export const httpConnectionOf = (owned: object): HttpConnection | undefined => (owned as Owned)[httpConnection]

export class HttpConnection implements ProtocolDriver {
  readonly connection: Connection
  /** The socket as it was accepted; under TLS, `Protocol`s speak over another one. */
  readonly raw: Net.Socket
  current: Protocol
  /** Draining, a lame duck included, has reached the connection. */
  draining = false
  private readonly events: ProtocolEvents
  /** Serves the connection; as a rule the only one. Its end needs no notice while there is a socket. */
  private fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** Others that serve it, until they end. */
  private watched: Set<Fiber.Fiber<unknown, unknown>> | undefined
  /** The end was ours: a last word was said, or a time-out passed. */
  private saidGoodbye = false
  private readonly context: HttpContext
  /** From the last word on. */
  private closing: LingeringClose | undefined
  private gone: Ending | undefined
  /** Its protocol destroys the socket when it has said that what is in flight is cut. */
  private brokenOff = false

  constructor(
    connection: Connection,
    raw: Net.Socket,
    events: ProtocolEvents,
    context: HttpContext,
    current: Protocol
  ) {
    this.connection = connection
    this.raw = raw
    this.events = events
    this.context = context
    this.claim(raw)
    this.current = current
    if (raw.closed) queueMicrotask(() => this.closed())
    // one function for all, because idle connections are many
    else raw.on("close", onClose)
  }

  /** The socket or session above the raw one belongs to the connection, too. */
  claim(owned: Net.Socket | Http2.Http2Session): void {
    // the symbol is known here only
    const own = owned as Owned
    own[httpConnection] = this
  }

  // --- what is spoken --------------------------------------------------------------------------------------------

  /** Another protocol from now on. */
  switchProtocol<P extends Protocol>(protocol: P): P {
    this.current.replaced?.()
    this.current = protocol
    if (this.draining) protocol.drainNotified()
    this.recheck()
    return protocol
  }

  /** Something began or ended: the drain may look again. */
  recheck(): void {
    if (this.draining) this.events.recheck()
  }

  /** Something is in flight: for metrics, and for a span where exchanges are traced. Each is told to `exchangeEnded` once. */
  exchangeBegan(label: string | undefined): Tracer.Span | undefined {
    return this.events.exchangeBegan(label)
  }

  /** Labels are wanted. */
  get traced(): boolean {
    return this.events.traced
  }

  /** Something that began has ended. */
  exchangeEnded(since: number, span: Tracer.Span | undefined, now = performance.now()): void {
    this.events.exchangeEnded(now - since, span)
  }

  /** What is asked now waits for `afterSweep`. */
  get sweeping(): boolean {
    return this.events.sweeping
  }

  /** Calls a function when the sweep is over, unless the client has gone by then. */
  afterSweep(work: () => void): void {
    this.events.afterSweep(() => {
      if (this.gone === undefined && !this.raw.destroyed) work()
    })
  }

  /** A request that waited for others is executed. */
  execute({ expectsContinue, request, response }: Unanswered): void {
    this.context.execute(this, request, response, expectsContinue)
  }

  /** A request was read after the last word, and not executed. */
  refused(): void {
    this.events.refused()
  }

  /** A fiber serves the connection until it ends. */
  trackFiber(fiber: Fiber.Fiber<unknown, unknown>): void {
    if (this.fiber === fiber) return
    if (this.gone === undefined && (this.fiber === undefined || ended(this.fiber))) this.fiber = fiber
    else this.watch(fiber)
  }

  /** What a fiber was there for is answered: without work, a connection keeps no fiber. */
  releaseFiber(): void {
    const { fiber } = this
    if (fiber === undefined) return
    this.fiber = undefined
    if (!ended(fiber)) this.watch(fiber)
  }

  private watch(fiber: Fiber.Fiber<unknown, unknown>): void {
    const watched = this.watched ??= new Set()
    if (watched.has(fiber)) return
    watched.add(fiber)
    fiber.addObserver(() => {
      watched.delete(fiber)
      this.endIfGone()
    })
  }

  fibers(): ReadonlyArray<Fiber.Fiber<unknown, unknown>> {
    if (this.fiber === undefined && this.watched === undefined) return noFibers
    const watched = this.watched === undefined ? [] : Array.from(this.watched)
    return this.fiber === undefined || ended(this.fiber) ? watched : [this.fiber, ...watched]
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  /**
   * The last word was said: flush, FIN, linger, destroy. The protocol goes on
   * reading meanwhile and discards what it reads, because closing a socket with
   * unread input makes the kernel send a reset, which destroys the answer in
   * the peer's kernel.
   */
  close(socket: Net.Socket): void {
    this.watchClose(socket)
    if (!socket.destroyed && !socket.writableEnded) endOurSide(socket)
  }

  /** The same for a socket that its protocol ends by itself. */
  watchClose(socket: Net.Socket): void {
    if (this.saidGoodbye) return
    this.saidGoodbye = true
    if (socket.destroyed) return
    this.closing = new LingeringClose(
      socket,
      this.events.linger(),
      this.context.lingerTimer,
      untold,
      new Packets(this.raw)
    )
    this.closing.watch()
  }

  /** Ends a connection that has nothing to say, or no client to hear it. */
  drop(): void {
    this.saidGoodbye = true
    this.raw.destroy()
  }

  /** Breaks the connection off, with a reset where there is one. */
  reset(): void {
    Effect.runFork(this.connection.transport.destroy)
  }

  closed(): void {
    this.closing?.closed()
    const ending = this.current.closed()
    this.gone = this.saidGoodbye ? "normal" : ending
    this.releaseFiber()
    this.context.onClosed()
    this.endIfGone()
  }

  /** The listener is told once, when neither the socket nor a handler is left. */
  private endIfGone(): void {
    if (this.gone !== undefined && !this.fiberRuns) this.events.closed(this.gone)
  }

  // --- asked and told by the listener ----------------------------------------------------------------------------

  busy(): boolean {
    // without a socket it is there only for a handler that still runs
    return this.gone !== undefined || this.current.busy()
  }

  exchanges(): ReadonlyArray<InFlight> {
    const shift = this.events.now() - performance.now()
    return this.current.exchanges().map(({ label, since }) => ({ label, since: since + shift }))
  }

  lastActive(): number {
    return this.current.lastActive() + this.events.now() - performance.now()
  }

  drainNotified(): void {
    this.draining = true
    this.current.drainNotified()
  }

  goodbye(linger: LingerOptions | "none"): void {
    if (this.gone === undefined && !this.saidGoodbye) this.current.goodbye(linger !== "none")
  }

  breakOff(): boolean {
    return this.brokenOff = this.gone === undefined && this.current.breakOff?.() === true
  }

  cut(): void {
    for (const fiber of this.fibers()) fiber.interruptUnsafe()
  }

  /** The client has left those that work for it. */
  interruptFibers(): void {
    for (const fiber of this.fibers()) fiber.interruptUnsafe(undefined, ClientAbort.annotation)
  }

  running(): boolean {
    return (this.brokenOff && this.gone === undefined) || this.fiberRuns
  }

  private get fiberRuns(): boolean {
    return (this.fiber !== undefined && !ended(this.fiber)) || (this.watched !== undefined && this.watched.size > 0)
  }

  protocol(): string {
    return this.current.name
  }

  bytesPending(): number {
    return this.current.bytesPending()
  }

  phase(): ConnectionPhase | undefined {
    return this.closing?.socket.writableFinished === true
      ? "Lingering"
      : this.saidGoodbye
      ? "Flushing"
      : this.current.phase()
  }
}

const ended = (fiber: Fiber.Fiber<unknown, unknown>): boolean => fiber.pollUnsafe() !== undefined

/** The listener is told of the socket's end by `closed`. */
const untold = () => {}

function onClose(this: Net.Socket): void {
  httpConnectionOf(this)?.closed()
}
