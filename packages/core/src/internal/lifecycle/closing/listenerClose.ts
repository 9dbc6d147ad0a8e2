import type * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { DrainProgress, DrainStage } from "../../../Drain.ts"
import type { DrainReport, Outcome } from "../../../DrainReport.ts"
import type { CloseError } from "../../../ListenerError.ts"
import { fitCourtesies, type ResolvedDrain } from "../../options/drain.ts"
import type { Counted } from "../../telemetry/counts.ts"
import { logLine } from "../../telemetry/logLine.ts"
import * as Foreign from "../../util/foreign.ts"
import { sleep } from "../../util/timers.ts"
import type { Stop } from "../binding.ts"
import type { Manager } from "../manager.ts"
import { closeReport } from "./closeReport.ts"
import { lameDuckEnds } from "./lameDuck.ts"
import { sweepEnds, sweepGoesOn, sweepShare } from "./sweepShare.ts"

const stages: ReadonlyArray<DrainStage> = ["LameDuck", "Sweeping", "Draining", "Aborting", "Closed"]

/** How long a transport may take beyond the deadline to end accepting and to release its socket, in milliseconds. */
const releaseTime = 1000

/** How often in a row accepting may fail in a sweep until what is still queued is given up. */
const mostFailures = 10

/** What a close asks of its listener. */
export interface ListenerCloseContext {
  readonly manager: Manager
  /** The lame duck is over: `Closing` from now on. */
  readonly closing: () => void
  /** Whether the listener still accepts. */
  readonly isOpen: () => boolean
  /** Stops listening, with the accept queue swept or left; nothing where nothing listens. */
  readonly stop: (queue: ResolvedDrain["queue"], owner: Foreign.ForeignOwner) => Stop
  /** Ends the accept loop, and releases the listening socket unless what is open answers through it. */
  readonly endAccepting: Effect.Effect<void>
  /** Releases the listening socket, unless the fiber that closes is still to answer through it. */
  readonly release: Effect.Effect<void>
  /** Fails the fibers that still wait for an arrival. */
  readonly failWaiting: () => void
  readonly onProgress: (progress: DrainProgress) => void
  readonly finished: (close: ListenerClose, report: DrainReport) => Effect.Effect<void>
}

/** What a `close` means here and now. */
export type CloseDecision =
  | { readonly _tag: "Refused" }
  /** Nothing is open: the report that there is. */
  | { readonly _tag: "Report"; readonly report: DrainReport }
  | { readonly _tag: "Begin"; readonly close: ListenerClose }

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
  sweepCut = false
  queue: DrainReport["queue"] = "none"
  private shown = -1
  private readonly context: ListenerCloseContext
  readonly manager: Manager

  constructor(context: ListenerCloseContext, options: ResolvedDrain, reason: string, aborted: boolean) {
    this.context = context
    this.manager = context.manager
    this.options = fitCourtesies(options)
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
      if (deadline < this.options.deadline) this.options = fitCourtesies({ ...this.options, deadline })
    } else {
      const at = this.manager.now() + deadline
      if (at < this.manager.deadlineAt) {
        this.manager.deadlineAt = at
        this.options = fitCourtesies({ ...this.options, deadline })
      }
    }
    this.manager.drain = this.options
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
    const { duration } = this
    return {
      stage: stages.indexOf(this.stage) + 1,
      duration,
      longest: duration + this.timeLeft,
      remaining: this.remaining
    }
  }

  /** Milliseconds it may still take, a lame duck at its longest included. */
  private get timeLeft(): number {
    const { deadlineAt, now } = this.manager
    if (deadlineAt !== undefined) return Math.max(0, deadlineAt - now())
    const { deadline, lameDuck } = this.options
    return this.stage === "LameDuck" ? Math.max(0, this.startedAt + lameDuck.max - now()) + deadline : deadline
  }

  progress(): DrainProgress {
    return {
      listener: this.manager.name,
      stage: this.stage,
      remaining: this.remaining,
      timeLeft: this.timeLeft,
      connections: this.manager.total,
      oldest: Option.fromUndefinedOr(Foreign.call(this, "info of a connection", () => this.manager.oldest, undefined))
    }
  }

  /** Ends in a report, whatever a transport or a protocol does meanwhile. */
  run(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const ticker = this.manager.runFork(this.reportProgress())
      const outcome = yield* Effect.catchCause(this.steps(), (cause) => this.cutAfter(cause))
      ticker.interruptUnsafe()
      yield* this.close(outcome)
    })
  }

  /** The close algorithm. */
  private steps(): Effect.Effect<Outcome> {
    return Effect.gen({ self: this }, function*() {
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
      if (ended !== "drained") yield* this.cut()
      yield* this.finished("releasing the socket", this.context.release)
      return ended === "drained" ? "Drained" : ended === "deadline" ? "DeadlineExceeded" : "Aborted"
    })
  }

  private cut(): Effect.Effect<void> {
    this.enter("Aborting")
    this.manager.cutAll()
    return this.untilHandlersEnd()
  }

  /** What is open is cut when a step failed, and the close fails: no later step can be relied on. */
  private cutAfter(cause: Cause.Cause<unknown>): Effect.Effect<Outcome> {
    this.aborted = this.overtaken = true
    const steps: ReadonlyArray<readonly [what: string, step: Effect.Effect<void>]> = [
      ["ending the lame duck", Effect.sync(this.context.closing)],
      ["ending the accept loop", this.context.endAccepting],
      ["refusing what is queued", Effect.sync(() => this.refuseRest())],
      ["cutting connections", Effect.suspend(() => this.cut())],
      ["releasing the socket", this.context.release]
    ]
    return this.logFailure("a step", cause).pipe(
      Effect.andThen(Effect.forEach(steps, ([what, step]) => this.finished(what, step), { discard: true })),
      Effect.as("Aborted")
    )
  }

  private enter(stage: DrainStage): void {
    this.stage = stage
    const { span } = this
    if (span !== undefined) {
      const now = this.manager.clock.currentTimeNanosUnsafe()
      Foreign.call(this, "event of a span", () => span.event(stage, now, { remaining: this.remaining }), undefined)
    }
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
      // an accept loop that backs off hurries
      this.manager.signal.notify()
      const stop = this.context.stop(this.options.queue, this)
      this.queue = stop.queue
      this.sweepCut = !(yield* this.sweep(stop))
      // a `serve` that was forked before the close begins first
      if (this.manager.queued > 0) yield* Effect.yieldNow
      this.manager.sweeping = false
      this.manager.stopAccepting()
      yield* this.finished("ending the accept loop", this.context.endAccepting)
      this.refuseRest()
    })
  }

  /**
   * Answers whether the transport stopped by itself, and what it had swept was taken: accepting may have failed
   * meanwhile. One that cannot be interrupted is not waited for.
   */
  private sweep({ run, stillQueued }: Stop): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      let ended: Exit.Exit<void> | undefined
      const fiber = this.manager.runFork(
        Effect.onExit(Effect.andThen(run, this.untilTaken), (exit) =>
          Effect.sync(() => {
            ended = exit
            this.manager.signal.notify()
          }))
      )
      const queued = () => Foreign.call(this, "stillQueued", () => stillQueued?.(), undefined)
      return Effect.flatMap(this.sweptOrLate(() => ended !== undefined || this.aborted, queued), () => {
        if (ended === undefined) {
          fiber.interruptUnsafe()
          return Effect.succeed(false)
        }
        return Exit.isSuccess(ended) ? Effect.succeed(true) : Effect.as(this.logFailure("stopping", ended.cause), false)
      })
    })
  }

  /** Completes when accepting waits for the next client, or has failed too often without having got one. */
  private get untilTaken(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const { manager } = this
      let { total } = manager
      for (let left = mostFailures; manager.retrying && left > 0; left--) {
        yield* manager.signal.until(() => !manager.retrying)
        // right after it has said so, it tries
        yield* Effect.yieldNow
        if (manager.total !== total) left = mostFailures
        total = manager.total
      }
    })
  }

  /** Completes when the sweep is over, or has to end: a share before the deadline, or after one in which no known client waited. */
  private sweptOrLate(over: () => boolean, stillQueued: () => boolean | undefined): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const { manager } = this
      const startedAt = manager.now()
      const share = sweepShare(this.options.deadline)
      const latest = () => sweepEnds({ startedAt, share, deadlineAt: manager.deadlineAt ?? Infinity })
      let before = stillQueued()
      while (true) {
        const shareEnds = manager.now() + share
        yield* this.wait(over, () => Math.min(shareEnds, latest()))
        if (over() || manager.now() >= latest()) return
        // the deadline has changed
        if (manager.now() < shareEnds) continue
        const now = stillQueued()
        if (!sweepGoesOn(before, now)) return
        before = now
      }
    })
  }

  private refuseRest(): void {
    this.context.failWaiting()
    this.manager.refuseQueued()
  }

  /**
   * Completes when a step is finished, whatever becomes of it, and at the latest
   * with the close: what a transport or a handler holds on to is named in the
   * log, and left.
   */
  private finished(what: string, step: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { now, runFork, signal } = this.manager
      let done = false
      runFork(Effect.ensuring(
        Effect.catchCause(step, (cause) => this.logFailure(what, cause)),
        Effect.sync(() => {
          done = true
          signal.notify()
        })
      ))
      const soon = now() + Math.max(releaseTime, this.options.abortGrace)
      const latest = () => this.aborted ? soon : Math.max(this.manager.deadlineAt ?? 0, soon)
      return Effect.andThen(
        this.wait(() => done, latest),
        Effect.suspend(() => done ? Effect.void : this.logFailure(what, `not finished when the close is over`))
      )
    })
  }

  private untilDrained(): Effect.Effect<"drained" | "deadline" | "aborted"> {
    const drained = () => this.manager.remaining === 0
    return Effect.gen({ self: this }, function*() {
      while (true) {
        if (this.aborted) return "aborted"
        if (drained()) return "drained"
        if (this.manager.deadlineAt !== undefined && this.manager.now() >= this.manager.deadlineAt) {
          // a deadline of zero is an order to cut
          if (this.options.deadline > 0) yield* this.finished("the last look", this.manager.lastLook())
          return this.aborted ? "aborted" : drained() ? "drained" : "deadline"
        }
        yield* this.wait(() => this.aborted || drained(), () => this.manager.deadlineAt)
      }
    })
  }

  /** Interrupted handlers have the abort grace for their finalizers. */
  private untilHandlersEnd(): Effect.Effect<void> {
    const graceEnds = this.manager.now() + this.options.abortGrace
    const over = () => this.endGrace || !this.manager.isRunning
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
    return Effect.suspend(() => {
      this.stage = "Closed"
      this.manager.clearTimers()
      return this.context.finished(this, closeReport(this, outcome))
    })
  }

  // --- what goes wrong -------------------------------------------------------------------------------------------

  /** What foreign code threw where it could do no harm. */
  readonly threw = (member: string, defect: unknown): void => {
    this.manager.runFork(this.logFailure(member, defect))
  }

  private logFailure(what: string, cause: unknown): Effect.Effect<void> {
    return logLine(
      Effect.logError(`closing listener "${this.manager.name}": ${what} failed`, cause),
      { event: "closeFailed", listener: this.manager.name }
    )
  }
}
