import { type DrainReport, format as formatReport } from "@effect-listener/core/DrainReport"
import { longestTimer } from "@effect-listener/core/DurationOption"
import { format as formatHostReport } from "@effect-listener/core/ListenerHost"
import { CurrentRegistry } from "@effect-listener/core/ListenerRegistry"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import { isMainThread } from "node:worker_threads"
import * as Display from "../display/display.ts"
import type { Fault } from "../handover/handoverState.ts"
import { CurrentSharing } from "../inherit/sharing.ts"
import { shown } from "../platform/causeText.ts"
import { CurrentMain, type MainHandle } from "./currentMain.ts"
import { afterSignal, exitCode } from "./exitCode.ts"
import { describeFailure } from "./failure.ts"
import { MainHandover, notHandedOver } from "./handover.ts"
import { Holder, signalsOf, startedBy } from "./holder.ts"
import { type Main, mains } from "./mains.ts"
import { hasServiceManager, loadServiceManager, type TellServiceManager } from "./manager/load.ts"
import { Readiness } from "./manager/readiness.ts"
import type { Settings } from "./settings.ts"
import { closeMembers, watchedRegistry } from "./stopping/closeMembers.ts"
import { onClusterDisconnect } from "./stopping/clusterWorker.ts"
import { interruptGently } from "./stopping/interruptGently.ts"
import { inFlightLines, lossesOf } from "./stopping/losses.ts"
import { forcedExitCode, onSignal } from "./stopping/signals.ts"
import * as StopPolicy from "./stopping/stopPolicy.ts"

/** What handlers that were cut at the host's deadline have for their end, and their listeners to report it. */
const closeGrace = 1500

/** A timer so late tells of a process that stood still: by SIGSTOP, a suspended machine, or a handler that held it. */
const standstill = 500

/** What finalizers have at least, however late the listeners were closed. */
const finalizerGrace = 500

/** One program under `runMain`: what it is told, how it closes, what bounds that, and its end. */
export class MainProgram implements Main {
  readonly registry = watchedRegistry()
  private readonly settings: Settings
  private readonly display: Display.Display
  private readonly reports: Array<DrainReport> = []
  private fiber: Fiber.Fiber<unknown, unknown> | undefined
  private teardown: Runtime.Teardown | undefined
  private phase: StopPolicy.StopPhase = "Running"
  private closing: Fiber.Fiber<unknown, unknown> | undefined
  private stop: { readonly reason: string; readonly at: number } | undefined
  private failed = false
  private overdue = false
  private bound: NodeJS.Timeout | undefined
  private copies: NodeJS.Timeout | undefined
  private removeHandlers: () => void = () => {}
  /** Tells the service manager something, where there is one. */
  private manager: TellServiceManager | undefined
  /** What it still does when its listeners are closed. */
  private last: ((reports: ReadonlyArray<DrainReport>, duration: number) => Effect.Effect<void>) | undefined
  /** The process that holds the sockets of this one. */
  private holder: Holder | undefined
  /** The deadline that one has set, and what it wants done with the accept queues. */
  private deadline: number | undefined
  private queue: "sweep" | "leave" | undefined
  /** How it is handed over, where it can be. */
  private readonly handover: MainHandover | undefined

  constructor(settings: Settings) {
    this.settings = settings
    this.display = Display.make(settings.progress, process.stderr.isTTY, () => this.context())
    this.handover = settings.handover === undefined || startedBy === "supervisor"
      ? undefined
      : new MainHandover(settings.handover, {
        registry: this.registry,
        generation: this.generation,
        refusal: () => this.refusal(),
        leave: (successor, last) => {
          this.last = last
          this.manager?.((manager) => manager.onHandedOver(successor))
          this.step("Other", "handover")
        },
        say: (level, event, message, annotations) => this.say(level, event, message, annotations)
      })
  }

  /** What the parts of the program find in their context. */
  provide<A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const handle: MainHandle = {
      upgrade: (options) => this.handover === undefined ? notHandedOver : this.handover.upgrade(options),
      generation: this.generation,
      predecessor: this.predecessor,
      accepting: Effect.suspend(() => this.holder === undefined ? Effect.void : Deferred.await(this.holder.accepting))
    }
    return program.pipe(
      Effect.provideService(CurrentRegistry, Option.some(this.registry)),
      Effect.provideService(CurrentMain, Option.some(handle)),
      Effect.provideService(CurrentSharing, Option.fromUndefinedOr(this.handover?.sharing))
    )
  }

  /** The program has been given its fiber, and is about to run. */
  start(fiber: Fiber.Fiber<unknown, unknown>, teardown: Runtime.Teardown): void {
    this.fiber = fiber
    this.teardown = teardown
    const { signals } = this.settings
    const { closing, heard } = signalsOf(signals)
    const removeSignals = onSignal(heard, (signal) => {
      if (closing.has(signal)) this.step("Signal", signal)
    })
    const removeDisconnect = onClusterDisconnect(() => this.close("cluster disconnect"))
    const removeHandover = this.handover?.listen()
    this.removeHandlers = () => {
      removeSignals()
      removeDisconnect()
      removeHandover?.()
    }
    if (!isMainThread && signals.length > 0) {
      this.say("Warn", "signal", "a worker thread gets no signals: close the listeners of this program by a message")
    }
    mains.begin(this)
    this.watchReadiness()
    if (startedBy === "predecessor") Effect.runFork(this.logPredecessor)
    fiber.addObserver((exit) => {
      // a program may end as soon as its listeners are closed, or fail before they are
      if (this.closing === undefined) this.end(exit)
      else this.closing.addObserver(() => this.end(afterSignal(exit)))
    })
  }

  /** Those that started it may want to know when it is ready. What it takes to tell them is loaded only then. */
  private watchReadiness(): void {
    const managed = hasServiceManager(process.env)
    if (startedBy === undefined && !managed) return
    const readiness = new Readiness(this.registry)
    const fail = (detail: string) => {
      this.failed = true
      this.say("Error", "failed", detail)
      this.close(detail)
    }
    if (startedBy !== undefined) {
      this.holder = new Holder(this.registry, readiness, {
        close: ({ deadline, queue, reason }) => {
          this.deadline = deadline
          this.queue = queue
          this.close(reason)
        },
        fail
      })
    }
    if (managed) {
      const ready = Effect.andThen(
        Effect.suspend(() => this.holder === undefined ? Effect.void : Deferred.await(this.holder.accepting)),
        Effect.callback<void>((resume) => {
          const look = () => {
            if (readiness.isReady) resume(Effect.void)
          }
          readiness.onChange(look)
          look()
        })
      )
      this.manager = loadServiceManager(process.env, ready, {
        warn: (message) => this.say("Warn", "serviceManager", message),
        fail
      })
    }
  }

  // --- its hand-over ---------------------------------------------------------------------------------------------

  private readonly inheritance = Effect.sync(() => this.holder?.inheritance ?? Option.none())

  private readonly generation: Effect.Effect<number> = Effect.map(
    this.inheritance,
    (held) => Option.isSome(held) && held.value.from === "predecessor" ? held.value.generation : 0
  )

  private readonly predecessor: MainHandle["predecessor"] = Effect.map(
    this.inheritance,
    Option.flatMap(({ from, pid }) =>
      from === "predecessor" && this.holder !== undefined
        ? Option.some({ pid, report: Deferred.await(this.holder.predecessorReport) })
        : Option.none()
    )
  )

  /** The process that has handed over is gone by the time its log is read. */
  private readonly logPredecessor = Effect.gen({ self: this }, function*() {
    const predecessor = yield* this.predecessor
    if (Option.isNone(predecessor)) return
    const { pid, report } = predecessor.value
    const closed = yield* report
    if (Option.isNone(closed)) {
      return this.say("Warn", "predecessor", `process ${pid}, which handed over to this one, ended without a word`)
    }
    const text = "listeners" in closed.value
      ? formatHostReport(closed.value)
      : formatReport(closed.value)
    this.say("Info", "predecessor", `process ${pid} has handed over: ${text}`, {
      predecessor: pid,
      outcome: closed.value.outcome
    })
  })

  /** Why it cannot be handed over now. */
  private refusal(): Fault | undefined {
    if (this.phase !== "Running") return { reason: "Closing", detail: `the program closes: ${this.stop?.reason}` }
    if (startedBy !== "predecessor" || this.holder === undefined) return undefined
    return Deferred.isDoneUnsafe(this.holder.predecessorReport)
      ? undefined
      : { reason: "Busy", detail: "the process that handed over to this one still drains" }
  }

  // --- what it is told -------------------------------------------------------------------------------------------

  private step(event: StopPolicy.StopEvent, reason: string): void {
    const before = this.phase
    const { action, next } = StopPolicy.decide(before, event)
    this.phase = next
    if (next === "Asked" && before !== "Asked") this.awaitCopies()
    if (action === "Close") this.beginClose(reason)
    // only a signal forces, and then it is the reason
    if (action === "Force") mains.force(reason, forcedExitCode(reason as NodeJS.Signals))
  }

  /** A copy that came in time counts although this process stood still: signals are read before the next turn's checks. */
  private awaitCopies(): void {
    this.copies = setTimeout(
      () => setImmediate(() => this.step("CopiesOver", "")),
      StopPolicy.copiesWithin
    ).unref()
  }

  get drainsUncaught(): boolean {
    return this.settings.uncaught === "drain"
  }

  onUncaught(error: unknown): void {
    this.failed = true
    this.say("Error", "uncaught", `uncaught error; closing: ${shown(error)}`)
    this.step("Other", "uncaught error")
  }

  close(reason: string): void {
    this.step("Other", reason)
  }

  // --- its close -------------------------------------------------------------------------------------------------

  private beginClose(reason: string): void {
    this.stop = { reason, at: performance.now() }
    mains.closes(reason)
    this.holder?.tell((successor) => successor.closing())
    if (reason !== "handover") this.manager?.((manager) => manager.onClosing(`closing: ${reason}`))
    const { hostDeadline } = this
    if (reason !== "handover") this.handover?.cancel(reason)
    const close = closeMembers(this.registry, {
      reason,
      queue: this.queue ?? (reason === "handover" ? "leave" : "sweep"),
      deadline: hostDeadline,
      interval: this.display.interval,
      onProgress: (closes) => {
        this.display.progress(closes)
        this.manager?.((manager) => manager.onProgress(closes))
      },
      onReport: (report) => this.onReport(report),
      onFailure: (member, cause) => {
        this.failed = true
        this.say("Error", "closeFailed", `closing ${member.name} failed: ${Cause.pretty(cause)}`, {
          listener: member.name
        })
      }
    })
    this.boundBy(hostDeadline === undefined ? undefined : hostDeadline + closeGrace)
    const closing = Effect.runFork(
      Effect.withFiber<void>((fiber) => {
        // a close may end the program there and then, and it has to be known by then
        this.closing = fiber
        return close
      }).pipe(
        Effect.andThen(
          Effect.suspend(() =>
            this.last === undefined
              ? Effect.void
              : Effect.andThen(this.managerTold, this.last(this.reports, this.elapsed()))
          )
        )
      )
    )
    closing.addObserver(() => {
      this.display.clear()
      if (hostDeadline !== undefined) this.boundBy(Math.max(hostDeadline - this.elapsed(), finalizerGrace))
      if (this.fiber !== undefined) interruptGently(this.fiber)
    })
  }

  /** The service manager knows which process the service is now, as far as it can be told within ten seconds. */
  private readonly managerTold: Effect.Effect<void> = Effect.suspend(() => {
    const tell = this.manager
    if (tell === undefined) return Effect.void
    const told = Effect.callback<void>((resume) => tell((manager) => manager.whenSaid(() => resume(Effect.void))))
    return Effect.asVoid(Effect.timeoutOption(told, "10 seconds"))
  })

  private onReport(report: DrainReport): void {
    this.reports.push(report)
    this.holder?.tell((successor) => successor.report(report))
    for (const { annotations, event, message } of lossesOf(report)) this.say("Warn", event, message, annotations)
  }

  /** What the host gives the program after its signal, or the holder of its sockets: the smaller one. */
  private get hostDeadline(): number | undefined {
    const { deadline, settings: { hostDeadline } } = this
    return deadline === undefined ? hostDeadline : Math.min(deadline, hostDeadline ?? Infinity)
  }

  // --- what bounds it --------------------------------------------------------------------------------------------

  private elapsed(): number {
    return this.stop === undefined ? 0 : performance.now() - this.stop.at
  }

  /** Whatever still runs after `millis` is named, and not waited for. */
  private boundBy(millis: number | undefined, standstills = 2): void {
    clearTimeout(this.bound)
    if (millis === undefined) return
    const due = performance.now() + millis
    const judge = (): void => {
      // a process that stood still has had no time: what was due meanwhile comes first
      if (standstills > 0 && performance.now() - due > standstill) this.boundBy(closeGrace, standstills - 1)
      else this.onOverdue()
    }
    this.bound = setTimeout(judge, Math.min(millis, longestTimer))
  }

  private onOverdue(): void {
    this.overdue = true
    const seconds = (this.elapsed() / 1000).toFixed(1)
    const running = this.closing?.pollUnsafe() === undefined
      ? `the close of ${this.registry.members().map(({ name }) => name).join(", ") || "its listeners"}`
      : `the program${this.where()}: a finalizer, or what cannot be interrupted`
    const message = `still running ${seconds} s after ${this.stop?.reason}, past the host's deadline: ${running}`
    this.say("Error", "overdue", message, { hostDeadline: this.hostDeadline })
    for (const line of this.inFlight()) this.say("Warn", "cut", line)
    this.end(Exit.void)
  }

  /** The innermost operation with a name that the program is in. */
  private where(): string {
    const name = this.fiber?.cache.stackFrame?.name
    return name === undefined ? "" : `, in ${name}`
  }

  inFlight(): ReadonlyArray<string> {
    return inFlightLines(this.registry)
  }

  onForce(reason: string): void {
    this.phase = "Ending"
    this.display.clear()
    const lines = this.inFlight()
    this.say("Warn", "forced", `${reason} again: ends at once, with ${lines.length} in flight`, { cut: lines.length })
    for (const line of lines) this.say("Warn", "cut", line)
  }

  // --- its end ---------------------------------------------------------------------------------------------------

  private end(exit: Exit.Exit<unknown, unknown>): void {
    if (this.phase === "Ending") return
    this.step("Ended", "")
    clearTimeout(this.bound)
    clearTimeout(this.copies)
    this.display.clear()
    const failure = this.settings.disableErrorReporting ? undefined : describeFailure(exit)
    if (failure !== undefined) this.logFailure(failure)
    let known = false
    const ended = (program: number): void => {
      if (known) return
      known = true
      clearTimeout(this.bound)
      const { failed, overdue, reports } = this
      const end = (): void => mains.end(this, exitCode({ program, reports, failed, overdue }))
      if (this.holder === undefined) end()
      else this.holder.finish(end)
    }
    this.tearDown(exit, ended)
    if (!known) this.boundTeardown(exit, ended)
  }

  /** It is the user's: one that throws is told, and counts as a failure of the program. */
  private tearDown(exit: Exit.Exit<unknown, unknown>, ended: (program: number) => void): void {
    try {
      this.teardown?.(exit, ended)
    } catch (error) {
      this.failed = true
      this.say("Error", "failed", `the teardown threw: ${shown(error)}`)
      Runtime.defaultTeardown(exit, ended)
    }
  }

  private boundTeardown(exit: Exit.Exit<unknown, unknown>, ended: (program: number) => void): void {
    const { hostDeadline } = this
    if (hostDeadline === undefined || this.stop === undefined) return
    const left = Math.max(hostDeadline - this.elapsed(), finalizerGrace)
    this.bound = setTimeout(() => {
      this.overdue = true
      this.say("Error", "overdue", "the teardown has not ended, past the host's deadline", { hostDeadline })
      Runtime.defaultTeardown(exit, ended)
    }, Math.min(left, longestTimer))
  }

  /** With the default loggers, as `Runtime.makeRunMain` does it: the program's own may be released by now. */
  private logFailure(failure: unknown): void {
    Display.log(undefined, "Error", failure, {})
  }

  release(): void {
    this.removeHandlers()
  }

  // --- what it says ----------------------------------------------------------------------------------------------

  private say(
    level: Display.Entry["level"],
    event: string,
    message: string,
    annotations: Record<string, unknown> = {}
  ): void {
    this.display.say({ level, message, annotations: { event, ...annotations } })
  }

  /** What its listeners log with. */
  private context(): Context.Context<never> | undefined {
    return this.registry.members().find(({ context }) => context !== undefined)?.context
  }
}
