import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { DryRun } from "../../Drain.ts"
import type { ConnectionInfo, DrainReport, EndReason } from "../../DrainReport.ts"
import type { LingerOptions, TransportConnection } from "../../Transport.ts"
import { AcceptQueue, type Consumer } from "../accept/acceptQueue.ts"
import type { RefusalReason } from "../accept/admission.ts"
import { Limits } from "../accept/limits.ts"
import type { ResolvedAdmission } from "../options/admission.ts"
import { lingerFor, type ResolvedDrain } from "../options/drain.ts"
import type { ResolvedTimeouts } from "../options/timeouts.ts"
import type { Counts } from "../telemetry/counts.ts"
import type { ConnectionTracing } from "../telemetry/tracing.ts"
import { Signal } from "../util/condition.ts"
import { monotonicMillis, Timers } from "../util/timers.ts"
import { type ConnectionHost, ConnectionImpl } from "./connection.ts"
import { Connections, Tally } from "./connections.ts"
import { decide } from "./drainPolicy.ts"
import { refuse, refuseWith } from "./handler.ts"
import { Handshakes } from "./handshake.ts"
import { RoomMaker } from "./roomMaker.ts"

/**
 * Who reads a socket stops when it has read so much that nobody took, Node at
 * 16 or 64 KiB. A read turn that brought less has left nothing in the kernel.
 */
const fullRead = 16 * 1024

/** How much longer than it takes an idle connection to end one may be held that is to be refused, in milliseconds. */
const rejectMargin = 250

/** How many connections are told in one go before other fibers get a turn. */
const chunk = 256

/** What all lives of a listener share. */
export interface LifeOptions {
  readonly name: string
  readonly clock: Clock.Clock
  /** The context `make` was called in: drain and connection fibers log and read the clock by it. */
  readonly context: Context.Context<never>
  readonly drain: ResolvedDrain
  readonly admission: ResolvedAdmission
  readonly timeouts: ResolvedTimeouts
  /** What is counted over all lives. */
  readonly counts: Counts
  readonly tracing: ConnectionTracing
  /** Remote addresses are not shown. */
  readonly maskRemote: boolean
}

/** A connection that waits for one whole read turn, and how it stood before. */
interface Settling {
  readonly connection: ConnectionImpl
  readonly activity: number
  readonly bytesIn: number
  readonly pulling: number
}

/**
 * One life of a listener, from `Created` to `Closed`: its connections, the queue
 * before them, and the level that says whether they are draining. `reset` begins
 * another, so that nothing of this one can reach into the next.
 */
export class Life implements ConnectionHost {
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
  /** The number of connections to wait for fell to zero, or the drain itself was told something. */
  readonly signal = new Signal()
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>, options?: Effect.RunOptions) => Fiber.Fiber<A, E>
  /** Fibers that wait for this life to be closed: their own connections are not waited for. */
  readonly waiting = new Set<Fiber.Fiber<unknown, unknown>>()

  /** What draining goes by: the listener's options, or those of the close that runs. */
  drain: ResolvedDrain
  /** Connections are told that the listener goes away: a lame duck or a drain. */
  telling = false
  /** Connections are waited for and told goodbye as they become idle. */
  draining = false
  sweeping = false
  swept = 0
  lastArrival: number
  /** When the running drain cuts; `Infinity` where there is no deadline. */
  deadlineAt: number | undefined
  /** Connections may still be queued: open, or sweeping. */
  accepting = true
  /** Who was cut, as it stood then. */
  readonly cut: Array<ConnectionInfo> = []
  private readonly leaving = new Map<ConnectionImpl, ConnectionInfo>()
  /** Connections whose read turn is about to begin, by what tells its end. */
  private readonly settling = new Map<Effect.Effect<void>, Array<Settling>>()
  /** What the goodbyes of one millisecond share. */
  private latestLinger:
    | { readonly drain: ResolvedDrain; readonly timeLeft: number | undefined; readonly linger: LingerOptions }
    | undefined
  private ids = 0
  /** The last id that was given before the close began. */
  private idsBefore: number | undefined

  constructor(options: LifeOptions) {
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
    this.lastArrival = this.now()
    this.limits = new Limits(options.admission, this.timers, this.now)
    this.handshakes = new Handshakes(options.timeouts.handshake, this.timers, this.now)
    this.queue = new AcceptQueue(this.connections, this.limits, this.timers, this, options.timeouts.queued)
    this.roomMaker = new RoomMaker(this)
  }

  readonly now = (): number => monotonicMillis(this.clock)

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
    this.queue.arrive(new ConnectionImpl(++this.ids, transport, this, this.lastArrival))
  }

  /**
   * A connection begins to be served. Who comes late is told at once: draining is
   * a level, read here and whenever a connection may have become idle. One that
   * was cut on its way to whoever accepted it has ended, and stays so.
   */
  begin(connection: ConnectionImpl): void {
    if (connection.step === "Ended") return
    if (connection.step === "Handshake") connection.shaken()
    connection.step = "Serving"
    if (this.telling) connection.tell()
    if (this.draining) this.reach(connection)
  }

  // --- those that wait ---------------------------------------------------------------------------------------------

  /** A connection is held: it is watched, and gives up its place when its client has gone. */
  readonly held = (connection: ConnectionImpl): void => {
    const { watchDeparture } = connection.transport
    if (watchDeparture === undefined || connection.stopWatching !== undefined) return
    let over = false
    const stop = watchDeparture.call(connection.transport, () => {
      over = true
      if (this.queue.withdraw(connection)) this.departed(connection)
    }, this.queue.halfOpen)
    if (!over) connection.stopWatching = stop
  }

  /** Its client has gone while it was held: it is never executed, and its socket is released. */
  private departed(connection: ConnectionImpl): void {
    this.connections.tally?.add("endedByPeer")
    this.ended(connection, "endedByPeer")
    refuseWith(this, connection, Effect.void)
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

  readonly retire = (connection: ConnectionImpl): void => {
    connection.makesRoom = true
    this.reach(connection)
  }

  /** With `"reject"`, a connection waits for idle ones to end, and no longer. */
  readonly looked = (): void => {
    if (this.limits.resolved.overflow !== "reject") return
    const latest = this.now() - this.drain.idleGrace - this.drain.linger.idle - rejectMargin
    for (const connection of this.queue.snapshot()) {
      if (connection.since <= latest && this.queue.withdraw(connection)) this.refuseHeld(connection, "maxConnections")
    }
  }

  /** The drain, or the need for its place, has come to this connection. */
  reach(connection: ConnectionImpl): void {
    if (connection.step === "Ended" || connection.step === "Detached") return
    if (!connection.reached) {
      connection.reached = true
      connection.hadWork = connection.step === "Serving" && !connection.idle
      connection.tell()
    }
    this.review(connection)
  }

  /** Looks at a draining connection again and does what the policy decides. */
  readonly review = (connection: ConnectionImpl): void => {
    if (!connection.reached || connection.saidGoodbye || connection.settling) return
    if (!this.draining && !connection.makesRoom) return
    const idle = connection.idle
    const now = this.now()
    const graceEnds = idle ? connection.graceEnd(this.drain.idleGrace) : now
    switch (decide({ idle, settled: connection.caughtUp, now, graceEnds })) {
      case "Leave":
        return
      case "Goodbye":
        return connection.sayGoodbye()
      case "Wait": {
        connection.settling = true
        this.timers.schedule(graceEnds, () => {
          connection.settling = false
          this.review(connection)
        })
        return
      }
      case "Settle":
        return this.settle(connection)
    }
  }

  /** Waits one whole read turn and, when nothing happened in it, says goodbye. */
  private settle(connection: ConnectionImpl): void {
    connection.settling = true
    const { activity, pulling } = connection
    // of who does not pull, nobody asks
    const bytesIn = pulling > 0 ? connection.bytesIn : 0
    const { settled } = connection.transport
    let together = this.settling.get(settled)
    if (together === undefined) {
      this.settling.set(settled, together = [])
      this.runFork(this.settleTogether(settled, together))
    }
    together.push({ connection, activity, bytesIn, pulling })
  }

  /** One fiber for all connections that wait for the same, which those of one transport may. */
  private settleTogether(settled: Effect.Effect<void>, together: Array<Settling>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      // a fiber about to pull may have been made to yield: it is given its turn before the read turn begins
      yield* Effect.yieldNow
      this.settling.delete(settled)
      // those who came after the first as well
      if (together.length > 1) yield* Effect.yieldNow
      yield* settled
      this.turnsPassed(together, 0)
    })
  }

  /** A protocol that throws where it should say goodbye harms no connection but its own. */
  private turnsPassed(together: ReadonlyArray<Settling>, first: number): void {
    let next = first
    try {
      while (next < together.length) this.turnPassed(together[next++]!)
    } finally {
      if (next < together.length) this.turnsPassed(together, next)
    }
  }

  private turnPassed({ activity, bytesIn, connection, pulling }: Settling): void {
    connection.settling = false
    if (connection.saidGoodbye || (connection.step !== "Serving" && connection.step !== "Handshake")) return
    if (pulling > 0 && connection.bytesIn - bytesIn < fullRead) connection.catchUp()
    const idle = connection.idle
    const now = this.now()
    const settled = connection.caughtUp || connection.activity === activity
    const graceEnds = idle ? connection.graceEnd(this.drain.idleGrace) : now
    const decision = decide({ idle, settled, now, graceEnds })
    if (decision === "Goodbye") connection.sayGoodbye()
    else if (decision !== "Leave") this.review(connection)
  }

  /** A connection ended, for one reason. */
  end(connection: ConnectionImpl, reason: EndReason): void {
    if (connection.step === "Ended" || connection.step === "Detached") return
    connection.step = "Ended"
    connection.release()
    this.ended(connection, this.connections.end(connection, this.wasServed(connection, reason) ? "drained" : reason))
    this.queue.match()
    this.notifyIfDrained()
  }

  /** It came during the close, and was answered before the drain looked at it or after. */
  private wasServed(connection: ConnectionImpl, reason: EndReason): boolean {
    return reason === "idle" && this.idsBefore !== undefined && connection.id > this.idsBefore &&
      connection.describe().bytesOut > 0
  }

  readonly letGo = (connection: ConnectionImpl): void => {
    this.ended(connection, this.connections.end(connection, "detached"))
    this.queue.match()
    this.notifyIfDrained()
  }

  /** Does not wait for the connections of this fiber: it asked for the close. */
  excuse(fiber: Fiber.Fiber<unknown, unknown>): void {
    const excused = this.connections.filter((connection) => connection.servedBy(fiber))
    for (const connection of excused) this.connections.excuse(connection)
    this.notifyIfDrained()
    if (this.telling) { for (const connection of excused) connection.tell() }
  }

  // --- a close -----------------------------------------------------------------------------------------------------

  get queued(): number {
    return this.queue.size
  }

  get limit(): number {
    return this.limits.resolved.maxConnections
  }

  get remaining(): number {
    return this.connections.remaining
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
    return connections.snapshot().concat(connections.closers.toArray(), queue.snapshot())
  }

  describeAll(): ReadonlyArray<ConnectionInfo> {
    return this.everyConnection().map((connection) => connection.describe())
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
    for (const fiber of this.waiting) this.excuse(fiber)
  }

  notifyDraining(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.beginTelling()
      return this.eachConnection((connection) => connection.tell())
    })
  }

  beginDrain(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.draining = true
      this.beginTelling()
      return this.eachConnection((connection) => this.reach(connection))
    })
  }

  /** From now on connections are told; closers here, the others as the drain comes to them. */
  private beginTelling(): void {
    this.telling = true
    for (const connection of this.connections.closers.toArray()) connection.tell()
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
    this.timers.clear()
  }

  /** Takes back a connection whose accept was interrupted after it was given: the next in line gets it. */
  requeue(connection: ConnectionImpl): void {
    if (connection.step !== "Queued" || !this.connections.remove(connection)) return
    if (this.accepting) return this.queue.requeue(connection)
    this.neverTaken(connection)
    refuse(this, connection)
    this.notifyIfDrained()
  }

  /** Lets go of the connections nobody took before the listener closed, in their protocol's words. */
  refuseQueued(): void {
    const queued = this.queue.removeQueued()
    for (const connection of queued) this.neverTaken(connection)
    for (const connection of queued) refuse(this, connection)
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
    refuse(this, connection)
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
    for (const connection of queued) {
      this.neverTaken(connection)
      connection.step = "Ended"
    }
    for (const connection of refusing) connection.cut = true
    for (const connection of victims) {
      const info = connection.describe()
      this.cut.push(info)
      connection.cut = true
      if (connection.handled || connection.driver !== undefined) this.leaving.set(connection, info)
      this.end(connection, "cut")
    }
    // recorded; only now may other fibers run
    for (const connection of victims) this.destroy(connection)
    for (const connection of refusing) this.destroy(connection)
    for (const connection of queued) this.runFork(connection.transport.destroy)
  }

  /** The transport first: a handler's finalizers end it with a FIN, as if all had been said. */
  private destroy(connection: ConnectionImpl): void {
    if (connection.driver?.breakOff?.() !== true) this.runFork(connection.transport.destroy)
    if (connection.handled) this.interrupt(connection)
    connection.driver?.cut()
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
    return this.running().length
  }

  /** The handlers of cut connections that still run, as they stood when they were cut. */
  private running(): ReadonlyArray<ConnectionInfo> {
    for (const connection of Array.from(this.leaving.keys())) {
      if (connection.driver !== undefined && !connection.driver.running()) this.leaving.delete(connection)
    }
    return Array.from(this.leaving.values())
  }

  /** A fiber waits for this life to be closed. */
  wait(fiber: Fiber.Fiber<unknown, unknown>, closing: boolean): void {
    this.waiting.add(fiber)
    if (closing) this.excuse(fiber)
  }

  stopWaiting(fiber: Fiber.Fiber<unknown, unknown>): void {
    this.waiting.delete(fiber)
  }

  /** Ends the connections whose handlers closed the listener. They have been counted. */
  cutClosers(): void {
    const closers = this.connections.closers.toArray()
    for (const connection of closers) {
      connection.cut = true
      this.end(connection, "closer")
    }
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
    if (this.connections.remaining === 0) this.signal.notify()
  }
}
