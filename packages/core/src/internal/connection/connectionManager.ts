import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { DryRun } from "../../Drain.ts"
import { type ConnectionInfo, type DrainReport, type EndReason, formatConnection } from "../../DrainReport.ts"
import type { LingerOptions, TransportConnection } from "../../Transport.ts"
import { AcceptQueue, type Consumer } from "../accept/acceptQueue.ts"
import { Limits } from "../accept/limits.ts"
import type { RefusalReason } from "../options/admission.ts"
import type { ResolvedAdmission } from "../options/admission.ts"
import { lingerFor, type ResolvedDrain } from "../options/drain.ts"
import type { ResolvedTimeouts } from "../options/timeouts.ts"
import type { Counts } from "../telemetry/counts.ts"
import { LimitedLog } from "../telemetry/limitedLog.ts"
import type { ConnectionTracing } from "../telemetry/tracing.ts"
import { Signal } from "../util/condition.ts"
import type { LinkedList } from "../util/linkedList.ts"
import { monotonicMillis, Timers } from "../util/timers.ts"
import { Handshakes, isReady } from "./arriving/handshake.ts"
import { type IntroductionContext, Introductions } from "./arriving/introductions.ts"
import { type RefusalContext, refuseWith } from "./arriving/refusal.ts"
import { type ConnectionContext, ConnectionImpl } from "./connection.ts"
import { Connections, Tally } from "./connections.ts"
import { type AgeContext, AgeLimit } from "./draining/ageLimit.ts"
import { DrainReview, type ReviewContext } from "./draining/drainReview.ts"
import { DrainSpread, type SpreadContext } from "./draining/drainSpread.ts"
import { ReadTurns } from "./draining/readTurns.ts"
import { type RoomContext, RoomMaker } from "./draining/roomMaker.ts"
import { type SendContext, SendLimit } from "./draining/sendLimit.ts"
import { type FinishContext, whenShaken } from "./finish.ts"
import { call } from "./foreign.ts"

/** How much longer than it takes an idle connection to end one may be held that is to be refused, in milliseconds. */
const rejectMargin = 250

/** How many connections are told in one go before other fibers get a turn. */
const chunk = 256

/** What the managers of all lifetimes of a listener share. */
export interface ManagerOptions {
  readonly name: string
  readonly clock: Clock.Clock
  /** The context `make` was called in: drain and connection fibers log and read the clock by it. */
  readonly context: Context.Context<never>
  readonly drain: ResolvedDrain
  readonly admission: ResolvedAdmission
  readonly timeouts: ResolvedTimeouts
  /** What is counted over all lifetimes. */
  readonly counts: Counts
  readonly tracing: ConnectionTracing
  /** Remote addresses are not shown. */
  readonly maskRemote: boolean
}

/**
 * The connections of one lifetime of a listener, from `Created` to `Closed`, the
 * queue before them, and the level that says whether they are draining. `reset`
 * begins another, so that nothing of this one can reach into the next.
 */
export class ConnectionManager
  implements
    AgeContext,
    ConnectionContext,
    FinishContext,
    IntroductionContext,
    RefusalContext,
    ReviewContext,
    RoomContext,
    SendContext,
    SpreadContext
{
  readonly name: string
  readonly clock: Clock.Clock
  readonly context: Context.Context<never>
  readonly timeouts: ResolvedTimeouts
  readonly counts: Counts
  readonly tracing: ConnectionTracing
  readonly maskRemote: boolean
  readonly timers: Timers
  readonly timed: boolean
  readonly connections = new Connections()
  readonly limits: Limits
  readonly handshakes: Handshakes
  readonly queue: AcceptQueue<ConnectionImpl>
  private readonly roomMaker: RoomMaker
  private readonly spread = new DrainSpread(this)
  private readonly age: AgeLimit | undefined
  private readonly introductions = new Introductions(this)
  /** The number of connections to wait for fell to zero, or the drain itself was told something. */
  readonly signal = new Signal()
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>, options?: Effect.RunOptions) => Fiber.Fiber<A, E>
  readonly turns: ReadTurns
  /** What clients can cause, in a log that a flood of them leaves readable. */
  readonly log: LimitedLog
  private readonly review: DrainReview
  private readonly sendLimit: SendLimit
  /** Fibers that wait for the close: what they do on connections is not waited for. */
  readonly waiting = new Set<Fiber.Fiber<unknown, unknown>>()

  /** The drain options in force: the listener's, or those of the close that runs. */
  drain: ResolvedDrain
  /** Connections are told that the listener goes away: a lame duck or a drain. */
  telling = false
  /** Connections are waited for and told goodbye as they become idle. */
  draining = false
  sweeping = false
  swept = 0
  lastArrival: number
  private cutsAt: number | undefined
  /** Connections may still be queued: open, or sweeping. */
  accepting = true
  /** The connections that were cut, as they stood then. */
  readonly cut: Array<ConnectionInfo> = []
  /** How many are being destroyed. */
  private destroying = 0
  private readonly leaving = new Map<ConnectionImpl, ConnectionInfo>()
  /** What the goodbyes of one millisecond share. */
  private latestLinger:
    | { readonly drain: ResolvedDrain; readonly timeLeft: number | undefined; readonly linger: LingerOptions }
    | undefined
  private ids = 0
  /** The last id that was given before the close began. */
  private idsBefore: number | undefined

  constructor(options: ManagerOptions) {
    this.name = options.name
    this.clock = options.clock
    this.context = options.context
    this.drain = options.drain
    this.timeouts = options.timeouts
    this.counts = options.counts
    this.tracing = options.tracing
    this.maskRemote = options.maskRemote
    this.timed = options.timeouts.firstByte !== Infinity || options.timeouts.inactivity !== Infinity
    this.timers = new Timers(options.clock, options.context)
    this.runFork = Effect.runForkWith(options.context)
    this.turns = new ReadTurns(this.runFork)
    this.log = new LimitedLog(options.name, this)
    this.review = new DrainReview(this)
    this.sendLimit = new SendLimit(this)
    this.lastArrival = this.now()
    this.limits = new Limits(options.admission, this.timers, this.now)
    this.handshakes = new Handshakes(options.timeouts.handshake, this.timers, this.now, this.turns)
    this.queue = new AcceptQueue(this.connections, this.limits, this.timers, this, options.timeouts.queued)
    this.roomMaker = new RoomMaker(this)
    this.age = options.timeouts.age.max === Infinity ? undefined : new AgeLimit(this)
  }

  readonly now = (): number => monotonicMillis(this.clock)

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
    if (this.sweeping) {
      this.swept++
      this.counts.swept++
    }
    this.lastArrival = this.now()
    const connection = new ConnectionImpl(++this.ids, transport, this, this.lastArrival)
    const introduced = call(connection, "introduced", () => transport.introduced, undefined)
    if (introduced === undefined) return this.queue.arrive(connection)
    this.introductions.begin(connection, introduced, Math.max(1, this.limits.resolved.maxQueued))
  }

  readonly introduced = (connection: ConnectionImpl): void => {
    this.queue.arrive(connection)
    // it is served where something still serves; nothing is held for later
    if (this.accepting || !this.queue.withdraw(connection)) return
    this.neverTaken(connection)
    this.sayNo(connection)
  }

  readonly notIntroduced = (connection: ConnectionImpl): void => {
    this.counts.refused.notIntroduced++
    this.tallyRefused()
    refuseWith(this, connection, undefined)
  }

  readonly neverIntroduced = (connection: ConnectionImpl): void => {
    this.admitted(connection)
    this.neverTaken(connection)
    refuseWith(this, connection, undefined)
  }

  /**
   * A connection begins to be served. Draining is a level, read here and whenever
   * a connection may have become idle: a late one is told at once. One that was
   * cut on its way to its handler has ended, and stays so.
   */
  begin(connection: ConnectionImpl): void {
    const action = connection.take("served")
    if (action === "None") return
    if (action === "ServeShaken") connection.shaken()
    this.age?.watch(connection)
    if (this.telling) this.review.notify(connection)
    this.drainIfBegun(connection)
  }

  // --- handshakes of those that wait in accept -----------------------------------------------------------------------

  /** Their handshakes run side by side: each is given to the next that waits when its own is done. */
  readonly prepare = (connection: ConnectionImpl): boolean => {
    if (isReady(connection)) return false
    whenShaken(this, connection, () => this.prepared(connection), () => this.prepared(undefined))
    return true
  }

  private prepared(connection: ConnectionImpl | undefined): void {
    if (connection !== undefined) {
      connection.take("shaken")
      connection.shaken()
      this.connections.remove(connection)
    }
    this.queue.ready(connection)
    if (this.accepting) return
    // accepting has ended meanwhile: what nothing took is refused, and what nothing is left for is told
    if (connection !== undefined && this.queue.withdraw(connection)) {
      this.neverTaken(connection)
      this.sayNo(connection)
    }
    for (const consumer of this.queue.removeWaiting()) consumer.late?.()
    this.notifyIfDrained()
  }

  // --- those that wait ---------------------------------------------------------------------------------------------

  /** A connection is held: it is watched, and gives up its place when its client has gone. */
  readonly held = (connection: ConnectionImpl): void => {
    if (connection.stopWatching !== undefined) return
    let over = false
    const gone = () => {
      over = true
      if (this.queue.withdraw(connection)) this.departed(connection)
    }
    const stop = call(
      connection,
      "watchDeparture",
      () => connection.transport.watchDeparture?.(gone, this.queue.halfOpen),
      undefined
    )
    if (!over) connection.stopWatching = stop
  }

  /** Its client has gone while it was held: it is never executed, and its socket is released. */
  private departed(connection: ConnectionImpl): void {
    this.connections.tally?.add("endedByPeer")
    this.ended(connection, "endedByPeer")
    refuseWith(this, connection, undefined)
  }

  readonly expired = (connection: ConnectionImpl): void => this.refuseHeld(connection, "queuedTimeout")

  private refuseHeld(connection: ConnectionImpl, reason: RefusalReason): void {
    this.neverTaken(connection)
    this.refuse(connection, reason)
  }

  get makeRoom(): () => number {
    return this.roomMaker.count
  }

  readonly roomWanted = (): void => {
    if (this.accepting && !this.telling) this.roomMaker.want()
  }

  readonly wanted = (): number => this.accepting && !this.telling ? this.queue.waitingForRoom : 0

  /** Its age or the need for its place has come to a connection: it ends as in a drain. */
  readonly retire = (connection: ConnectionImpl): void => {
    connection.retired = true
    this.review.begin(connection)
  }

  /** With `"reject"`, a connection waits for idle ones to end, and no longer. */
  readonly looked = (): void => {
    if (this.limits.resolved.overflow !== "reject") return
    const latest = this.now() - this.drain.idleGrace - this.drain.linger.idle - rejectMargin
    for (const connection of this.queue.snapshot()) {
      if (connection.since <= latest && this.queue.withdraw(connection)) this.refuseHeld(connection, "maxConnections")
    }
  }

  readonly drainIfBegun = (connection: ConnectionImpl): void => {
    if (this.draining) this.review.begin(connection)
  }

  /** Something changed that may let a draining connection be told goodbye. */
  readonly recheck = (connection: ConnectionImpl): void => {
    if (connection.exempt) this.exemptIfAlone(connection)
    this.review.recheck(connection)
  }

  /** Bytes may be pending from now on. */
  readonly mayStall = (): void => this.sendLimit.mayStall()

  readonly stalled = (connection: ConnectionImpl): void => {
    this.runFork(this.log.line("stalled", () =>
      Effect.annotateLogs(
        Effect.logWarning(`a client of listener "${this.name}" takes nothing of what was sent, and is cut`),
        "connection",
        formatConnection(connection.describe())
      )))
    this.whileDestroying(() => {
      this.cutOff(connection)
      this.destroy(connection)
    })
  }

  /** A connection ended, for one reason. */
  end(connection: ConnectionImpl, reason: EndReason): void {
    if (connection.take("ended") === "Count") this.count(connection, reason)
  }

  private count(connection: ConnectionImpl, reason: EndReason): void {
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
    connection.take("ended")
    if (this.connections.refusing.delete(connection)) this.notifyIfDrained()
  }

  readonly cutRefused = (connection: ConnectionImpl): void => {
    if (connection.take("cut") !== "Destroy") return
    this.connections.refusing.delete(connection)
    this.destroy(connection)
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
    const { step } = connection
    if (step === "Queued" && !this.connections.has(connection)) {
      connection.list?.delete(connection)
      if (connection.take("cut") === "Destroy") this.neverTaken(connection)
    } else if (connection.wasRefused) return this.cutRefused(connection)
    else {this.whileDestroying(() => {
        if (connection.take("cut") === "Destroy") this.count(connection, "failed")
        if (step !== "Detached") this.destroy(connection)
      })}
  }

  // --- fibers that wait for the close ------------------------------------------------------------------------------

  /** Does not wait for what this fiber does: it asked for the close. */
  private exemptFiber(fiber: Fiber.Fiber<unknown, unknown>): void {
    for (const connection of this.connections.filter((one) => one.shareOf((other) => other === fiber) !== "none")) {
      this.exemptConnection(connection)
    }
    this.notifyIfDrained()
  }

  private readonly isExempt = (fiber: Fiber.Fiber<unknown, unknown>): boolean => this.waiting.has(fiber)

  /** Sets a connection aside on which nothing else is in flight. Of another one, what else is in flight is waited for. */
  private exemptConnection(connection: ConnectionImpl): void {
    connection.exempt = true
    this.exemptIfAlone(connection)
  }

  private exemptIfAlone(connection: ConnectionImpl): void {
    if (this.connections.tally === undefined || connection.shareOf(this.isExempt) !== "all") return
    if (!this.connections.excuse(connection)) return
    connection.exempt = false
    this.notifyIfDrained()
    if (this.telling) this.review.notify(connection)
  }

  // --- a close -----------------------------------------------------------------------------------------------------

  get queued(): number {
    return this.queue.size
  }

  get limit(): number {
    return this.limits.resolved.maxConnections
  }

  /** Sockets that are being destroyed have been counted, and are waited for. */
  get remaining(): number {
    return this.connections.remaining + this.introductions.size + this.destroying
  }

  /** What is counted in it is destroyed in it: a close that is woken in between goes on waiting. */
  private whileDestroying(f: () => void): void {
    this.destroying++
    try {
      f()
    } finally {
      this.destroying--
      this.signal.notify()
    }
  }

  get total(): number {
    return this.connections.tally?.total(this.connections.counted) ?? 0
  }

  get oldest(): ConnectionInfo | undefined {
    return this.connections.oldest()?.describe()
  }

  get cutCount(): number {
    return this.cut.length
  }

  get closersCount(): number {
    return this.connections.closers.size
  }

  /** Those that are open, oldest first, and those that wait. */
  everyConnection(): Array<ConnectionImpl> {
    const { connections, queue } = this
    return connections.snapshot().concat(connections.closers.toArray(), queue.snapshot(), this.introductions.snapshot())
  }

  /** Refused ones, too, as long as they are there. */
  describeAll(): ReadonlyArray<ConnectionInfo> {
    return this.everyConnection().concat(this.connections.refusing.toArray()).map((one) => one.describe())
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
  beginClose(options: ResolvedDrain): void {
    this.drain = options
    this.connections.tally ??= new Tally()
    this.idsBefore ??= this.ids
    if (this.waiting.size === 0) return
    // one pass, however many wait
    for (const connection of this.connections.filter((one) => one.shareOf(this.isExempt) !== "none")) {
      this.exemptConnection(connection)
    }
    this.notifyIfDrained()
  }

  notifyDraining(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.beginTelling()
      return this.eachConnection((connection) => this.review.notify(connection))
    })
  }

  beginDrain(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.draining = true
      this.beginTelling()
      this.introductions.endAt(this.now() + this.drain.idleGrace)
      if (this.drain.spread === 0) return this.eachConnection(this.beginDrainOf)
      for (const connection of this.connections.refusing.toArray()) this.review.begin(connection)
      this.spread.begin(this.connections.snapshot())
      return Effect.void
    })
  }

  readonly beginDrainOf = (connection: ConnectionImpl): void => this.review.begin(connection)

  /** From now on connections are told; closers here, the others as the drain comes to them. */
  private beginTelling(): void {
    this.telling = true
    for (const connection of this.connections.closers.toArray()) this.review.notify(connection)
  }

  private eachConnection(f: (connection: ConnectionImpl) => void): Effect.Effect<void> {
    const connections = this.connections.snapshot().concat(this.connections.refusing.toArray())
    let next = 0
    return Effect.whileLoop({
      while: () => next < connections.length,
      body: () => {
        const end = Math.min(next + chunk, connections.length)
        for (; next < end; next++) f(connections[next]!)
        return next < connections.length ? Effect.yieldNow : Effect.void
      },
      step: () => {}
    })
  }

  /**
   * The deadline has come: no grace goes on, and what had arrived is read before
   * anything is cut, because the process may have stood still until now. One
   * turn later what is idle is told goodbye; another, and its end is out.
   */
  lastLook(): Effect.Effect<void> {
    const turn = Effect.suspend(() => this.turnOfAll(this.connections.snapshot()))
    return Effect.suspend(() => {
      this.drain = { ...this.drain, idleGrace: 0 }
      this.spread.end()
      this.review.shortenGraces(this.connections.snapshot())
      return Effect.andThen(turn, turn)
    })
  }

  private turnOfAll(connections: ReadonlyArray<ConnectionImpl>): Effect.Effect<void> {
    return Effect.callback((resume) => {
      let left = connections.length
      if (left === 0) return resume(Effect.void)
      const passed = () => {
        if (--left === 0) resume(Effect.void)
      }
      for (const connection of connections) this.turns.wait(connection, passed)
    })
  }

  removeWaiting(): ReadonlyArray<Consumer<ConnectionImpl>> {
    return this.queue.removeWaiting()
  }

  report(): Pick<DrainReport, "swept" | "refused" | "connections" | "cut" | "handlersLeftBehind"> {
    const { counted, tally } = this.connections
    return {
      swept: this.swept,
      refused: tally?.refused ?? 0,
      connections: (tally ?? new Tally()).counts(counted),
      cut: this.cut,
      handlersLeftBehind: this.running()
    }
  }

  clearTimers(): void {
    this.sendLimit.stop()
    this.log.flush()
    this.timers.clear()
  }

  /** Takes back a connection whose accept was interrupted after it was given: the next in line gets it. */
  requeue(connection: ConnectionImpl): void {
    if (connection.step !== "Queued" || !this.connections.remove(connection)) return
    if (this.accepting) return this.queue.requeue(connection)
    this.neverTaken(connection)
    this.sayNo(connection)
    this.notifyIfDrained()
  }

  /** Lets go of the connections nobody took before the listener closed, in their protocol's words. */
  refuseQueued(): void {
    const queued = this.queue.removeQueued()
    for (const connection of queued) this.neverTaken(connection)
    for (const connection of queued) this.sayNo(connection)
  }

  private neverTaken(connection: ConnectionImpl): void {
    this.connections.tally?.add("neverAccepted")
    this.ended(connection, "neverAccepted")
  }

  readonly admitted = (connection: ConnectionImpl): void => {
    this.counts.accept()
    this.limits.enter(connection)
    if (this.tracing.connections) connection.startSpan()
  }

  /** The same for every end, whatever it is. */
  private ended(connection: ConnectionImpl, reason: EndReason): void {
    this.counts.end(reason)
    this.limits.leave(connection)
    connection.endSpan(reason)
  }

  /** Turns away a connection that admission does not let in. */
  readonly refuse = (connection: ConnectionImpl, reason: RefusalReason): void => {
    this.counts.refused[reason]++
    this.tallyRefused()
    this.sayNo(connection)
  }

  /** In the words of what serves, where it has some. */
  private sayNo(connection: ConnectionImpl): void {
    const by = this.queue.refuser()
    if (by?.refuse !== undefined) by.refuse(connection)
    else refuseWith(this, connection, undefined)
  }

  /** Nothing is queued any more. */
  stopAccepting(): void {
    this.accepting = false
    this.limits.stopWatching()
  }

  /** Destroys every connection, interrupts every handler, and remembers how each one stood. */
  cutAll(): void {
    this.connections.tally ??= new Tally()
    const queued = this.queue.removeQueued()
    const refusing = this.connections.refusing.toArray()
    const victims = this.connections.snapshot()
    const introducing = this.introductions.removeAll()
    for (const connection of introducing) this.admitted(connection)
    this.whileDestroying(() => this.cutEach([...queued, ...introducing], refusing, victims))
  }

  private cutEach(
    queued: ReadonlyArray<ConnectionImpl>,
    refusing: ReadonlyArray<ConnectionImpl>,
    victims: ReadonlyArray<ConnectionImpl>
  ): void {
    for (const connection of queued) {
      connection.take("cut")
      this.neverTaken(connection)
    }
    // those that held the close for as long as it may take are named
    const late = this.cutsAt !== undefined && this.now() >= this.cutsAt
    for (const connection of refusing) {
      if (late) this.cut.push(connection.describe())
      connection.take("cut")
      this.connections.refusing.delete(connection)
    }
    for (const connection of victims) this.cutOff(connection)
    // recorded; only now may other fibers run
    for (const connection of [...victims, ...refusing, ...queued]) this.destroy(connection)
  }

  /** Counts a connection as cut, and remembers how it stood and what of it still runs. */
  private cutOff(connection: ConnectionImpl): void {
    const info = connection.describe()
    if (connection.take("cut") !== "Destroy") return
    // outside a close there is no report
    if (this.connections.tally !== undefined) this.cut.push(info)
    if (connection.handled || connection.driver !== undefined) this.leaving.set(connection, info)
    this.count(connection, "cut")
  }

  /** The transport first: a handler's finalizers end it with a FIN, as if all had been said. */
  private destroy(connection: ConnectionImpl): void {
    const { driver } = connection
    this.destroying++
    const brokenOff = driver?.breakOff !== undefined &&
      call(connection, "breakOff", () => driver.breakOff?.() === true, false)
    this.runFork(brokenOff ? Effect.void : connection.destroy).addObserver(() => {
      this.destroying--
      this.signal.notify()
    })
    if (connection.handled) this.interrupt(connection)
    if (driver !== undefined) call(connection, "cut", () => driver.cut(), undefined)
  }

  /** Only the end of a handler that is cut is waited for. */
  private interrupt(connection: ConnectionImpl): void {
    connection.fiber?.addObserver(() => this.handlerEnded(connection))
    connection.fiber?.interruptUnsafe()
  }

  /** A handler has ended, however long after its connection. */
  handlerEnded(connection: ConnectionImpl): void {
    if (this.leaving.delete(connection)) this.signal.notify()
  }

  get runningCount(): number {
    return this.running().length + this.destroying
  }

  /** Asked at every end of one: stops at the first that runs. */
  get isRunning(): boolean {
    if (this.destroying > 0) return true
    for (const connection of this.leaving.keys()) {
      if (this.stillRuns(connection)) return true
      this.leaving.delete(connection)
    }
    return false
  }

  private stillRuns(connection: ConnectionImpl): boolean {
    const { driver } = connection
    return driver === undefined || call(connection, "running", () => driver.running(), false)
  }

  /** The handlers of cut connections that still run, as they stood when they were cut. */
  private running(): ReadonlyArray<ConnectionInfo> {
    for (const connection of Array.from(this.leaving.keys())) {
      if (!this.stillRuns(connection)) this.leaving.delete(connection)
    }
    return Array.from(this.leaving.values())
  }

  /** A fiber waits for the close: what it does itself is not waited for. */
  wait(fiber: Fiber.Fiber<unknown, unknown>, closing: boolean): void {
    this.waiting.add(fiber)
    if (closing) this.exemptFiber(fiber)
  }

  stopWaiting(fiber: Fiber.Fiber<unknown, unknown>): void {
    this.waiting.delete(fiber)
  }

  /** Ends the connections whose handlers closed the listener. They have been counted. */
  cutClosers(): void {
    const closers = this.connections.closers.toArray()
    for (const connection of closers) if (connection.take("cut") === "Destroy") this.count(connection, "closer")
    for (const connection of closers) this.destroy(connection)
  }

  /** A request was read after a goodbye and not executed. */
  readonly refused = (): void => {
    this.counts.requestsRefused++
    this.tallyRefused()
  }

  private tallyRefused(): void {
    if (this.connections.tally !== undefined) this.connections.tally.refused++
  }

  notifyIfDrained(): void {
    if (this.remaining === 0) this.signal.notify()
  }
}
