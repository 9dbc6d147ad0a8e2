/**
 * Performs what `supervisorState.ts` decides: starts processes, tells them to
 * listen and to stop, and reports what becomes of them.
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as PubSub from "effect/PubSub"
import * as Schedule from "effect/Schedule"
import type {
  ReplaceReport,
  WorkerEvent,
  WorkerFailed,
  WorkerInfo,
  WorkerReport,
  WorkersReport
} from "../../NodeWorkers.ts"
import { WorkerMetrics } from "../inspector/workerMetrics.ts"
import { causeText } from "../platform/causeText.ts"
import { workersReport } from "../reports/reports.ts"
import type { HeldSocket } from "./heldSockets.ts"
import type { Failed, Settings } from "./options.ts"
import { type Action, type Event, type Failure, initial, type State, step, type Told } from "./supervisorState.ts"
import { Worker } from "./worker.ts"

/** How a close was asked for; times in milliseconds. */
export interface Closing {
  readonly reason: string
  readonly deadline: number
  readonly abortGrace: number
}

/** What a worker that does not end by itself is given beyond its deadline and grace (ms), before it is killed. */
const beyond = 2000

export class Supervisor {
  readonly events = Effect.runSync(PubSub.unbounded<WorkerEvent>())
  readonly opened = Deferred.makeUnsafe<void, WorkerFailed>()
  readonly closed = Deferred.makeUnsafe<WorkersReport>()
  readonly metrics = new WorkerMetrics()
  readonly settings: Settings
  state: State
  private readonly sockets: ReadonlyArray<HeldSocket>
  private readonly context: Context.Context<never>
  private readonly workers = new Map<number, Worker>()
  private readonly backOffs = new Map<number, BackOff>()
  private readonly inbox: Array<Event> = []
  private busy = false
  private replacing: Replacing | undefined
  private scaling: Deferred.Deferred<void, WorkerFailed> | undefined
  private closing: Closing & { readonly began: number } | undefined
  /** Reports of workers that ended while it closes. */
  private readonly reports: Array<WorkerReport> = []
  private readonly before = { accepted: 0, processes: 0 }

  constructor(settings: Settings, sockets: ReadonlyArray<HeldSocket>, context: Context.Context<never>) {
    this.settings = settings
    this.sockets = sockets
    this.context = context
    this.state = initial(settings.size, settings.concurrency)
  }

  // --- what is asked of it ---------------------------------------------------

  /** Completes when all accept. */
  readonly open: Effect.Effect<void, WorkerFailed> = Effect.suspend(() => {
    this.happened({ _tag: "Start" })
    return Deferred.await(this.opened)
  })

  readonly replace: Effect.Effect<ReplaceReport, WorkerFailed> = Effect.suspend(() => {
    const running = this.replacing ??= {
      began: now(),
      ended: Deferred.makeUnsafe(),
      replaced: []
    }
    this.happened({ _tag: "Replace" })
    return Deferred.await(running.ended)
  })

  scale(size: number): Effect.Effect<void, WorkerFailed> {
    return Effect.suspend(() => {
      const scaling = this.scaling ??= Deferred.makeUnsafe()
      this.happened({ _tag: "Scale", size })
      return Deferred.await(scaling)
    })
  }

  /** Begins to close, unless it does already. */
  close(closing: Closing): void {
    this.closing ??= { ...closing, began: now() }
    this.happened({ _tag: "Close" })
  }

  /** Ends all workers by force, for an owner that waits no longer. */
  killAll(): void {
    for (const worker of this.workers.values()) worker.kill("SIGKILL")
  }

  /** The workers there are, by slot, the older of two first. */
  get running(): ReadonlyArray<Worker> {
    return Array.from(this.workers.values()).sort((one, other) => one.slot - other.slot || one.id - other.id)
  }

  get infos(): ReadonlyArray<WorkerInfo> {
    return this.running.flatMap((worker) => {
      const known = this.state.workers.find(({ id }) => id === worker.id)
      if (known === undefined || worker.pid === null) return []
      const { generation, phase, slot } = known
      const state = phase === "Accepting" ? phase : phase === "Draining" || phase === "Killed" ? "Draining" : "Starting"
      const { restarts } = this.state.slots[slot] ?? { restarts: 0 }
      return [{ pid: worker.pid, slot, generation, state, since: worker.since(phase), restarts }]
    })
  }

  get closingSince(): number | undefined {
    return this.closing?.began
  }

  // --- what happens ----------------------------------------------------------

  /** One event at a time: what an action brings about at once waits for its turn. */
  private happened(event: Event): void {
    this.inbox.push(event)
    if (this.busy) return
    this.busy = true
    for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift()) {
      const { actions, state } = step(this.state, next)
      this.state = state
      for (const action of actions) this.attempt(action)
      if (next._tag === "Exited") this.workers.delete(next.id)
    }
    this.busy = false
  }

  /** What an action runs is in part the user's: what one throws is logged, and keeps no other from being performed. */
  private attempt(action: Action): void {
    const error = this.thrownBy(action._tag, () => this.perform(action))
    if (error === undefined || action._tag !== "Spawn") return
    const how = { pid: undefined, reason: "Spawn", detail: `could not be started: ${causeText(error.thrown)}` } as const
    this.happened({ _tag: "Exited", id: action.id, at: Date.now(), how })
  }

  private thrownBy(what: string, run: () => void): { readonly thrown: unknown } | undefined {
    try {
      run()
      return undefined
    } catch (thrown) {
      this.logFailure(what, Cause.die(thrown))
      return { thrown }
    }
  }

  private perform(action: Action): void {
    switch (action._tag) {
      case "Spawn":
        return this.spawn(action)
      case "Go":
        return this.workers.get(action.id)?.go()
      case "Stop":
        return this.workers.get(action.id)?.stop({
          reason: this.closing?.reason ?? "replaced",
          deadline: this.closing?.deadline ?? this.settings.deadline,
          queue: action.queue,
          killAfter: (this.closing ?? this.settings).deadline + (this.closing ?? this.settings).abortGrace + beyond
        })
      case "Kill":
        return this.workers.get(action.id)?.kill("SIGKILL")
      case "BackOff":
        return this.backOff(action.slot, action.fresh)
      case "CancelBackOff":
        this.backOffs.get(action.slot)?.fiber?.interruptUnsafe()
        return
      case "ReleaseSockets":
        for (const { name, release } of this.sockets) {
          const exit = Effect.runSyncExitWith(this.context)(release)
          if (Exit.isFailure(exit)) this.logFailure(`release of socket ${name}`, exit.cause)
        }
        return
      case "Tell":
        return this.tell(action.event)
      case "Opened":
        Deferred.doneUnsafe(this.opened, Effect.void)
        return
      case "ReplaceEnded":
        return this.replaceEnded(action.failure)
      case "ScaleEnded": {
        const { scaling } = this
        this.scaling = undefined
        if (scaling === undefined) return
        Deferred.doneUnsafe(
          scaling,
          action.failure === undefined ? Effect.void : Effect.fail(this.failed("scale", action.failure))
        )
        return
      }
      case "Closed":
        return this.hasClosed(action.failure)
    }
  }

  private spawn({ generation, id, slot }: Extract<Action, { readonly _tag: "Spawn" }>): void {
    const at = Date.now
    const worker = new Worker({ id, slot, generation, settings: this.settings, sockets: this.sockets }, {
      onPrepared: () => this.happened({ _tag: "Prepared", id }),
      onAccepting: () => this.happened({ _tag: "Accepting", id, at: at() }),
      onLeaving: (how) => this.happened({ _tag: "Leaving", id, at: at(), how }),
      onExit: (how) => {
        this.thrownBy("count of a worker", () => this.account(worker))
        this.happened({ _tag: "Exited", id, at: at(), how })
      }
    })
    this.workers.set(id, worker)
    if (worker.pid === null) return
    this.publish({ _tag: "Started", pid: worker.pid, slot, generation })
  }

  /** What a worker that has ended leaves: its report while all closes, and its counts. */
  private account(worker: Worker): void {
    if (worker.pid === null) return
    if (worker.exposition !== undefined) this.metrics.retire({ slot: worker.slot, text: worker.exposition })
    if (this.state.stage === "Closing") {
      this.reports.push(worker.report)
    } else {
      this.before.accepted += worker.accepted
      this.before.processes++
    }
  }

  private backOff(slot: number, fresh: boolean): void {
    if (fresh) this.backOffs.delete(slot)
    let backOff = this.backOffs.get(slot)
    if (backOff === undefined) {
      this.backOffs.set(
        slot,
        backOff = {
          next: Exit.match(Effect.runSyncExitWith(this.context)(nextOf(this.settings.restart)), {
            onFailure: (cause) => Effect.die(Cause.squash(cause)),
            onSuccess: (next) => next
          }),
          fiber: undefined
        }
      )
    }
    const fiber = Effect.runForkWith(this.context)(backOff.next)
    backOff.fiber = fiber
    fiber.addObserver((exit) => {
      if (exit._tag === "Success") return this.happened({ _tag: exit.value ? "RestartDue" : "ScheduleEnded", slot })
      if (Cause.hasInterruptsOnly(exit.cause)) return
      // one that dies has ended
      this.logFailure(`schedule of restarts of slot ${slot}`, exit.cause)
      this.happened({ _tag: "ScheduleEnded", slot })
    })
  }

  // --- what it says ----------------------------------------------------------

  private tell(event: Told): void {
    switch (event._tag) {
      case "Accepting":
        return this.publish({ _tag: "Accepting", ...this.nameOf(event.worker) })
      case "Replaced": {
        const { by, worker } = event
        const [old, next] = [this.workers.get(worker), this.workers.get(by)]
        if (old !== undefined) {
          const readyAfter = next?.readyAfter ?? 0
          this.replacing?.replaced.push({ slot: event.slot, by: next?.pid ?? null, readyAfter, worker: old.report })
        }
        return this.publish({ _tag: "Replaced", ...this.nameOf(worker), by: next?.pid ?? null })
      }
      case "Crashed":
      case "RolledBack": {
        const { detail, generation, pid, slot } = event.failure
        return this.publish({ _tag: event._tag, pid: pid ?? null, slot, generation, detail })
      }
      case "GaveUp":
        return this.publish(event)
    }
  }

  private publish(event: WorkerEvent): void {
    PubSub.publishUnsafe(this.events, event)
    this.log(event)
  }

  private log(event: WorkerEvent): void {
    const { _tag, ...rest } = event
    const worker = "pid" in event
      ? `worker ${event.slot} (process ${event.pid ?? "none"}, generation ${event.generation})`
      : `slot ${event.slot}`
    const line: Effect.Effect<void> = _tag === "Crashed" || _tag === "RolledBack"
      ? Effect.logWarning(
        `${worker} ${_tag === "Crashed" ? "crashed" : "was not taken"}: ${"detail" in event ? event.detail : ""}`
      )
      : _tag === "GaveUp"
      ? Effect.logError(`${worker} is started no more`)
      : _tag === "Replaced"
      ? Effect.logInfo(`${worker} was replaced by process ${event.by ?? "none"}`)
      : Effect.logDebug(`${worker}: ${_tag}`)
    Effect.runForkWith(this.context)(Effect.annotateLogs(line, rest))
  }

  private logFailure(what: string, cause: Cause.Cause<unknown>): void {
    Effect.runForkWith(this.context)(Effect.logError(`workers: ${what} failed`, cause))
  }

  private nameOf(id: number): { readonly pid: number | null; readonly slot: number; readonly generation: number } {
    const worker = this.workers.get(id)
    return { pid: worker?.pid ?? null, slot: worker?.slot ?? -1, generation: worker?.generation ?? -1 }
  }

  // --- what has come to its end ------------------------------------------------

  private replaceEnded(failure: Failure | "Closing" | undefined): void {
    const { replacing } = this
    this.replacing = undefined
    if (replacing === undefined) return
    const { generation } = this.state
    const fields = failure === undefined ? undefined : this.fieldsOf("replace", failure)
    const report: ReplaceReport = {
      generation,
      duration: now() - replacing.began,
      replaced: replacing.replaced,
      left: failure === undefined ? [] : this.infos.filter((worker) => worker.generation < generation),
      failure: fields?.failure ?? null
    }
    Deferred.doneUnsafe(
      replacing.ended,
      fields === undefined ? Effect.succeed(report) : Effect.fail(this.settings.failed({ ...fields, report }))
    )
  }

  private hasClosed(failure: Failure | undefined): void {
    if (failure !== undefined) Deferred.doneUnsafe(this.opened, Effect.fail(this.failed("make", failure)))
    const closing = this.closing ?? { reason: failure?.detail ?? "close", began: now() }
    Deferred.doneUnsafe(
      this.closed,
      Effect.succeed(workersReport({
        reason: closing.reason,
        duration: now() - closing.began,
        before: this.before,
        workers: this.reports
      }))
    )
    Effect.runSync(PubSub.shutdown(this.events))
  }

  private failed(operation: string, failure: Failure | "Closing"): WorkerFailed {
    return this.settings.failed(this.fieldsOf(operation, failure))
  }

  private fieldsOf(operation: string, failure: Failure | "Closing"): Parameters<Failed>[0] {
    const at = { operation, listener: "workers", trail: [] }
    const { generation, stage } = this.state
    if (failure === "Closing") {
      const detail = `the workers are ${stage === "Running" ? "closing" : stage.toLowerCase()}`
      return { ...at, failure: { pid: null, slot: -1, generation, reason: "Closing", detail } }
    }
    const { detail, pid, reason, slot } = failure
    return { ...at, failure: { pid: pid ?? null, slot, generation: failure.generation, reason, detail } }
  }
}

interface Replacing {
  readonly began: number
  readonly ended: Deferred.Deferred<ReplaceReport, WorkerFailed>
  readonly replaced: Array<ReplaceReport["replaced"][number]>
}

interface BackOff {
  /** Waits, and answers whether there is another start. */
  readonly next: Effect.Effect<boolean>
  fiber: Fiber.Fiber<boolean> | undefined
}

const nextOf = (schedule: Schedule.Schedule<unknown>): Effect.Effect<Effect.Effect<boolean>> =>
  Effect.map(
    Effect.suspend(() => Schedule.toStepWithSleep(schedule)),
    (step) =>
      Effect.matchEffect(step(undefined), {
        onFailure: () => Effect.succeed(false),
        onSuccess: () => Effect.succeed(true)
      })
  )

const now = (): number => performance.now()
