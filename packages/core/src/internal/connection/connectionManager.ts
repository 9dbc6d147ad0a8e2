import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { DryRun } from "../../Drain.ts"
import { type ConnectionInfo, type DrainReport, type EndReason, formatConnection } from "../../DrainReport.ts"
import type { LingerOptions, TransportConnection } from "../../Transport.ts"
import type { RefusalReason } from "../options/admission.ts"
import { lingerFor, type ResolvedDrain } from "../options/drain.ts"
import type { ResolvedTimeouts } from "../options/timeouts.ts"
import { LimitedLog } from "../telemetry/limitedLog.ts"
import { call } from "../util/foreign.ts"
import type { LinkedList } from "../util/linkedList.ts"
import { Arrivals } from "./arriving/arrivals.ts"
import { Handshakes } from "./arriving/handshake.ts"
import { type IntroductionContext, Introductions } from "./arriving/introductions.ts"
import type { RefusalContext } from "./arriving/refusal.ts"
import { WaitingRoom, type WaitingRoomContext } from "./arriving/waitingRoom.ts"
import { ConnectionImpl } from "./connection.ts"
import type { ConnectionContext } from "./connectionContext.ts"
import { Tally } from "./connections.ts"
import { isRefused } from "./connectionState.ts"
import { type AgeContext, AgeLimit } from "./draining/ageLimit.ts"
import { Closers, type ClosersContext } from "./draining/closers.ts"
import { Cutting, type CuttingContext } from "./draining/cutting.ts"
import { DrainReview, each, type ReviewContext } from "./draining/drainReview.ts"
import { DrainSpread, type SpreadContext } from "./draining/drainSpread.ts"
import { ReadTurns } from "./draining/readTurns.ts"
import { type RoomContext, RoomMaker } from "./draining/roomMaker.ts"
import { type SendContext, SendLimit } from "./draining/sendLimit.ts"
import { LifetimeManager, type LifetimeOptions } from "./lifetimeManager.ts"
import { finish, type FinishContext } from "./serving/finish.ts"
import { HeldWork, type HeldWorkContext } from "./serving/heldWork.ts"
import { endConnectionSpan, startConnectionSpan } from "./spans.ts"

export interface ManagerOptions extends LifetimeOptions {
  readonly timeouts: ResolvedTimeouts
}

/**
 * The connections of one lifetime of a listener, from `Created` to `Closed`, the
 * queue before them, and the level that says whether they are draining. `reset`
 * begins another, so that nothing of this one can reach into the next.
 */
export class ConnectionManager extends LifetimeManager<ConnectionImpl>
  implements
    AgeContext,
    ClosersContext,
    ConnectionContext,
    CuttingContext,
    FinishContext,
    HeldWorkContext,
    IntroductionContext,
    RefusalContext,
    ReviewContext,
    RoomContext,
    SendContext,
    SpreadContext,
    WaitingRoomContext
{
  readonly timeouts: ResolvedTimeouts
  readonly timed: boolean
  readonly handshakes: Handshakes
  readonly arrivals = new Arrivals(this)
  /** What comes on connections in service while the accept queue is swept. */
  readonly heldWork = new HeldWork(this)
  private readonly roomMaker: RoomMaker
  private readonly spread = new DrainSpread(this)
  private readonly age: AgeLimit | undefined
  private readonly introductions = new Introductions(this)
  readonly turns: ReadTurns
  /** What clients can cause, in a log that a flood of them leaves readable. */
  readonly log: LimitedLog
  private readonly review: DrainReview
  private readonly sendLimit: SendLimit
  private readonly closers = new Closers(this)
  private readonly cutting = new Cutting(this)
  private readonly waitingRoom = new WaitingRoom(this)

  /** Connections are told that the listener goes away: a lame duck or a drain. */
  notifying = false
  /** Connections are waited for and told goodbye as they become idle. */
  draining = false
  private cutsAt: number | undefined
  /** What the goodbyes of one millisecond share. */
  private latestLinger:
    | { readonly drain: ResolvedDrain; readonly timeLeft: number | undefined; readonly linger: LingerOptions }
    | undefined
  private ids = 0
  /** The last id that was given before the close began. */
  private idsBefore: number | undefined

  constructor(options: ManagerOptions) {
    super(options, options.timeouts.queued)
    this.timeouts = options.timeouts
    this.timed = options.timeouts.firstByte !== Infinity || options.timeouts.inactivity !== Infinity
    this.turns = new ReadTurns(this.runFork)
    this.log = new LimitedLog(options.name, this)
    this.review = new DrainReview(this)
    this.sendLimit = new SendLimit(this)
    this.handshakes = new Handshakes(options.timeouts.handshake, this.timers, this.now, this.turns)
    this.roomMaker = new RoomMaker(this)
    this.age = options.timeouts.age.max === Infinity ? undefined : new AgeLimit(this)
  }

  /** When the running close cuts, in monotonic milliseconds; `Infinity` where it has no deadline. */
  get deadlineAt(): number | undefined {
    return this.cutsAt
  }
  set deadlineAt(at: number | undefined) {
    const sooner = this.draining && at !== undefined && this.cutsAt !== undefined && at < this.cutsAt
    this.cutsAt = at
    if (!sooner) return
    this.spread.shorten()
    this.review.shortenGraces(this.connections.snapshot())
  }

  get refusing(): LinkedList<ConnectionImpl> {
    return this.connections.refusing
  }

  readonly idleLinger = (): LingerOptions | "none" => this.drain.idleLingers ? this.linger() : "none"

  readonly linger = (): LingerOptions => {
    const timeLeft = this.deadlineAt === undefined ? undefined : Math.ceil(Math.max(0, this.deadlineAt - this.now()))
    const { latestLinger: latest } = this
    if (latest !== undefined && latest.timeLeft === timeLeft && latest.drain === this.drain) return latest.linger
    const linger = lingerFor(this.drain, timeLeft)
    this.latestLinger = { drain: this.drain, timeLeft, linger }
    return linger
  }

  /** A connection the transport handed over. */
  arrive(transport: TransportConnection): void {
    this.noteArrival()
    const connection = new ConnectionImpl(++this.ids, transport, this, this.lastArrival)
    const introduced = call(connection, "introduced", introducedOf, undefined)
    if (introduced === undefined) return this.queue.arrive(connection)
    this.introductions.begin(connection, introduced, Math.max(1, this.limits.resolved.maxQueued))
  }

  readonly prepare = (connection: ConnectionImpl): boolean => this.arrivals.prepare(connection)

  readonly refuse = (connection: ConnectionImpl, reason: RefusalReason): void =>
    this.arrivals.refuse(connection, reason)

  requeue(connection: ConnectionImpl): void {
    this.arrivals.requeue(connection)
  }

  refuseQueued(): void {
    this.arrivals.refuseQueued()
  }

  /**
   * A connection begins to be served. Draining is a level, read here and whenever
   * a connection may have become idle: a late one is told at once. One that was
   * cut on its way to its handler has ended, and stays so.
   */
  begin(connection: ConnectionImpl): void {
    const action = connection.transition("served")
    if (action === "None") return
    if (action === "ServeShaken") connection.shaken()
    this.age?.watch(connection)
    if (this.notifying) this.review.notify(connection)
    this.drainIfBegun(connection)
  }

  // --- those that wait ---------------------------------------------------------------------------------------------

  readonly held = (connection: ConnectionImpl): void => this.waitingRoom.enter(connection)

  readonly expired = (connection: ConnectionImpl): void => this.waitingRoom.expired(connection)

  get makeRoom(): () => number {
    return this.roomMaker.count
  }

  readonly roomWanted = (): void => {
    if (this.accepting && !this.notifying) this.roomMaker.want()
  }

  readonly wanted = (): number => this.accepting && !this.notifying ? this.queue.waitingForRoom : 0

  /** Its age or the need for its place has come to a connection: it ends as in a drain. */
  readonly retire = (connection: ConnectionImpl): void => {
    connection.retired = true
    this.review.begin(connection)
  }

  readonly looked = (): void => this.waitingRoom.looked()

  readonly drainIfBegun = (connection: ConnectionImpl): void => {
    if (this.draining) this.review.begin(connection)
  }

  readonly recheck = (connection: ConnectionImpl): void => {
    if (connection.exempt) this.closers.recheck(connection)
    this.review.recheck(connection)
  }

  readonly mayStall = (): void => this.sendLimit.mayStall()

  readonly stalled = (connection: ConnectionImpl): void => {
    this.runFork(this.log.line("stalled", () =>
      Effect.annotateLogs(
        Effect.logWarning(`a client of listener "${this.name}" takes nothing of what was sent, and is cut`),
        "connection",
        formatConnection(connection.describe())
      )))
    this.cutting.one(connection)
  }

  /** A connection ended, for one reason. */
  end(connection: ConnectionImpl, reason: EndReason): void {
    if (connection.transition("ended") === "Count") this.count(connection, reason)
  }

  readonly count = (connection: ConnectionImpl, reason: EndReason): void => {
    connection.release()
    this.ended(connection, this.connections.end(connection, this.wasServed(connection, reason) ? "drained" : reason))
    this.queue.match()
    this.notifyIfDrained()
  }

  /** It came during the close, and was answered before the drain looked at it or after. */
  private wasServed(connection: ConnectionImpl, reason: EndReason): boolean {
    return reason === "idle" && this.idsBefore !== undefined && connection.id > this.idsBefore &&
      connection.bytesOut > 0
  }

  readonly detached = (connection: ConnectionImpl): void => {
    if (this.connections.refusing.delete(connection)) return this.notifyIfDrained()
    this.ended(connection, this.connections.end(connection, "detached"))
    this.queue.match()
    this.notifyIfDrained()
  }

  readonly refusedEnded = (connection: ConnectionImpl): void => {
    if (connection.transition("ended") !== "Forget") return
    this.connections.refusing.delete(connection)
    this.notifyIfDrained()
  }

  readonly cutRefused = (connection: ConnectionImpl): void => {
    if (connection.transition("cut") !== "Destroy") return
    this.connections.refusing.delete(connection)
    this.cutting.destroy(connection)
    this.notifyIfDrained()
  }

  // --- foreign code ------------------------------------------------------------------------------------------------

  readonly threw = (connection: ConnectionImpl, member: string, defect: unknown): void => {
    this.logThrown(connection, member, defect)
    // not in the middle of what has called it
    this.runFork(Effect.andThen(Effect.yieldNow, Effect.sync(() => this.fail(connection))))
  }

  readonly logThrown = (connection: ConnectionImpl, member: string, defect: unknown): void => {
    this.runFork(this.log.line("foreignCode", () =>
      Effect.annotateLogs(
        Effect.logError(`${member} of a connection of listener "${this.name}" threw`, defect),
        "connection",
        formatConnection(connection.describe())
      )))
  }

  /** Ends a connection at once, whatever it is doing. */
  private fail(connection: ConnectionImpl): void {
    if (isRefused(connection)) return this.cutRefused(connection)
    if (connection.step !== "Queued" || this.connections.has(connection)) return this.cutting.fail(connection)
    // it waits: for its client to be named, or held
    if (this.introductions.remove(connection)) this.admitted(connection)
    else this.queue.withdraw(connection)
    if (connection.transition("cut") === "Destroy") this.neverTaken(connection)
    this.cutting.destroy(connection)
  }

  // --- a close -----------------------------------------------------------------------------------------------------

  /** Sockets that are being destroyed have been counted, and are waited for. */
  override get remaining(): number {
    return this.connections.remaining + this.introductions.size + this.cutting.destroying
  }

  get cutCount(): number {
    return this.cutting.cut.length
  }

  override everyOne(): Array<ConnectionImpl> {
    return super.everyOne().concat(this.introductions.snapshot())
  }

  /** Refused ones, too, as long as they are there. */
  override describeAll(): ReadonlyArray<ConnectionInfo> {
    return super.describeAll().concat(this.connections.refusing.toArray().map((one) => one.describe()))
  }

  readonly dryRun = (): DryRun => {
    const active = this.connections.filter((connection) => !connection.idle)
    return {
      active: active.length,
      idle: this.connections.counted - active.length,
      queued: this.queue.size,
      waitingFor: active.map((connection) => connection.describe())
    }
  }

  /** From now on ends are counted for a report, and the fibers that wait for this close are exempt from it. */
  override beginClose(options: ResolvedDrain): void {
    super.beginClose(options)
    this.idsBefore ??= this.ids
    this.closers.beginClose()
  }

  notifyDraining(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.beginNotifying()
      return this.eachConnection((connection) => this.review.notify(connection))
    })
  }

  beginDrain(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.draining = true
      this.beginNotifying()
      this.introductions.endAt(this.now() + this.drain.idleGrace)
      // what was held is answered with a goodbye
      if (this.drain.spread === 0) return Effect.map(this.eachConnection(this.beginDrainOf), this.heldWork.release)
      for (const connection of this.connections.refusing.toArray()) this.review.begin(connection)
      this.spread.begin(this.connections.snapshot())
      this.heldWork.release()
      return Effect.void
    })
  }

  readonly beginDrainOf = (connection: ConnectionImpl): void => this.review.begin(connection)

  /** From now on connections are told; closers here, the others as the drain comes to them. */
  private beginNotifying(): void {
    this.notifying = true
    for (const connection of this.connections.closers.toArray()) this.review.notify(connection)
  }

  private eachConnection(f: (connection: ConnectionImpl) => void): Effect.Effect<void> {
    return each(this.connections.snapshot().concat(this.connections.refusing.toArray()), f)
  }

  /** The deadline has come: what had arrived by then is read before anything is cut. */
  lastLook(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.drain = { ...this.drain, idleGrace: 0 }
      this.spread.end()
      return this.review.lastLook(() => this.connections.snapshot())
    })
  }

  report(): Pick<DrainReport, "swept" | "refused" | "connections" | "cut" | "handlersLeftBehind"> {
    return { ...this.arrivedAndEnded, cut: this.cutting.cut, handlersLeftBehind: this.cutting.running() }
  }

  clearTimers(): void {
    this.sendLimit.stop()
    this.log.flush()
    this.timers.clear()
  }

  readonly neverTaken = (connection: ConnectionImpl): void => {
    this.connections.tally?.add("neverAccepted")
    this.ended(connection, "neverAccepted")
  }

  readonly admitted = (connection: ConnectionImpl): void => {
    this.counts.accept()
    this.limits.enter(connection)
    if (this.tracing.connections) startConnectionSpan(connection)
  }

  /** The same for every end, whatever it is. */
  readonly ended = (connection: ConnectionImpl, reason: EndReason): void => {
    this.counts.end(reason)
    this.limits.release(connection)
    endConnectionSpan(connection, reason)
  }

  /** Destroys every connection, interrupts every handler, and remembers how each one stood. */
  cutAll(): void {
    this.connections.tally ??= new Tally()
    const queued = this.queue.removeQueued()
    const introducing = this.introductions.removeAll()
    for (const connection of introducing) this.admitted(connection)
    this.cutting.all([...queued, ...introducing])
  }

  readonly finish = (connection: ConnectionImpl, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
    finish(this, connection, exit)

  readonly handlerEnded = (connection: ConnectionImpl): void => this.cutting.handlerEnded(connection)

  get runningCount(): number {
    return this.cutting.running().length + this.cutting.destroying
  }

  get isRunning(): boolean {
    return this.cutting.isRunning
  }

  /** A fiber waits for the close: neither is what it does itself waited for, nor what those do that wait for it. */
  wait(fiber: Fiber.Fiber<unknown, unknown>): void {
    this.closers.wait(fiber)
  }

  stopWaiting(fiber: Fiber.Fiber<unknown, unknown>, early: boolean): void {
    this.closers.stopWaiting(fiber, early)
  }

  readonly exempted = (connection: ConnectionImpl): void => {
    if (this.notifying) this.review.notify(connection)
  }

  /** Ends the connections whose handlers closed the listener. They have been counted. */
  cutClosers(): void {
    this.cutting.closers()
  }

  /** A request was read after a goodbye and not executed. */
  readonly refused = (): void => {
    this.counts.requestsRefused++
    this.noteRefused()
  }

  noteRefused(): void {
    if (this.connections.tally !== undefined) this.connections.tally.refused++
  }
}

const introducedOf = ({ transport }: ConnectionImpl): TransportConnection["introduced"] => transport.introduced
