import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { ConnectionInfo, DrainReport } from "../../DrainReport.ts"
import { AcceptQueue, type Consumer, type QueueContext } from "../accept/acceptQueue.ts"
import type { Candidate } from "../accept/candidate.ts"
import { Limits } from "../accept/limits.ts"
import type { RefusalReason, ResolvedAdmission } from "../options/admission.ts"
import type { ResolvedDrain } from "../options/drain.ts"
import type { Counts } from "../telemetry/counts.ts"
import type { ConnectionTracing } from "../telemetry/tracing.ts"
import { Signal } from "../util/condition.ts"
import type { Linked } from "../util/linkedList.ts"
import { monotonicMillis, Timers } from "../util/timers.ts"
import { Connections, Tally } from "./connections.ts"

/** What the managers of all lifetimes of a listener share. */
export interface LifetimeOptions {
  readonly name: string
  readonly clock: Clock.Clock
  /** The context `make` was called in: drain and connection fibers log and read the clock by it. */
  readonly context: Context.Context<never>
  readonly drain: ResolvedDrain
  readonly admission: ResolvedAdmission
  /** What is counted over all lifetimes. */
  readonly counts: Counts
  readonly tracing: ConnectionTracing
  /** Remote addresses are not shown. */
  readonly maskRemote: boolean
}

/** What arrives, waits, and is open until it ends. */
export interface Managed<C extends Linked<C>> extends Candidate, Linked<C> {
  readonly describe: () => ConnectionInfo
}

/**
 * What managers of connections and of exchanges have in common: the queue, those
 * that are open, the limits they are under, and how much of all a close waits for.
 */
export abstract class LifetimeManager<C extends Managed<C>> implements QueueContext<C> {
  readonly name: string
  readonly clock: Clock.Clock
  readonly context: Context.Context<never>
  readonly counts: Counts
  readonly tracing: ConnectionTracing
  readonly maskRemote: boolean
  readonly timers: Timers
  readonly limits: Limits
  readonly connections = new Connections<C>()
  readonly queue: AcceptQueue<C>
  /** Nothing remains, a handler that was cut has ended, or the drain itself was told something. */
  readonly signal = new Signal()
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>, options?: Effect.RunOptions) => Fiber.Fiber<A, E>

  /** The drain options in force: the listener's, or those of the close that runs. */
  drain: ResolvedDrain
  sweeping = false
  retrying = false
  lastArrival: number
  /** Arrivals may still be queued: open, or sweeping. */
  accepting = true
  private swept = 0

  /** `holdLimit`: how long an arrival may wait in the queue, in milliseconds. */
  constructor(options: LifetimeOptions, holdLimit: number) {
    this.name = options.name
    this.clock = options.clock
    this.context = options.context
    this.drain = options.drain
    this.counts = options.counts
    this.tracing = options.tracing
    this.maskRemote = options.maskRemote
    this.timers = new Timers(options.clock, options.context)
    this.runFork = Effect.runForkWith(options.context)
    this.lastArrival = this.now()
    this.limits = new Limits(options.admission, this.timers, this.now)
    this.queue = new AcceptQueue(this.connections, this.limits, this.timers, this, holdLimit)
  }

  abstract readonly admitted: (arrived: C) => void
  abstract readonly refuse: (arrived: C, reason: RefusalReason) => void

  readonly now = (): number => monotonicMillis(this.clock)

  /** The transport has handed something over. */
  protected noteArrival(): void {
    if (this.sweeping) {
      this.swept++
      this.counts.swept++
    }
    this.lastArrival = this.now()
  }

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

  get closersCount(): number {
    return this.connections.closers.size
  }

  /** Those that are open, oldest first, and those that wait. */
  everyOne(): Array<C> {
    const { connections, queue } = this
    return connections.snapshot().concat(connections.closers.toArray(), queue.snapshot())
  }

  describeAll(): ReadonlyArray<ConnectionInfo> {
    return this.everyOne().map((one) => one.describe())
  }

  /** From now on ends are counted for a report. */
  beginClose(options: ResolvedDrain): void {
    this.drain = options
    this.connections.tally ??= new Tally()
  }

  stopAccepting(): void {
    this.accepting = false
    this.limits.stopWatching()
  }

  removeWaiting(): ReadonlyArray<Consumer<C>> {
    return this.queue.removeWaiting()
  }

  protected get arrivedAndEnded(): Pick<DrainReport, "swept" | "refused" | "connections"> {
    const { counted, tally } = this.connections
    return {
      swept: this.swept,
      refused: tally?.refused ?? 0,
      connections: (tally ?? new Tally()).counts(counted)
    }
  }

  readonly notifyIfDrained = (): void => {
    if (this.remaining === 0) this.signal.notify()
  }
}
