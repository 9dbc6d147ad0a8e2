import type * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { DrainProgress, DrainStage } from "../../Drain.ts"
import type { ConnectionInfo, DrainReport } from "../../DrainReport.ts"
import type { CloseError } from "../../ListenerError.ts"
import type { HostReport } from "../../ListenerHost.ts"
import type { Member } from "../../ListenerRegistry.ts"
import type { ListenerState } from "../../ListenerState.ts"
import { lameDuckEnds } from "../lifecycle/closing/lameDuck.ts"
import { Lifecycle } from "../lifecycle/lifecycle.ts"
import type { Bound, Manager } from "../lifecycle/manager.ts"
import { defaults, type ResolvedDrain } from "../options/drain.ts"
import { logLine } from "../telemetry/logLine.ts"
import { Signal } from "../util/condition.ts"
import { monotonicMillis, sleep } from "../util/timers.ts"
import { budget, type Share, share, stageOf, totals, worst } from "./hostPolicy.ts"

/** A listener of any kind: of connections, or of datagrams. */
export type HostedListener = Lifecycle<Manager, Bound>

/** What the close of a host asks of it. */
export interface HostCloseContext {
  readonly name: string
  readonly clock: Clock.Clock
  readonly main: ReadonlySet<HostedListener>
  readonly admin: ReadonlySet<HostedListener>
  /** Hosts within this one: each closes as it decides, at the same time as the main listeners. */
  readonly others: ReadonlySet<Member>
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  readonly onProgress: (progress: DrainProgress) => void
  readonly finished: (close: HostClose, report: HostReport) => Effect.Effect<void>
}

/** How a close of a host was asked for. */
export interface HostCloseOptions {
  /** The host's own: deadline and lame duck hold for all of its listeners together. */
  readonly drain: ResolvedDrain
  /** What one listener drains with, but for those two. */
  readonly drainOf: (listener: HostedListener) => ResolvedDrain
  /** How much of the deadline is kept for what comes after the close, in milliseconds. */
  readonly reserve: number
  readonly reason: string
}

/** How long listeners may take beyond the deadline to be released, in milliseconds. */
const slack = 2000

/**
 * One close of a host: one lame duck, then every main listener at once, then the
 * admin listeners, all on one deadline. It runs in a fiber of its own.
 */
export class HostClose {
  readonly result = Deferred.makeUnsafe<HostReport, CloseError>()
  readonly reason: string
  /** The one that was asked for, the reserve included. */
  deadline: number
  phase: "LameDuck" | "Main" | "Admin" | "Closed"
  /** An abort came during it, so that it fails. */
  overtaken = false
  /** A listener ran out of time in it, so that it fails. */
  timedOut = false
  /** How many fibers wait for the result: without one, a report that is not clean is a warning. */
  waiters = 0
  /** What the spans of its listeners' closes are below. */
  span: Tracer.Span | undefined

  private readonly context: HostCloseContext
  private readonly options: HostCloseOptions
  private readonly startedAt: number
  /** All of it must be over by then; unknown while accepting has not stopped. */
  private endsAt: number | undefined
  /** How much of the deadline is kept for what comes after it. */
  private reserve: number
  private endLameDuck = false
  private queue: ResolvedDrain["queue"]
  private readonly signal = new Signal()
  /** What is awaited. */
  private readonly pending = new Set<HostedListener | Member>()
  private readonly reports = new Map<HostedListener | Member, ReadonlyArray<DrainReport>>()
  /** How each listener stood: what became of it before is not this close's doing. */
  private readonly before: ReadonlyMap<HostedListener | Member, ListenerState>
  private shown = -1

  constructor(context: HostCloseContext, options: HostCloseOptions) {
    this.context = context
    this.options = options
    this.reason = options.reason
    this.deadline = options.drain.deadline
    this.reserve = options.reserve
    this.queue = options.drain.queue
    this.startedAt = this.now()
    this.phase = options.drain.lameDuck.max > 0 ? "LameDuck" : "Main"
    this.before = new Map([...context.main, ...context.admin].map((listener) => [listener, listener.stateNow]))
  }

  private readonly now = (): number => monotonicMillis(this.context.clock)

  /** Ends in a report, whatever happens meanwhile. */
  run(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const ticker = this.context.runFork(this.reportProgress())
      yield* Effect.catchCause(this.steps(), (cause) => this.cutAfter(cause))
      ticker.interruptUnsafe()
      yield* this.finish()
    })
  }

  /** The close, step by step. */
  private steps(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      if (this.phase === "LameDuck") yield* this.lameDuck()
      this.stopAccepting()
      yield* this.untilClosed()
      this.closeAdmin()
      yield* this.untilClosed()
    })
  }

  /** When a step failed, all that is not closed yet is cut, and the close fails. */
  private cutAfter(cause: Cause.Cause<unknown>): Effect.Effect<void> {
    this.overtaken = true
    this.phase = "Admin"
    this.endsAt ??= this.now()
    for (const member of [...this.context.main, ...this.context.others, ...this.context.admin]) {
      if (!this.reports.has(member)) this.close(member, { drain: 0, grace: 0 })
    }
    return Effect.andThen(this.logFailure("a step", cause), this.untilClosed())
  }

  /** Members that do not end within their time are named in the log, and left. */
  private untilClosed(): Effect.Effect<void> {
    const closed = () => this.pending.size === 0
    const left = () => (this.endsAt ?? Infinity) + slack - this.now()
    return Effect.gen({ self: this }, function*() {
      while (!closed() && left() > 0) {
        const before = this.endsAt
        const woken = this.signal.until(() => closed() || this.endsAt !== before)
        yield* left() === Infinity ? woken : Effect.raceFirst(woken, sleep(this.context.clock, left()))
      }
      for (const { name } of this.pending) yield* this.logFailure(`closing "${name}"`, "not closed in its time")
      this.pending.clear()
    })
  }

  /** Another close, or the owner's end: the smaller deadline wins, and a lame duck is over. */
  hasten({ deadline, queue, reserve }: Pick<ResolvedDrain, "deadline" | "queue"> & { readonly reserve: number }): void {
    this.endLameDuck = true
    if (queue === "sweep") this.queue = queue
    if (this.endsAt === undefined) {
      if (deadline < this.deadline) {
        this.deadline = deadline
        this.reserve = reserve
      }
    } else {
      const endsAt = this.now() + Math.max(0, deadline - reserve)
      if (endsAt < this.endsAt) {
        this.deadline = deadline
        this.endsAt = endsAt
        const again = this.share()
        for (const member of Array.from(this.pending)) this.begin(member, again)
      }
    }
    this.signal.notify()
  }

  /** A listener is a step further. */
  recheck(): void {
    this.showProgress()
    this.signal.notify()
  }

  /** A listener that was made while the host closes: closed with the others. */
  include(member: HostedListener | Member): void {
    if (this.phase !== "LameDuck") this.close(member, this.share())
  }

  // --- the steps -------------------------------------------------------------------------------------------------

  /** One for all main listeners: a connection to any of them moves its end on. */
  private lameDuck(): Effect.Effect<void> {
    const { lameDuck } = this.options.drain
    return Effect.gen({ self: this }, function*() {
      const { grace, drain } = this.mainShare()
      for (const listener of Array.from(this.context.main)) {
        listener.beginLameDuck(this.drainOf(listener, { drain, grace }), this.reason, Option.fromUndefinedOr(this.span))
      }
      this.showProgress()
      const over = () => this.endLameDuck || !this.anyMainOpen()
      while (!over()) {
        const arrivals = Array.from(this.context.main, (listener) => listener.lastArrival)
        const endsAt = lameDuckEnds(lameDuck, {
          startedAt: this.startedAt,
          lastArrival: Math.max(this.startedAt, ...arrivals)
        })
        const left = endsAt - this.now()
        if (left <= 0) return
        yield* Effect.raceFirst(this.signal.until(over), sleep(this.context.clock, left))
      }
    })
  }

  private anyMainOpen(): boolean {
    for (const listener of this.context.main) if (listener.stateNow === "Open") return true
    return false
  }

  /** In one go, so that a client turned away by one listener does not reach another that is about to stop. */
  private stopAccepting(): void {
    this.phase = "Main"
    const { total, ...main } = this.mainShare()
    this.endsAt = this.now() + total
    for (const listener of Array.from(this.context.main)) this.close(listener, main)
    for (const member of Array.from(this.context.others)) this.close(member, main)
    this.showProgress()
  }

  /** The admin listeners answered to the end; they have what is left. */
  private closeAdmin(): void {
    this.phase = "Admin"
    const left = this.share()
    for (const listener of Array.from(this.context.admin)) this.close(listener, left)
  }

  private mainShare(): Share & { readonly total: number } {
    const { admin, main } = this.context
    return budget({
      deadline: this.deadline,
      reserve: this.reserve,
      abortGrace: Math.max(0, ...Array.from(main, (listener) => this.options.drainOf(listener).abortGrace)),
      admin: admin.size > 0
    })
  }

  /** What a close that begins now, or is hastened, has of the time that is left. */
  private share(): Share {
    const left = this.endsAt! - this.now()
    return this.phase === "Main"
      ? budget({
        deadline: left,
        reserve: 0,
        abortGrace: this.options.drain.abortGrace,
        admin: this.context.admin.size > 0
      })
      : share(left, this.options.drain.abortGrace)
  }

  private drainOf(listener: HostedListener, { drain, grace }: Share): ResolvedDrain {
    const own = this.options.drainOf(listener)
    return {
      ...own,
      deadline: drain,
      queue: this.queue,
      lameDuck: defaults.lameDuck,
      abortGrace: Math.min(own.abortGrace, grace)
    }
  }

  private close(member: HostedListener | Member, time: Share): void {
    this.pending.add(member)
    const ended = (reports: ReadonlyArray<DrainReport>) => {
      this.pending.delete(member)
      this.reports.set(member, reports)
      this.judge(member, reports)
      this.signal.notify()
    }
    if (isListener(member)) {
      // awaited before it begins: it may be over at once, and be reset
      this.context.runFork(Effect.map(member.closed, (report) => ended([report])))
      this.begin(member, time)
    } else {
      const failed = (cause: Cause.Cause<unknown>) => Effect.as(this.logFailure(`closing "${member.name}"`, cause), [])
      this.context.runFork(
        Effect.map(Effect.catchCause(Effect.map(this.shutdown(member, time), usable), failed), ended)
      )
    }
  }

  private begin(member: HostedListener | Member, time: Share): void {
    if (isListener(member)) {
      member.beginShutdown(this.drainOf(member, time), this.reason, Option.fromUndefinedOr(this.span))
    } else this.context.runFork(Effect.ignoreCause(this.shutdown(member, time)))
  }

  private shutdown(member: Member, { drain }: Share): Effect.Effect<ReadonlyArray<DrainReport>> {
    return Effect.suspend(() => member.shutdown({ reason: this.reason, deadline: drain, queue: this.queue }))
  }

  private judge(member: HostedListener | Member, reports: ReadonlyArray<DrainReport>): void {
    const before = this.before.get(member)
    if (before === "Closed") return
    for (const { outcome } of reports) {
      if (outcome === "Aborted" && before !== "Faulted") this.overtaken = true
      if (outcome === "DeadlineExceeded") this.timedOut = true
    }
  }

  private finish(): Effect.Effect<void> {
    this.phase = "Closed"
    const { admin, main, name, others } = this.context
    // in the host's order, and those at the end that have left it meanwhile
    const order = new Set<HostedListener | Member>([...main, ...others, ...admin, ...this.reports.keys()])
    const listeners = Array.from(order).flatMap((member) => this.reports.get(member) ?? [])
    return this.context.finished(this, {
      host: name,
      reason: this.reason,
      outcome: worst(listeners.map((report) => report.outcome)),
      duration: this.now() - this.startedAt,
      listeners,
      totals: totals(listeners)
    })
  }

  // --- what goes wrong -------------------------------------------------------------------------------------------

  /** What foreign code threw where it could do no harm. */
  readonly threw = (member: string, defect: unknown): void => {
    this.context.runFork(this.logFailure(member, defect))
  }

  private logFailure(what: string, cause: unknown): Effect.Effect<void> {
    return logLine(
      Effect.logError(`closing host "${this.context.name}": ${what} failed`, cause),
      { event: "closeFailed", host: this.context.name }
    )
  }

  // --- progress --------------------------------------------------------------------------------------------------

  /** Milliseconds it may still take, a lame duck at its longest included. */
  private get timeLeft(): number {
    if (this.endsAt !== undefined) return Math.max(0, this.endsAt - this.now())
    const lameDuck = this.phase === "LameDuck" ? this.startedAt + this.options.drain.lameDuck.max - this.now() : 0
    return Math.max(0, lameDuck) + this.mainShare().total
  }

  progress(): DrainProgress {
    const running = [...this.context.main, ...this.context.admin].flatMap((listener) => listener.closing ?? [])
    const ended = Array.from(this.reports.values()).flat()
    return {
      listener: this.context.name,
      stage: this.stage(running),
      remaining: running.reduce((sum, progress) => sum + progress.remaining, 0),
      timeLeft: this.timeLeft,
      connections: ended.reduce((sum, report) => sum + report.connections.total, 0) +
        running.reduce((sum, progress) => sum + progress.connections, 0),
      oldest: running.map((progress) => progress.oldest).reduce(older, Option.none())
    }
  }

  private stage(running: ReadonlyArray<DrainProgress>): DrainStage {
    if (this.phase === "LameDuck" || this.phase === "Closed") return this.phase
    return stageOf(running.map((progress) => progress.stage))
  }

  private showProgress(): void {
    const progress = this.progress()
    this.shown = progress.remaining
    this.context.onProgress(progress)
  }

  /** At most ten times a second, and only what changed; the steps of its listeners show by themselves. */
  private reportProgress(): Effect.Effect<void> {
    return Effect.forever(Effect.andThen(
      sleep(this.context.clock, 100),
      Effect.sync(() => {
        if (this.progress().remaining !== this.shown) this.showProgress()
      })
    ))
  }
}

/** The reports of a member that are reports: those of others keep no host from adding up its own. */
const usable = (reports: ReadonlyArray<DrainReport>): ReadonlyArray<DrainReport> => {
  totals(reports)
  return reports
}

const isListener = (member: HostedListener | Member): member is HostedListener => member instanceof Lifecycle

const older = (
  one: Option.Option<ConnectionInfo>,
  other: Option.Option<ConnectionInfo>
): Option.Option<ConnectionInfo> =>
  Option.isNone(one) || (Option.isSome(other) && other.value.age > one.value.age) ? other : one
