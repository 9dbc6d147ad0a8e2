import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { DrainProgress, DrainStage } from "../../Drain.ts"
import type { DrainReport, Outcome } from "../../DrainReport.ts"
import type { CloseError } from "../../ListenerError.ts"
import type { ConnectionImpl } from "../connection/connection.ts"
import type { Life } from "../connection/connectionManager.ts"
import { Tally } from "../connection/connections.ts"
import { lameDuckEnds } from "../connection/drainPolicy.ts"
import type { ResolvedDrain } from "../options/drain.ts"
import { sleep } from "../util/timers.ts"

const stages: ReadonlyArray<DrainStage> = ["LameDuck", "Sweeping", "Draining", "Aborting", "Closed"]

/** How many connections are told in one go before other fibers get a turn. */
const chunk = 256

/** What a drain asks of its listener. */
export interface DrainHost {
  readonly life: Life
  /** The lame duck is over: `Closing` from now on. */
  readonly closing: () => void
  /** Sweeps the accept queue and stops listening; nothing where nothing listens any more. */
  readonly stop: Effect.Effect<void>
  /** Ends the accept loop and releases the listening socket. */
  readonly release: Effect.Effect<void>
  /** Fails everybody who still waits for a connection. */
  readonly failAccepts: () => void
  readonly onProgress: (progress: DrainProgress) => void
  readonly finished: (drain: Drain, report: DrainReport) => Effect.Effect<void>
}

/**
 * One close of a listener, step by step: lame duck, sweep, drain, cut. It runs in
 * a fiber that belongs to the listener, not to who asked for it.
 */
export class Drain {
  readonly result = Deferred.makeUnsafe<DrainReport, CloseError>()
  readonly reason: string
  readonly startedAt: number
  options: ResolvedDrain
  stage: DrainStage = "Sweeping"
  /** Nothing is waited for but the abort grace: an abort came before this close or during it. */
  aborted: boolean
  /** The abort came during it, so that it fails. */
  overtaken = false
  /** How many wait for the result: when nobody does, the owner's finalizer warns. */
  waiters = 0
  span: Tracer.Span | undefined
  private endLameDuck = false
  private endGrace = false
  private sweepCut = false
  private shown = -1
  private readonly host: DrainHost
  private readonly life: Life

  constructor(host: DrainHost, options: ResolvedDrain, reason: string, aborted: boolean) {
    this.host = host
    this.life = host.life
    this.options = options
    this.reason = reason
    this.aborted = aborted
    this.startedAt = host.life.now()
    this.stage = options.lameDuck.max > 0 ? "LameDuck" : "Sweeping"
    this.life.drain = options
    this.life.connections.tally ??= new Tally()
    for (const fiber of this.life.waiting) this.life.excuse(fiber)
  }

  /** Another close, or the owner's end: the smaller deadline wins, and a lame duck is over. */
  hasten(deadline: number): void {
    this.endLameDuck = true
    if (this.life.deadlineAt === undefined) {
      if (deadline < this.options.deadline) this.options = { ...this.options, deadline }
    } else {
      const at = this.life.now() + deadline
      if (at < this.life.deadlineAt) {
        this.life.deadlineAt = at
        this.options = { ...this.options, deadline }
      }
    }
    this.life.signal.notify()
  }

  /** An abort overtakes the close, or ends the grace it is waiting out. */
  escalate(): void {
    if (this.stage === "Aborting") this.endGrace = true
    else {
      this.aborted = true
      this.overtaken = true
    }
    this.life.signal.notify()
  }

  /** How many it still waits for. */
  get remaining(): number {
    return this.life.connections.remaining + (this.stage === "Aborting" ? this.life.running().length : 0)
  }

  /** Milliseconds it has taken so far. */
  get duration(): number {
    return this.life.now() - this.startedAt
  }

  get stageNumber(): number {
    return stages.indexOf(this.stage) + 1
  }

  progress(): DrainProgress {
    const { connections, deadlineAt, now } = this.life
    const oldest = connections.oldest()
    return {
      listener: this.life.name,
      stage: this.stage,
      remaining: this.remaining,
      timeLeft: deadlineAt === undefined ? this.options.deadline : Math.max(0, deadlineAt - now()),
      connections: connections.tally?.total(connections.counted) ?? 0,
      oldest: oldest === undefined ? Option.none() : Option.some(oldest.describe())
    }
  }

  /** The close algorithm. */
  run(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const ticker = this.life.runFork(this.reportProgress())
      if (this.stage === "LameDuck") {
        yield* this.lameDuck()
        this.host.closing()
      }
      const faulted = this.aborted
      this.life.deadlineAt = this.life.now() + this.options.deadline
      yield* this.stopAccepting()
      this.enter("Draining")
      yield* this.tellAll()
      const ended = faulted ? "aborted" : yield* this.untilDrained()
      if (ended !== "drained") {
        this.enter("Aborting")
        this.life.cutAll()
        yield* this.untilHandlersEnd()
      }
      ticker.interruptUnsafe()
      yield* this.close(ended === "drained" ? "Drained" : ended === "deadline" ? "DeadlineExceeded" : "Aborted")
    })
  }

  private enter(stage: DrainStage): void {
    this.stage = stage
    this.span?.event(stage, this.life.clock.currentTimeNanosUnsafe(), { remaining: this.remaining })
    this.showProgress()
  }

  private showProgress(): void {
    const progress = this.progress()
    this.shown = progress.remaining
    this.host.onProgress(progress)
  }

  /** Not ready any more, but still accepting, until the time is over or somebody has had enough of it. */
  private lameDuck(): Effect.Effect<void> {
    const { lameDuck } = this.options
    return Effect.gen({ self: this }, function*() {
      this.enter("LameDuck")
      this.life.beginTelling()
      yield* this.eachConnection((connection) => connection.tell())
      const over = () => this.endLameDuck || this.aborted
      while (!over()) {
        const endsAt = lameDuckEnds(lameDuck, { startedAt: this.startedAt, lastArrival: this.life.lastArrival })
        if (this.life.now() >= endsAt) return
        yield* this.wait(over, endsAt)
      }
    })
  }

  /** Serves whom the kernel had accepted, stops listening, and lets go of who waits in vain. */
  private stopAccepting(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      this.enter("Sweeping")
      this.life.sweeping = true
      let stopped = false
      const stop = Effect.map(this.host.stop, () => {
        stopped = true
      })
      yield* Effect.raceFirst(stop, this.wait(() => this.aborted, () => this.life.deadlineAt))
      this.sweepCut = !stopped
      this.life.sweeping = false
      this.life.stopAccepting()
      yield* this.host.release
      this.host.failAccepts()
      this.life.turnAwayQueued()
    })
  }

  /** From here on draining is a level: who comes later reads it at registration. */
  private tellAll(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.life.draining = true
      this.life.beginTelling()
      return this.eachConnection((connection) => this.life.reach(connection))
    })
  }

  private eachConnection(f: (connection: ConnectionImpl) => void): Effect.Effect<void> {
    const { connections: open } = this.life
    const connections = open.snapshot().concat(open.refusing.toArray())
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

  private untilDrained(): Effect.Effect<"drained" | "deadline" | "aborted"> {
    const drained = () => this.life.connections.remaining === 0
    return Effect.gen({ self: this }, function*() {
      while (true) {
        if (this.aborted) return "aborted"
        if (drained()) return "drained"
        if (this.life.deadlineAt !== undefined && this.life.now() >= this.life.deadlineAt) return "deadline"
        yield* this.wait(() => this.aborted || drained(), () => this.life.deadlineAt)
      }
    })
  }

  /** Interrupted handlers have the abort grace for their finalizers. */
  private untilHandlersEnd(): Effect.Effect<void> {
    const graceEnds = this.life.now() + this.options.abortGrace
    const over = () => this.endGrace || this.life.running().length === 0
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
      const woken = this.life.signal.until(() => condition() || changed())
      if (at === undefined || at === Infinity) return woken
      const time = sleep(this.life.clock, at - this.life.now())
      return Effect.raceFirst(woken, time)
    })
  }

  /** At most ten times a second, and only what changed. */
  private reportProgress(): Effect.Effect<void> {
    return Effect.forever(Effect.andThen(
      sleep(this.life.clock, 100),
      Effect.sync(() => {
        if (this.life.connections.remaining !== this.shown) this.showProgress()
      })
    ))
  }

  private close(outcome: Outcome): Effect.Effect<void> {
    const { connections } = this.life
    this.stage = "Closed"
    this.life.timers.clear()
    const report: DrainReport = {
      listener: this.life.name,
      reason: this.reason,
      outcome,
      duration: this.duration,
      swept: this.life.swept,
      sweepCut: this.sweepCut,
      refused: connections.tally?.refused ?? 0,
      connections: connections.tally!.counts(connections.counted),
      cut: this.life.cut,
      handlersLeftBehind: this.life.running()
    }
    return this.host.finished(this, report)
  }
}
