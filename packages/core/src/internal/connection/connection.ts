import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as NetAddress from "effect/net/NetAddress"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import type * as Tracer from "effect/Tracer"
import type { Connection, ProtocolDriver } from "../../Connection.ts"
import type { ConnectionInfo, ConnectionPhase } from "../../DrainReport.ts"
import type { FastConnection, LingerOptions, PullWatcher, TransportConnection } from "../../Transport.ts"
import { unknownAddress } from "../accept/candidate.ts"
import * as Foreign from "../util/foreign.ts"
import type { Linked, LinkedList } from "../util/linkedList.ts"
import { closeError } from "../util/socketErrors.ts"
import type { ConnectionContext } from "./connectionContext.ts"
import { infoOf, phaseOf } from "./connectionInfo.ts"
import {
  beginsPhase,
  type ConnectionEvent,
  type ConnectionState,
  type IdleMode,
  initial,
  isIdle,
  type Step,
  type Transition,
  transition
} from "./connectionState.ts"
import { drainHasBegun, type Rung } from "./draining/drainLadder.ts"
import { Inactivity } from "./draining/inactivity.ts"
import type { ReadAhead } from "./draining/readAhead.ts"
import { endExchanges, type Exchange, openExchange, runExchange } from "./exchanges.ts"
import { startExchangeSpan } from "./spans.ts"
import { watchedSocket } from "./watchedSocket.ts"

export interface ChunkHandler {
  readonly running: Fiber.Fiber<unknown, unknown> | undefined
}

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

/**
 * One connection: what its handler uses, and what the drain knows of it. Plain
 * mutable fields, because they change with every pull; where it stands is for
 * `connectionState.ts` to say.
 */
export class ConnectionImpl implements Connection, PullWatcher, Linked<ConnectionImpl>, Foreign.ForeignOwner {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly id: number
  readonly transport: TransportConnection
  /** What its transport offers for speed. */
  readonly fast: FastConnection | undefined
  readonly context: ConnectionContext
  readonly since: number

  private state: ConnectionState = initial
  mode: IdleMode = "handler"
  pulling = 0
  exchanges: Set<Exchange> | undefined
  /** Present on connections that a protocol drives by callbacks, without a fiber. */
  driver: ProtocolDriver | undefined
  /** Where it is: in the accept queue, or one of the lists of `Connections`; and its neighbours. */
  list: LinkedList<ConnectionImpl> | undefined
  previous: ConnectionImpl | undefined
  next: ConnectionImpl | undefined

  /** Cached key for the per-remote limit. */
  remoteKey: string | undefined
  /** It is counted for its remote. */
  counted = false
  /** It has been let in: the rate has counted it. */
  admitted = false
  /** While it is held: ends the watch over its client. */
  stopWatching: (() => void) | undefined
  /** It is to end, for its age or so that another can be served. */
  retired = false
  /** It has had work. */
  used = false
  /** From accept to end, where connections are traced. */
  span: Tracer.Span | undefined
  /** The fiber whose `close` must not wait for this connection: its handler's, or the one that accepted it. */
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** The handler of its chunks, where each that takes its time has a fiber of its own. */
  chunks: ChunkHandler | undefined
  /** Its fiber is its handler's own, the listener's to interrupt. */
  handled = false
  lastActive: number
  /** Counts everything that happens on it: unchanged through a read turn means idle through it. */
  activity = 0
  /** It had work in flight, or held, when the drain began with it. */
  hadWork = false
  /** A close waits for it, but not for what a fiber that asked for the close does on it. */
  exempt = false
  /** Present once the drain has found that it reads on while it works. */
  ahead: ReadAhead | undefined
  private graceEnds: number | undefined
  /** How many bytes its handler gets before it may be ended: what had been read by that turn. */
  private entitledBytes = Infinity
  /** What had been sent when its handler last took something, since the drain began. */
  private sentBefore: number | undefined
  /** Its handshake was waited for, and is done. */
  handshakeDone = false
  /** Ends the handshake that is under way. */
  endHandshake: ((reason: string) => void) | undefined

  readingEnded = false
  /** Bytes that were counted from outside, where the transport does not count them. */
  received = 0
  sent = 0
  private listeners: Set<() => void> | undefined
  private lazySocket: Socket.Socket | undefined
  private inactivity: Inactivity | undefined
  /** Foreign code of it has thrown, and the log says so: what fails from then on is a consequence. */
  broken = false

  constructor(id: number, transport: TransportConnection, context: ConnectionContext, since: number) {
    this.id = id
    this.transport = transport
    this.context = context
    this.since = since
    this.lastActive = since
    this.fast = Foreign.call(this, "fast", ownFast, undefined)
  }

  get listener(): string {
    return this.context.name
  }
  get protocol(): string {
    return Foreign.read(this, this.transport, "protocol", "unknown")
  }
  get remote(): NetAddress.SocketAddress {
    return Foreign.read(this, this.transport, "remote", unknownAddress)
  }
  get local(): NetAddress.SocketAddress {
    return Foreign.read(this, this.transport, "local", unknownAddress)
  }
  get via(): NetAddress.SocketAddress | undefined {
    return Foreign.read(this, this.transport, "via", undefined)
  }

  /** The first throw is logged and ends the connection; those after it are its consequences. */
  threw(member: string, defect: unknown): void {
    if (this.broken) return
    this.broken = true
    this.context.threw(this, member, defect)
  }

  // --- where it stands -------------------------------------------------------------------------------------------

  get step(): Step {
    return this.state.step
  }
  get rung(): Rung {
    return this.state.rung
  }
  get drainBegun(): boolean {
    return drainHasBegun(this.state.rung)
  }

  /** Takes the state that the machine answers; the caller does what it says. */
  transition(event: ConnectionEvent): Transition["action"] {
    const { action, next } = transition(this.state, event)
    if (beginsPhase(this.state, next)) this.lastActive = this.context.now()
    this.state = next
    return action
  }

  // --- the socket, watched ---------------------------------------------------------------------------------------

  get socket(): Socket.Socket {
    return this.lazySocket ??= watchedSocket(this)
  }

  /** The number of pulls that wait: one more than before, or one less, or the same after one has taken something. */
  pulls(waiting: number): void {
    const more = waiting > this.pulling
    this.pulling = waiting
    if (!more) {
      if (this.drainBegun) this.sentBefore = this.bytesOut
      return this.touch()
    }
    if (this.context.timed) (this.inactivity ??= new Inactivity(this)).pulled()
    this.rechecked()
  }

  /** A write may have to wait for its peer. */
  waitsForRoom(): void {
    this.context.mayStall()
  }

  get sweeping(): boolean {
    return this.context.heldWork.holding
  }
  afterSweep(work: () => void): void {
    this.hadWork = true
    this.context.heldWork.add(() => {
      // where the sweep took long, it is work of before the drain
      if (!this.drainBegun) this.hadWork = false
      Foreign.call(this, "afterSweep", work, undefined)
    })
  }

  /** It may have become idle. */
  rechecked(): void {
    if (this.exempt || this.drainBegun) this.context.recheck(this)
  }

  touch(): void {
    this.activity++
    this.lastActive = this.context.now()
  }

  get bytesIn(): number {
    const { fast } = this
    return fast === undefined ? this.received : Foreign.number(this, "bytesIn", () => fast.bytesIn())
  }
  get bytesOut(): number {
    const { fast } = this
    return fast === undefined ? this.sent : Foreign.number(this, "bytesOut", () => fast.bytesOut())
  }
  /** Bytes that its transport has not sent, whatever its protocol holds back. */
  get transportPending(): number {
    return Foreign.number(this, "bytesPending", () => this.transport.bytesPending())
  }
  get bytesPending(): number {
    return Foreign.number(
      this,
      "bytesPending",
      () => this.driver?.bytesPending?.() ?? this.transport.bytesPending()
    )
  }

  // --- its transport ---------------------------------------------------------------------------------------------

  get settled(): Effect.Effect<void> {
    return Foreign.read(this, this.transport, "settled", Effect.void)
  }

  /** Its goodbye needs no fiber. */
  get detachesGoodbye(): boolean {
    return Foreign.call(this, "goodbyeDetached", hasDetachedGoodbye, false)
  }

  endReading(error: Socket.SocketError): boolean {
    return Foreign.call(this, "endReading", () => this.transport.endReading(error), true)
  }

  goodbye(linger: LingerOptions | "none"): Effect.Effect<void> {
    return Foreign.run(this, "goodbye", () => this.transport.goodbye(linger), this.destroy)
  }

  get destroy(): Effect.Effect<void> {
    return Foreign.run(this, "destroy", () => this.transport.destroy)
  }

  // --- exchanges -------------------------------------------------------------------------------------------------

  // these can be taken off a connection and called. Made at each use, because most connections have none

  get beginExchange(): Connection["beginExchange"] {
    return (label) => openExchange(this, label, startExchangeSpan(this, label))
  }

  get exchange(): Connection["exchange"] {
    return (label, work) => runExchange(this, label, work)
  }

  get detach(): Connection["detach"] {
    return (scope) => this.moveTo(scope)
  }

  /** Nothing is in flight, by the connection's own rule. In the middle of a handshake nothing has been asked for yet. */
  get idle(): boolean {
    if (this.endHandshake !== undefined) return true
    if (this.step !== "Serving") return false
    const { driver } = this
    return isIdle(this.mode, this.exchanges?.size ?? 0, this.pulling > 0) &&
      (driver === undefined || !Foreign.call(this, "busy", () => driver.busy(), false))
  }

  // --- draining --------------------------------------------------------------------------------------------------

  get draining(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.rung !== "Untold") return resume(Effect.void)
      const listeners = this.listeners ??= new Set()
      const notify = () => resume(Effect.void)
      listeners.add(notify)
      return Effect.sync(() => {
        listeners.delete(notify)
      })
    })
  }

  /** Completes `draining`. */
  notifyDraining(): void {
    const { driver, listeners } = this
    this.listeners = undefined
    if (driver !== undefined) Foreign.call(this, "drainNotified", () => driver.drainNotified(), undefined)
    if (listeners !== undefined) { for (const notify of listeners) notify() }
  }

  /**
   * Ends an idle connection: its handler's pull fails, or its protocol says its
   * last word. What it has buffered `inGrace` is handled before.
   */
  sayGoodbye(inGrace: boolean): void {
    const { driver, endHandshake } = this
    if (endHandshake !== undefined) {
      this.transition("goodbye")
      endHandshake("draining")
    } else if (driver !== undefined) {
      this.transition("goodbye")
      // a protocol that could not say its last word may have more to do: the deadline is its bound, and names it
      const owner = { threw: (member: string, defect: unknown) => this.context.logThrown(this, member, defect) }
      Foreign.call(owner, "goodbye", () => driver.goodbye(this.context.idleLinger()), undefined)
    } else if (this.endEntitledReading(inGrace) || (!inGrace && this.received >= this.entitledBytes)) {
      this.transition("goodbye")
      this.readingEnded = true
    }
    // with bytes buffered nothing was ended: the pull that takes them comes by here again, unless it is entitled to none
  }

  private endEntitledReading(inGrace: boolean): boolean {
    const { fast } = this
    const error = closeError("draining")
    return inGrace || fast === undefined || Foreign.read(this, fast, "endReadingAfter", undefined) === undefined
      ? this.endReading(error)
      : Foreign.call(this, "endReadingAfter", () => fast.endReadingAfter?.(error, this.entitledBytes) ?? true, true)
  }

  /** What arrives from now on came after the drain, and need not be waited for. */
  fixEntitlement(): void {
    if (this.fast !== undefined) this.entitledBytes = this.bytesIn
    // what is answered already was answered a while ago
    if (this.idle) this.sentBefore = undefined
  }

  /** What it has taken since the drain began, or since it was caught up, is answered. */
  get answered(): boolean {
    return this.sentBefore !== undefined && this.bytesOut > this.sentBefore
  }

  private moveTo(scope: Scope.Scope): Effect.Effect<void> {
    return Effect.suspend(() => {
      const action = this.transition("detached")
      if (action !== "Detach" && action !== "DetachRefused") return Effect.void
      this.release()
      const linger = this.context.linger()
      this.context.detached(this)
      return Scope.addFinalizerExit(
        scope,
        (exit) => this.goodbye(Exit.isSuccess(exit) ? linger : "none")
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
    const { driver } = this
    return driver === undefined
      ? this.lastActive
      : Foreign.call(this, "lastActive", () => Number(driver.lastActive()), -Infinity)
  }

  /** When the grace of a connection ends that is idle now, where one that was active then has so much of it. */
  graceEnd(idleGrace: number, grace: (lastActive: number) => number): number {
    // half a handshake has the grace for the rest, however long ago it began
    if (this.endHandshake !== undefined) return this.graceEnds ??= this.context.now() + idleGrace
    if (this.driver !== undefined) {
      // asked once: a protocol may have to ask its transport
      const { idleSince } = this
      return idleSince + grace(idleSince)
    }
    return this.graceEnds ??= this.lastActive + grace(this.lastActive)
  }

  /** When a client has had its grace that sends on while this is busy: its idle grace, where there was one. */
  aheadGraceEnd(grace: (lastActive: number) => number): number {
    const now = this.context.now()
    return this.graceEnds ?? now + grace(now)
  }

  /** A deadline came nearer: the grace is another. */
  forgetGrace(): void {
    this.graceEnds = undefined
  }

  /** The fibers that serve it: its handler's, or the one that accepted it. */
  servingFibers(): ReadonlyArray<Fiber.Fiber<unknown, unknown>> {
    const { chunks, driver, fiber } = this
    const fibers = driver === undefined || Foreign.read(this, driver, "fibers", undefined) === undefined
      ? []
      : Foreign.call(this, "fibers", () => Array.from(driver.fibers?.() ?? []), [])
    const handling = chunks?.running === undefined ? fibers : [chunks.running, ...fibers]
    return fiber === undefined ? handling : [fiber, ...handling]
  }

  driverExchanges(): ReturnType<ProtocolDriver["exchanges"]> {
    const { driver } = this
    return driver === undefined ? [] : Foreign.call(this, "exchanges", () => driver.exchanges().map(plain), [])
  }

  /** Gives back what the connection held: its timer and its open exchanges. */
  release(): void {
    this.inactivity?.stop()
    endExchanges(this)
  }

  // --- what an operator sees -------------------------------------------------------------------------------------

  get phase(): ConnectionPhase {
    return phaseOf(this)
  }

  describe(): ConnectionInfo {
    return infoOf(this)
  }

  get info(): Effect.Effect<ConnectionInfo> {
    return Effect.sync(() => this.describe())
  }
}

/** An exchange as its driver has it, in types that a report can take. */
const plain = ({ label, since }: ReturnType<ProtocolDriver["exchanges"]>[number]) => ({
  label: String(label),
  since: Number(since)
})

/** What a transport offers for speed. That of another connection came along in a copy, and is left alone. */
const ownFast = ({ transport }: ConnectionImpl): FastConnection | undefined =>
  transport.fast?.owner === transport ? transport.fast : undefined

const hasDetachedGoodbye = ({ fast }: ConnectionImpl): boolean => fast?.goodbyeDetached !== undefined
