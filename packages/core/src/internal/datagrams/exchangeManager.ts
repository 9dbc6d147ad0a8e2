import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { BoundDatagramTransport, TransportDatagram } from "../../DatagramTransport.ts"
import type { DryRun } from "../../Drain.ts"
import { type ConnectionInfo, type DropReason, formatConnection } from "../../DrainReport.ts"
import { Tally } from "../connection/connections.ts"
import { LifetimeManager, type LifetimeOptions } from "../connection/lifetimeManager.ts"
import type { ManagedReport, Manager } from "../lifecycle/manager.ts"
import type { RefusalReason } from "../options/admission.ts"
import type { ResolvedDrain } from "../options/drain.ts"
import { DatagramTally, type ExchangeEnd } from "../telemetry/counts.ts"
import { LimitedLog } from "../telemetry/limitedLog.ts"
import { endSpan, startSpan } from "../telemetry/tracing.ts"
import { call, type ForeignOwner, number } from "../util/foreign.ts"
import { type AnyFiber, Waiters } from "../util/waiters.ts"
import { dropReason } from "./admission.ts"
import { Exchange, type ExchangeContext } from "./exchange.ts"

export interface ExchangeOptions extends LifetimeOptions {
  readonly protocol: string
  readonly totals: DatagramTally
}

/**
 * The exchanges of one lifetime, from `Created` to `Closed`, and the queue before
 * them. An exchange ends with its handler, so a drain has nothing to tell it: to
 * close is to receive no more, and to wait.
 */
export class ExchangeManager extends LifetimeManager<Exchange> implements Manager, ExchangeContext, ForeignOwner {
  readonly protocol: string
  deadlineAt: number | undefined
  private readonly log: LimitedLog
  private readonly exchanges = this.connections
  private readonly tally = new DatagramTally()
  private readonly totals: DatagramTally
  private readonly cut: Array<ConnectionInfo> = []
  /** The handlers of cut exchanges that still run, as they stood when they were cut. */
  private readonly leaving = new Map<Exchange, ConnectionInfo>()
  /** Fibers that wait for this lifetime to be closed: their own exchanges are not waited for. */
  private readonly waiters = new Waiters({
    runFork: this.runFork,
    found: (fiber) => this.exempt((other) => other === fiber)
  })
  private bound: BoundDatagramTransport | undefined
  /** How many of those that the transport has dropped are counted. */
  private transportDropped = 0
  private ids = 0

  constructor(options: ExchangeOptions) {
    super(options, Infinity)
    this.log = new LimitedLog(options.name, this)
    this.protocol = options.protocol
    this.totals = options.totals
  }

  // --- what arrives ----------------------------------------------------------------------------------------------

  /** Datagrams come from here. */
  receiveFrom(bound: BoundDatagramTransport): void {
    this.bound = bound
  }

  readonly arrive = (datagram: TransportDatagram): void => {
    this.tally.received++
    this.totals.received++
    this.noteArrival()
    const exchange = new Exchange(++this.ids, datagram, this, this.lastArrival)
    const { limits, queue } = this
    const { sole } = queue
    if (
      sole === undefined || queue.size > 0 || !limits.onlyCounts ||
      this.exchanges.open >= limits.resolved.maxConnections
    ) return queue.arrive(exchange)
    // what would be first in the queue, and taken at once
    this.exchanges.add(exchange)
    sole.take(exchange)
  }

  readonly admitted = (exchange: Exchange): void => this.limits.enter(exchange)

  /** A sender whose datagram is dropped is told nothing. */
  readonly refuse = (exchange: Exchange, reason: RefusalReason): void => {
    exchange.step = "Ended"
    this.drop(dropReason[reason], 1)
  }

  private drop(reason: DropReason, count: number): void {
    this.tally.dropped[reason] += count
    this.totals.dropped[reason] += count
    const { tally } = this.exchanges
    if (tally !== undefined && reason !== "neverReceived") tally.refused += count
  }

  /** What the transport has dropped by itself since it was asked last. */
  private countTransport(): void {
    const dropped = number(this, "dropped", () => this.bound?.dropped() ?? 0)
    const more = dropped - this.transportDropped
    if (!(more > 0)) return
    this.transportDropped += more
    this.tally.received += more
    this.totals.received += more
    this.drop("transport", more)
  }

  // --- exchanges -------------------------------------------------------------------------------------------------

  /** An exchange begins to be handled. */
  begin(exchange: Exchange): void {
    if (exchange.step === "Ended") return
    exchange.step = "Active"
    this.counts.exchanges++
    if (this.tracing.exchanges) exchange.span = this.startSpan(exchange)
  }

  private startSpan(exchange: Exchange) {
    const attributes = {
      listener: this.name,
      exchange: exchange.id,
      label: exchange.label,
      protocol: this.protocol,
      remote: exchange.shownRemote
    }
    const options = { root: true, kind: "server", attributes } as const
    return call(exchange, "tracer", () => startSpan(this.tracing, "Listener.exchange", options), undefined)
  }

  /** The handler of an exchange has ended, or the scope that it was received in. */
  handled(exchange: Exchange, exit: Exit.Exit<unknown, unknown>): void {
    if (exchange.step === "Ended") {
      if (this.leaving.delete(exchange)) this.signal.notify()
      return
    }
    this.end(exchange, Exit.isSuccess(exit) ? "answered" : "failed", exit)
    this.queue.match()
    this.notifyIfDrained()
  }

  private end(exchange: Exchange, how: ExchangeEnd, exit: Exit.Exit<unknown, unknown>): void {
    if (exchange.step === "Active") this.counts.exchangeEnded(this.now() - exchange.since)
    exchange.step = "Ended"
    const { span } = exchange
    if (span !== undefined) call(exchange, "tracer", () => endSpan(this.tracing, span, exit), undefined)
    const reason = this.exchanges.end(exchange, how === "answered" ? "drained" : how)
    const counted = reason === "closer" ? "closer" : how
    this.tally.ends[counted]++
    this.totals.ends[counted]++
    this.limits.release(exchange)
    if (reason === "closer") this.signal.notify()
  }

  /** Takes back what was given to a fiber that was interrupted: the next in line gets it. */
  requeue(exchange: Exchange): void {
    if (exchange.step !== "Queued" || !this.exchanges.remove(exchange)) return
    if (this.accepting) return this.queue.requeue(exchange)
    this.neverReceived(exchange)
    this.notifyIfDrained()
  }

  private neverReceived(exchange: Exchange): void {
    exchange.step = "Ended"
    this.exchanges.tally?.add("neverAccepted")
    this.drop("neverReceived", 1)
    this.limits.release(exchange)
  }

  // --- foreign code ------------------------------------------------------------------------------------------------

  /** What the bound transport threw. */
  readonly threw = (member: string, defect: unknown): void => {
    this.logForeign(() => Effect.logError(`${member} of listener "${this.name}" threw`, defect))
  }

  readonly logThrown = (exchange: Exchange, member: string, defect: unknown): void => {
    this.logForeign(() =>
      Effect.annotateLogs(
        Effect.logError(`${member} of an exchange of listener "${this.name}" threw`, defect),
        "exchange",
        formatConnection(exchange.describe())
      )
    )
  }

  private logForeign(line: () => Effect.Effect<void>): void {
    this.runFork(this.log.line("foreignCode", line))
  }

  // --- a close ---------------------------------------------------------------------------------------------------

  get cutCount(): number {
    return this.cut.length
  }

  /** What had arrived was taken by the sweep. */
  lastLook(): Effect.Effect<void> {
    return Effect.void
  }

  get isRunning(): boolean {
    return this.runningCount > 0
  }

  get runningCount(): number {
    return this.leaving.size
  }

  readonly dryRun = (): DryRun => ({
    active: this.exchanges.counted,
    idle: 0,
    queued: this.queue.size,
    waitingFor: this.exchanges.snapshot().map((exchange) => exchange.describe())
  })

  override beginClose(options: ResolvedDrain): void {
    super.beginClose(options)
    if (this.waiters.size > 0) this.exempt(this.waiters.has)
  }

  notifyDraining(): Effect.Effect<void> {
    return Effect.void
  }

  beginDrain(): Effect.Effect<void> {
    return Effect.void
  }

  refuseQueued(): void {
    for (const exchange of this.queue.removeQueued()) this.neverReceived(exchange)
  }

  cutAll(): void {
    this.exchanges.tally ??= new Tally()
    this.refuseQueued()
    const victims = this.exchanges.snapshot()
    for (const exchange of victims) {
      const info = exchange.describe()
      this.cut.push(info)
      exchange.cut = true
      if (exchange.handled) this.leaving.set(exchange, info)
      this.end(exchange, "cut", Exit.interrupt())
    }
    // recorded; only now may other fibers run
    for (const exchange of victims) exchange.interrupt()
    this.notifyIfDrained()
  }

  cutClosers(): void {
    const closers = this.exchanges.closers.toArray()
    for (const exchange of closers) {
      exchange.cut = true
      this.end(exchange, "closer", Exit.interrupt())
    }
    for (const exchange of closers) exchange.interrupt()
  }

  report(): ManagedReport {
    this.countTransport()
    return {
      ...this.arrivedAndEnded,
      cut: this.cut,
      handlersLeftBehind: Array.from(this.leaving.values()),
      // those of the fibers that close end only after the report
      datagrams: { ...this.tally.counts, closer: this.tally.ends.closer + this.closersCount }
    }
  }

  clearTimers(): void {
    this.log.flush()
    this.timers.clear()
  }

  wait(fiber: AnyFiber): void {
    this.waiters.add(fiber)
    this.exempt((other) => other === fiber)
  }

  stopWaiting(fiber: AnyFiber, early: boolean): void {
    this.waiters.remove(fiber)
    if (!early || this.exchanges.tally === undefined) return
    for (const exchange of this.exchanges.closers.toArray()) {
      if (!exchange.waitsFor(this.waiters.has)) this.exchanges.takeBack(exchange)
    }
  }

  /** Does not wait for the exchanges of fibers that wait for the close, directly or not. */
  private exempt(which: (fiber: AnyFiber) => boolean): void {
    // only a close, or the abort before it, counts how they end
    if (this.exchanges.tally === undefined) return
    for (const exchange of this.exchanges.filter((exchange) => exchange.waitsFor(which))) {
      this.exchanges.exempt(exchange)
    }
    this.notifyIfDrained()
  }
}
