import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as NetAddress from "effect/net/NetAddress"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import type * as Tracer from "effect/Tracer"
import type { Connection, ProtocolDriver } from "../../Connection.ts"
import type { ConnectionInfo, ConnectionPhase, EndReason } from "../../DrainReport.ts"
import type { FastConnection, LingerOptions, PullWatcher, TransportConnection } from "../../Transport.ts"
import type { ResolvedTimeouts } from "../options/timeouts.ts"
import type { Counts } from "../telemetry/counts.ts"
import { type ConnectionTracing, endSpan, startSpan } from "../telemetry/tracing.ts"
import { clip } from "../util/clip.ts"
import type { Linked, LinkedList } from "../util/linkedList.ts"
import type { Timers } from "../util/timers.ts"
import { type IdleMode, isIdle } from "./drainPolicy.ts"

/** What a connection needs of the life it belongs to. */
export interface ConnectionHost {
  readonly name: string
  readonly timeouts: ResolvedTimeouts
  readonly timers: Timers
  readonly counts: Counts
  readonly tracing: ConnectionTracing
  /** Its remote address is not shown. */
  readonly maskRemote: boolean
  /** Whether a connection that stays silent is ended. */
  readonly timed: boolean
  readonly now: () => number
  /** Something changed that may let a draining connection be told goodbye. */
  readonly review: (connection: ConnectionImpl) => void
  /** Lets go of a connection that moves to another scope. */
  readonly letGo: (connection: ConnectionImpl) => void
  readonly refused: () => void
  readonly linger: () => LingerOptions
}

export interface ChunkHandler {
  readonly running: Fiber.Fiber<unknown, unknown> | undefined
}

interface Exchange {
  readonly label: string
  readonly since: number
  readonly span: Tracer.Span | undefined
}

const utf8 = new TextEncoder()

const size = (frame: Uint8Array | string): number =>
  typeof frame === "string" ? utf8.encode(frame).length : frame.length

/** A report takes no number that JSON cannot, whatever a foreign transport counts. */
const finite = (n: number): number => Number.isFinite(n) ? n : 0

/** Whole milliseconds: nobody reads a clock's nanoseconds in a report. */
const age = (since: number, now: number): number => Math.max(0, Math.round(now - since))

/** Not below the span the listener was made in, which is over long before. */
const parentOf = (span: Tracer.Span | undefined) => span === undefined ? { root: true } : { parent: span }

/** Here and not in the public module, which could not be evaluated before this one. */
export const TypeId = "~@effect-listener/core/Connection"

/**
 * The connection as its listener has it. They are only ever made by listeners: anything else that has the type is a
 * mistake of its caller's.
 */
export const implementationOf = (connection: Connection): ConnectionImpl => {
  if (connection instanceof ConnectionImpl) return connection
  throw new TypeError("expected a connection that a listener has handed over, not a copy or a likeness of one")
}

export const closeError = (reason: string): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1001, closeReason: reason }) })

/**
 * One connection: what its handler uses, and what the drain knows of it. Plain
 * mutable fields, because they change with every pull; everything that decides
 * is elsewhere.
 */
export class ConnectionImpl implements Connection, PullWatcher, Linked<ConnectionImpl> {
  // first what is looked at when all are gone over, side by side: with thousands of them, memory is what takes time
  next: ConnectionImpl | undefined
  step: "Queued" | "Handshake" | "Serving" | "Goodbye" | "Detached" | "Ended" = "Queued"
  mode: IdleMode = "handler"
  pulling = 0
  private exchanges: Set<Exchange> | undefined
  /** Present on connections that a protocol drives by callbacks, without a fiber. */
  driver: ProtocolDriver | undefined
  /** Where it is: in the accept queue, or one of the lists of `Connections`. Its neighbours there are above and here. */
  list: LinkedList<ConnectionImpl> | undefined
  previous: ConnectionImpl | undefined

  readonly [TypeId]: typeof TypeId = TypeId
  readonly id: number
  readonly transport: TransportConnection
  /** What its transport offers for speed. */
  readonly fast: FastConnection | undefined
  readonly host: ConnectionHost
  readonly since: number

  /** Whom it counts for where remotes are limited, once that was asked. */
  remoteKey: string | undefined
  /** It does count for its remote. */
  counted = false
  /** It has been let in: the rate has counted it. */
  admitted = false
  /** While it is held: ends the watch over its client. */
  stopWatching: (() => void) | undefined
  /** It is to end, so that another can be served. */
  makesRoom = false
  /** It has had work. */
  used = false
  /** From accept to end, where connections are traced. */
  span: Tracer.Span | undefined
  /** The fiber whose `close` must not wait for this connection: its handler's, or the one that accepted it. */
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** Who handles its chunks, where each that takes its time has a fiber of its own. */
  chunks: ChunkHandler | undefined
  /** Its fiber is its handler's own, the listener's to interrupt. */
  handled = false
  lastActive: number
  /** Counts everything that happens on it: unchanged through a read turn means idle through it. */
  activity = 0
  /** The drain has told it, a lame duck included. */
  told = false
  /** The drain waits for it and may say goodbye. */
  reached = false
  /** It had work in flight when the drain reached it. */
  hadWork = false
  private graceEnds: number | undefined
  settling = false
  /** A read turn has brought everything that had arrived when the drain reached it. */
  caughtUp = false
  /** How many bytes its handler gets before it may be ended: what had been read by that turn. */
  private entitledBytes = Infinity
  saidGoodbye = false
  /** Ends the handshake that is under way. */
  endHandshake: ((reason: string) => void) | undefined
  /** Destroyed by a deadline or an abort. */
  cut = false

  private readingEnded = false
  private received = 0
  private sent = 0
  private listeners: Set<() => void> | undefined
  private lazySocket: Socket.Socket | undefined
  private cancelTimeout: (() => void) | undefined
  private seenBytes = 0

  constructor(id: number, transport: TransportConnection, host: ConnectionHost, since: number) {
    this.id = id
    this.transport = transport
    const { fast } = transport
    // that of another connection came along in a copy
    this.fast = fast?.owner === transport ? fast : undefined
    this.host = host
    this.since = since
    this.lastActive = since
  }

  get listener(): string {
    return this.host.name
  }
  get protocol(): string {
    return this.transport.protocol
  }
  get remote(): NetAddress.SocketAddress {
    return this.transport.remote
  }
  get local(): NetAddress.SocketAddress {
    return this.transport.local
  }

  // --- the socket, watched ---------------------------------------------------------------------------------------

  get socket(): Socket.Socket {
    return this.lazySocket ??= this.watchedSocket()
  }

  private watchedSocket(): Socket.Socket {
    const { fast } = this
    const { socket } = this.transport
    if (fast?.watchPulls !== undefined) {
      fast.watchPulls(this)
      return socket
    }
    return Socket.make({
      reader: Effect.map(socket.reader, (reader) => ({ ...reader, pull: this.watchPull(reader.pull) })),
      writer: fast === undefined ? Effect.map(socket.writer, (writer) => this.countWrites(writer)) : socket.writer
    })
  }

  /** So many pulls wait: one more than before, or one less, or one has taken something. */
  pulls(waiting: number): void {
    const more = waiting > this.pulling
    this.pulling = waiting
    if (!more) return this.touch()
    if (this.host.timed) this.watchSilence()
    if (this.reached) this.host.review(this)
  }

  private watchPull(pull: Socket.Reader["pull"]): Socket.Reader["pull"] {
    const watched = Effect.onExit(pull, (exit) => {
      this.pulls(this.pulling - 1)
      if (Exit.isSuccess(exit)) { for (const frame of exit.value) this.received += size(frame) }
      return Effect.void
    })
    return Effect.suspend(() => {
      this.pulls(this.pulling + 1)
      if (!this.readingEnded) return watched
      this.pulling--
      return Effect.fail(closeError("draining"))
    })
  }

  private countWrites(writer: Socket.Writer): Socket.Writer {
    return {
      write: (chunk) => {
        if (!Socket.isCloseEvent(chunk)) this.sent += size(chunk)
        return writer.write(chunk)
      },
      writeAll: (chunks) => {
        for (const chunk of chunks) this.sent += size(chunk)
        return writer.writeAll(chunks)
      }
    }
  }

  private touch(): void {
    this.activity++
    this.lastActive = this.host.now()
  }

  get bytesIn(): number {
    return this.fast === undefined ? this.received : this.fast.bytesIn()
  }
  private bytesOut(): number {
    return this.fast === undefined ? this.sent : this.fast.bytesOut()
  }

  // --- exchanges -------------------------------------------------------------------------------------------------

  // these can be taken off a connection and called: made when somebody asks, because most connections are never asked

  get beginExchange(): Connection["beginExchange"] {
    return (label) => this.openExchange(label, this.startExchangeSpan(label))
  }

  get exchange(): Connection["exchange"] {
    return (label, work) => this.runExchange(label, work)
  }

  get detach(): Connection["detach"] {
    return (scope) => this.moveTo(scope)
  }

  /** The span of an exchange of callback code, where exchanges are traced. */
  startExchangeSpan(label: string): Tracer.Span | undefined {
    const { tracing } = this.host
    return tracing.exchanges
      ? startSpan(tracing, "Listener.exchange", { ...this.exchangeSpan(label), ...parentOf(this.span) })
      : undefined
  }

  private exchangeSpan(label: string) {
    return { kind: "server", attributes: { listener: this.listener, connection: this.id, label } } as const
  }

  private openExchange(label: string, span: Tracer.Span | undefined): () => void {
    const exchange: Exchange = { label, since: this.host.now(), span }
    const open = this.exchanges ??= new Set()
    open.add(exchange)
    this.host.counts.exchanges++
    this.activity++
    this.used = true
    if (this.mode === "handler") this.mode = "pull"
    return () => {
      if (!open.delete(exchange)) return
      this.touch()
      this.exchangeEnded(exchange, this.lastActive)
      if (this.reached) this.host.review(this)
    }
  }

  private runExchange<A, E, R>(label: string, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      const end = this.openExchange(label, undefined)
      const traced = this.host.tracing.exchanges
        // the span that is provided is nothing the caller could provide
        ? Effect.withSpan(work, "Listener.exchange", this.exchangeSpan(label)) as typeof work
        : work
      return Effect.onExit(traced, () => {
        end()
        return Effect.void
      })
    })
  }

  /** Nothing is in flight, by the connection's own rule. Who is still shaking hands has asked for nothing yet. */
  get idle(): boolean {
    if (this.step === "Handshake") return true
    if (this.step !== "Serving") return false
    return isIdle(this.mode, this.exchanges?.size ?? 0, this.pulling > 0) && this.driver?.busy() !== true
  }

  // --- draining --------------------------------------------------------------------------------------------------

  get draining(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.told) return resume(Effect.void)
      const listeners = this.listeners ??= new Set()
      const tell = () => resume(Effect.void)
      listeners.add(tell)
      return Effect.sync(() => {
        listeners.delete(tell)
      })
    })
  }

  /** Completes `draining`. */
  tell(): void {
    if (this.told) return
    this.told = true
    const listeners = this.listeners
    this.listeners = undefined
    this.driver?.drainNotified()
    if (listeners !== undefined) { for (const tell of listeners) tell() }
  }

  /** Ends an idle connection: its handler's pull fails, or its protocol says its last word. */
  sayGoodbye(): void {
    // its next phase begins
    if (!this.saidGoodbye) this.lastActive = this.host.now()
    if (this.step === "Handshake") {
      this.saidGoodbye = true
      this.endHandshake?.("draining")
    } else if (this.driver !== undefined) {
      this.saidGoodbye = true
      this.driver.goodbye()
    } else if (this.endReading() || this.received >= this.entitledBytes) {
      this.saidGoodbye = true
      this.readingEnded = true
    }
    // with bytes buffered nothing was ended: the pull that takes them comes by here again, unless it is entitled to none
  }

  private endReading(): boolean {
    const error = closeError("draining")
    return this.fast?.endReadingAfter === undefined
      ? this.transport.endReading(error)
      : this.fast.endReadingAfter(error, this.entitledBytes)
  }

  /** What arrives from now on came after the drain, and need not be waited for. */
  catchUp(): void {
    if (this.caughtUp) return
    this.caughtUp = true
    if (this.fast !== undefined) this.entitledBytes = this.fast.bytesIn()
  }

  private moveTo(scope: Scope.Scope): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.step === "Detached" || this.step === "Ended" || this.cut) return Effect.void
      this.release()
      this.step = "Detached"
      this.lastActive = this.host.now()
      const linger = this.host.linger()
      this.host.letGo(this)
      return Scope.addFinalizerExit(
        scope,
        (exit) => this.transport.goodbye(Exit.isSuccess(exit) ? linger : "none")
      )
    })
  }

  /** Its handshake is done: the client has a whole grace for its first request. */
  shaken(): void {
    this.graceEnds = undefined
    this.touch()
  }

  /** Since when a connection that is idle now has been. */
  get idleSince(): number {
    return this.driver === undefined ? this.lastActive : this.driver.lastActive()
  }

  /** When the grace of a connection ends that is idle now. */
  graceEnd(idleGrace: number): number {
    // half a handshake has the grace for the rest, however long ago it began
    if (this.step === "Handshake") return this.graceEnds ??= this.host.now() + idleGrace
    if (this.driver !== undefined) return this.driver.lastActive() + idleGrace
    return this.graceEnds ??= this.lastActive + idleGrace
  }

  /** Whether a close this fiber asks for must not wait for the connection. */
  servedBy(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    return this.fiber === fiber || this.chunks?.running === fiber || this.driver?.runs?.(fiber) === true
  }

  /** Gives back what the connection held of its life: its timer and its open exchanges. */
  release(): void {
    this.cancelTimeout?.()
    this.cancelTimeout = undefined
    this.endExchanges()
  }

  private endExchanges(): void {
    const open = this.exchanges
    this.exchanges = undefined
    if (open === undefined || open.size === 0) return
    const now = this.host.now()
    for (const exchange of open) this.exchangeEnded(exchange, now)
    open.clear()
  }

  private exchangeEnded({ since, span }: Exchange, now: number): void {
    this.host.counts.exchangeEnded(now - since)
    if (span !== undefined) endSpan(this.host.tracing, span, Exit.void)
  }

  // --- tracing ---------------------------------------------------------------------------------------------------

  startSpan(): void {
    this.span = startSpan(this.host.tracing, "Listener.connection", {
      root: true,
      kind: "server",
      attributes: {
        listener: this.listener,
        connection: this.id,
        protocol: this.protocol,
        remote: this.shownRemote
      }
    })
  }

  endSpan(reason: EndReason): void {
    const { span } = this
    if (span === undefined) return
    span.attribute("reason", reason)
    span.attribute("bytesIn", finite(this.bytesIn))
    span.attribute("bytesOut", finite(this.bytesOut()))
    const lost = reason === "failed" || reason === "cut"
    endSpan(this.host.tracing, span, lost ? Exit.fail(`connection ${reason}`) : Exit.void)
  }

  // --- time-outs -------------------------------------------------------------------------------------------------

  /** What was written before this pull counts as activity now. */
  private watchSilence(): void {
    const sent = this.bytesOut()
    if (sent !== this.seenBytes) {
      this.seenBytes = sent
      this.lastActive = this.host.now()
    }
    if (this.cancelTimeout === undefined) this.armTimeout()
  }

  /** One timer a connection, armed when a pull waits and looked at only when it fires. */
  private armTimeout(): void {
    const { firstByte, inactivity } = this.host.timeouts
    const silent = this.bytesIn === 0
    const limit = silent ? Math.min(firstByte, inactivity) : inactivity
    if (limit === Infinity) return
    this.seenBytes = this.bytesOut()
    const due = (silent ? this.host.now() : this.lastActive) + limit
    this.cancelTimeout = this.host.timers.schedule(due, () => this.onTimeout(silent))
  }

  private onTimeout(silent: boolean): void {
    this.cancelTimeout = undefined
    if (this.pulling === 0 || this.step !== "Serving") return
    const stillSilent = silent && this.bytesIn === 0
    const sending = this.bytesOut() !== this.seenBytes || this.transport.bytesPending() > 0
    const expired = stillSilent || this.host.now() - this.lastActive >= this.host.timeouts.inactivity
    if (expired && !sending) {
      const ended = this.transport.endReading(closeError(stillSilent ? "first byte timeout" : "inactivity timeout"))
      if (ended) return
    }
    if (sending) this.lastActive = this.host.now()
    this.armTimeout()
  }

  // --- what an operator sees -------------------------------------------------------------------------------------

  get phase(): ConnectionPhase {
    switch (this.step) {
      case "Queued":
      case "Handshake":
      case "Detached":
        return this.step
      case "Goodbye":
      case "Ended":
        return this.transport.bytesPending() > 0 ? "Flushing" : "Lingering"
      case "Serving":
        return this.driver?.phase?.() ?? (this.idle ? "Idle" : "Active")
    }
  }

  private get shownRemote(): string {
    return this.host.maskRemote ? "masked" : NetAddress.formatSocketAddress(this.remote)
  }

  /** When it entered its phase. */
  private phaseSince(phase: ConnectionPhase): number {
    switch (phase) {
      case "Queued":
      case "Handshake":
      case "Active":
        return this.since
      default:
        return Math.max(this.lastActive, this.driver?.lastActive() ?? 0)
    }
  }

  describe(): ConnectionInfo {
    const now = this.host.now()
    const { phase } = this
    const exchanges = [...this.driver?.exchanges() ?? [], ...this.exchanges ?? []]
    return {
      id: this.id,
      remote: this.shownRemote,
      protocol: this.driver?.protocol?.() ?? this.protocol,
      phase,
      exchanges: exchanges.map(({ label, since }) => ({ label: clip(label), age: age(since, now) })),
      age: age(this.since, now),
      bytesIn: finite(this.bytesIn),
      bytesOut: finite(this.bytesOut()),
      bytesPending: finite(this.driver?.bytesPending?.() ?? this.transport.bytesPending()),
      phaseAge: age(this.phaseSince(phase), now)
    }
  }

  get info(): Effect.Effect<ConnectionInfo> {
    return Effect.sync(() => this.describe())
  }
}
