import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { DrainProgress, DrainStage } from "../../Drain.ts"
import type { DrainReport, Outcome } from "../../DrainReport.ts"
import type { CloseError } from "../../ListenerError.ts"
import { lameDuckEnds } from "../connection/drainPolicy.ts"
import type { ResolvedDrain } from "../options/drain.ts"
import type { Counted } from "../telemetry/counts.ts"
import { sleep } from "../util/timers.ts"
import type { Stop } from "./binding.ts"
import type { Manager } from "./manager.ts"

const stages: ReadonlyArray<DrainStage> = ["LameDuck", "Sweeping", "Draining", "Aborting", "Closed"]

/** How much of its deadline a close spends on the sweep: a loop that stays busy must not take all of it from the drain. */
const sweepPart = 0.1

/** What a close asks of its listener. */
export interface ListenerCloseContext {
  readonly manager: Manager
  /** The lame duck is over: `Closing` from now on. */
  readonly closing: () => void
  /** Whether the listener still accepts. */
  readonly isOpen: () => boolean
  /** Stops listening, with the accept queue swept or left; nothing where nothing listens any more. */
  readonly stop: (queue: ResolvedDrain["queue"]) => Stop
  /** Ends the accept loop, and releases the listening socket unless what is open answers through it. */
  readonly endAccepting: Effect.Effect<void>
  /** Releases the listening socket, unless the fiber that closes is still to answer through it. */
  readonly release: Effect.Effect<void>
  /** Fails the fibers that still wait for an arrival. */
  readonly failWaiting: () => void
  readonly onProgress: (progress: DrainProgress) => void
  readonly finished: (close: ListenerClose, report: DrainReport) => Effect.Effect<void>
}

/**
 * One close of a listener, step by step: lame duck, sweep, drain, cut. It runs in
 * a fiber that belongs to the listener, not to the caller.
 */
export class ListenerClose {
  readonly result = Deferred.makeUnsafe<DrainReport, CloseError>()
  readonly reason: string
  readonly startedAt: number
  options: ResolvedDrain
  stage: DrainStage = "Sweeping"
  /** Nothing is waited for but the abort grace: an abort came before this close or during it. */
  aborted: boolean
  /** The abort came during it, so that it fails. */
  overtaken = false
  /** How many fibers wait for the result: without one, a report that is not clean is a warning. */
  waiters = 0
  span: Tracer.Span | undefined
  private endLameDuck = false
  private endGrace = false
  private sweepCut = false
  private queue: DrainReport["queue"] = "none"
  private shown = -1
  private readonly context: ListenerCloseContext
  private readonly manager: Manager

  constructor(context: ListenerCloseContext, options: ResolvedDrain, reason: string, aborted: boolean) {
    this.context = context
    this.manager = context.manager
    this.options = options
    this.reason = reason
    this.aborted = aborted
    this.startedAt = context.manager.now()
    this.stage = options.lameDuck.max > 0 ? "LameDuck" : "Sweeping"
  }

  /** Another close, or the owner's end: the smaller deadline wins, a lame duck is over, and a sweep is never wrong. */
  hasten({ deadline, queue }: Pick<ResolvedDrain, "deadline" | "queue">): void {
    this.endLameDuck = true
    if (queue === "sweep") this.options = { ...this.options, queue }
    if (this.manager.deadlineAt === undefined) {
      if (deadline < this.options.deadline) this.options = { ...this.options, deadline }
    } else {
      const at = this.manager.now() + deadline
      if (at < this.manager.deadlineAt) {
        this.manager.deadlineAt = at
        this.options = { ...this.options, deadline }
      }
    }
    this.manager.signal.notify()
  }

  /** An abort overtakes the close, or ends the grace it is waiting out. It is seen at the next notification. */
  escalate(): void {
    if (this.stage === "Aborting") this.endGrace = true
    else {
      this.aborted = true
      this.overtaken = true
    }
  }

  /** How many it still waits for. */
  get remaining(): number {
    return this.manager.remaining + (this.stage === "Aborting" ? this.manager.runningCount : 0)
  }

  /** Milliseconds it has taken so far. */
  get duration(): number {
    return this.manager.now() - this.startedAt
  }

  /** For metrics. */
  get counted(): Counted["closingNow"] {
    return { stage: stages.indexOf(this.stage) + 1, duration: this.duration, remaining: this.remaining }
  }

  /** Milliseconds it may still take, a lame duck at its longest included. */
  private get timeLeft(): number {
    const { deadlineAt, now } = this.manager
    if (deadlineAt !== undefined) return Math.max(0, deadlineAt - now())
    const { deadline, lameDuck } = this.options
    return this.stage === "LameDuck" ? Math.max(0, this.startedAt + lameDuck.max - now()) + deadline : deadline
  }

  progress(): DrainProgress {
    const { oldest } = this.manager
    return {
      listener: this.manager.name,
      stage: this.stage,
      remaining: this.remaining,
      timeLeft: this.timeLeft,
      connections: this.manager.total,
      oldest: Option.fromUndefinedOr(oldest)
    }
  }

  /** The close algorithm. */
  run(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const ticker = this.manager.runFork(this.reportProgress())
      if (this.stage === "LameDuck") {
        yield* this.lameDuck()
        this.context.closing()
      }
      const faulted = this.aborted
      this.manager.deadlineAt = this.manager.now() + this.options.deadline
      yield* this.stopAccepting()
      this.enter("Draining")
      yield* this.manager.beginDrain()
      const ended = faulted ? "aborted" : yield* this.untilDrained()
      if (ended !== "drained") {
        this.enter("Aborting")
        this.manager.cutAll()
        yield* this.untilHandlersEnd()
      }
      yield* this.context.release
      ticker.interruptUnsafe()
      yield* this.close(ended === "drained" ? "Drained" : ended === "deadline" ? "DeadlineExceeded" : "Aborted")
    })
  }

  private enter(stage: DrainStage): void {
    this.stage = stage
    this.span?.event(stage, this.manager.clock.currentTimeNanosUnsafe(), { remaining: this.remaining })
    this.showProgress()
  }

  private showProgress(): void {
    const progress = this.progress()
    this.shown = progress.remaining
    this.context.onProgress(progress)
  }

  /** No longer ready, but still accepting, until its time is over, another close or an abort ends it, or the socket dies. */
  private lameDuck(): Effect.Effect<void> {
    const { lameDuck } = this.options
    return Effect.gen({ self: this }, function*() {
      this.enter("LameDuck")
      yield* this.manager.notifyDraining()
      const over = () => this.endLameDuck || this.aborted || !this.context.isOpen()
      while (!over()) {
        const endsAt = lameDuckEnds(lameDuck, { startedAt: this.startedAt, lastArrival: this.manager.lastArrival })
        if (this.manager.now() >= endsAt) return
        yield* this.wait(over, endsAt)
      }
    })
  }

  /** Sweeps the accept queue, stops listening, then refuses what nothing took. */
  private stopAccepting(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      this.enter("Sweeping")
      this.manager.sweeping = true
      let stopped = false
      const { queue, run } = this.context.stop(this.options.queue)
      this.queue = queue
      const stop = Effect.map(run, () => {
        stopped = true
      })
      const sweepEnds = this.manager.now() + this.options.deadline * sweepPart
      const latest = () => Math.min(sweepEnds, this.manager.deadlineAt ?? Infinity)
      yield* Effect.raceFirst(stop, this.wait(() => this.aborted, latest))
      this.sweepCut = !stopped
      this.manager.sweeping = false
      this.manager.stopAccepting()
      yield* this.context.endAccepting
      this.context.failWaiting()
      this.manager.refuseQueued()
    })
  }

  private untilDrained(): Effect.Effect<"drained" | "deadline" | "aborted"> {
    const drained = () => this.manager.remaining === 0
    return Effect.gen({ self: this }, function*() {
      while (true) {
        if (this.aborted) return "aborted"
        if (drained()) return "drained"
        if (this.manager.deadlineAt !== undefined && this.manager.now() >= this.manager.deadlineAt) return "deadline"
        yield* this.wait(() => this.aborted || drained(), () => this.manager.deadlineAt)
      }
    })
  }

  /** Interrupted handlers have the abort grace for their finalizers. */
  private untilHandlersEnd(): Effect.Effect<void> {
    const graceEnds = this.manager.now() + this.options.abortGrace
    const over = () => this.endGrace || this.manager.runningCount === 0
    return Effect.suspend(() => over() ? Effect.void : this.wait(over, graceEnds))
  }

  /**
   * Waits until the condition holds or the time has come. A time that may change
   * meanwhile is given as a function, and a change is noticed.
   */
  private wait(condition: () => boolean, until: number | (() => number | undefined)): Effect.Effect<void> {
    return Effect.suspend(() => {
      const at = typeof until === "number" ? until : until()
      const changed = () => typeof until === "function" && until() !== at
      const woken = this.manager.signal.until(() => condition() || changed())
      if (at === undefined || at === Infinity) return woken
      const time = sleep(this.manager.clock, at - this.manager.now())
      return Effect.raceFirst(woken, time)
    })
  }

  /** At most ten times a second, and only what changed. */
  private reportProgress(): Effect.Effect<void> {
    return Effect.forever(Effect.andThen(
      sleep(this.manager.clock, 100),
      Effect.sync(() => {
        if (this.manager.remaining !== this.shown) this.showProgress()
      })
    ))
  }

  private close(outcome: Outcome): Effect.Effect<void> {
    this.stage = "Closed"
    this.manager.clearTimers()
    const report: DrainReport = {
      listener: this.manager.name,
      reason: this.reason,
      outcome,
      duration: this.duration,
      sweepCut: this.sweepCut,
      queue: this.queue,
      ...this.manager.report()
    }
    return this.context.finished(this, report)
  }
}
