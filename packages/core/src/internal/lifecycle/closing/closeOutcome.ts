import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as LogLevel from "effect/LogLevel"
import type { DrainProgress } from "../../../Drain.ts"
import { type DrainReport, format, type Outcome } from "../../../DrainReport.ts"
import { type CloseError, type ListenerFaulted, OperationAborted, OperationTimedOut } from "../../../ListenerError.ts"
import * as Foreign from "../../connection/foreign.ts"
import type { Counts } from "../../telemetry/counts.ts"
import { endSpan, type Tracing } from "../../telemetry/tracing.ts"
import { sleep } from "../../util/timers.ts"
import type { Manager } from "../manager.ts"
import type { ListenerClose } from "./listenerClose.ts"

/**
 * One lifetime of a listener: what is managed in it, and how it ends for those
 * who wait for its end. `reset` begins another one.
 */
export class Lifetime<M extends Manager> {
  readonly manager: M
  /** Of the last close, or of the one that came to nothing because nothing was open. */
  report: DrainReport | undefined
  progress: DrainProgress | undefined
  private readonly closed = Deferred.makeUnsafe<DrainReport>()
  private readonly served = Deferred.makeUnsafe<DrainReport, ListenerFaulted>()
  /** How many fibers wait for the report and receive it. */
  private receivers = 0

  constructor(manager: M) {
    this.manager = manager
  }

  /** Waits for a close that runs. Interrupting it stops the waiting, not the close. */
  awaitClose(
    close: ListenerClose,
    fiber: Fiber.Fiber<unknown, unknown>
  ): Effect.Effect<DrainReport, CloseError> {
    this.manager.wait(fiber, true)
    close.waiters++
    return Effect.onExit(Deferred.await(close.result), (exit) =>
      Effect.sync(() => {
        this.manager.stopWaiting(fiber)
        if (Exit.hasInterrupts(exit)) close.waiters--
      }))
  }

  /** Waits for its end, also when another lifetime has begun before the caller looks. */
  awaitClosed(closing: boolean, received: boolean): Effect.Effect<DrainReport> {
    return Effect.withFiber((fiber) => {
      if (Deferred.isDoneUnsafe(this.closed)) return Deferred.await(this.closed)
      this.manager.wait(fiber, closing)
      if (received) this.receivers++
      return Effect.onExit(Deferred.await(this.closed), (exit) =>
        Effect.sync(() => {
          this.manager.stopWaiting(fiber)
          if (received && Exit.isFailure(exit)) this.receivers--
        }))
    })
  }

  /** Waits until nothing more is served. */
  get awaitServed(): Effect.Effect<DrainReport, ListenerFaulted> {
    return Deferred.await(this.served)
  }

  /** Nothing more is served, and `close` has yet to come. */
  failServed(error: ListenerFaulted): void {
    Deferred.doneUnsafe(this.served, Exit.fail(error))
  }

  /** Whether a fiber receives the report of this close. */
  receives(close: ListenerClose): boolean {
    return close.waiters + this.receivers > 0
  }

  /** Ends the lifetime: wakes all who wait for that. */
  end(report: DrainReport): void {
    this.report = report
    Deferred.doneUnsafe(this.closed, Exit.succeed(report))
    Deferred.doneUnsafe(this.served, Exit.succeed(report))
  }
}

/** How a close ended for its callers. */
export const closeExit = (
  close: ListenerClose,
  report: DrainReport
): Exit.Exit<DrainReport, CloseError> => {
  const at = { operation: "close", listener: report.listener, trail: [] }
  const { deadline } = close.options
  // a report with something in it that no schema takes, of a foreign transport, must not keep the close from ending
  const failed = <E>(make: (report: DrainReport | undefined) => E) =>
    Exit.fail(Foreign.call(close, "report", () => make(report), undefined) ?? make(undefined))
  if (report.outcome === "DeadlineExceeded") {
    return failed((report) => new OperationTimedOut({ ...at, deadline, report }))
  }
  return close.overtaken ? failed((report) => new OperationAborted({ ...at, report })) : Exit.succeed(report)
}

/** Counts a close and ends its span. Before its waiters are woken: they may end the process. */
export const countClose = (
  { counts, tracing }: { readonly counts: Counts; readonly tracing: Tracing },
  close: ListenerClose,
  report: DrainReport,
  exit: Exit.Exit<DrainReport, CloseError>
): void => {
  counts.closes[report.outcome]++
  counts.lastClose = report.duration
  counts.handlersLeftBehind += report.handlersLeftBehind.length
  const { span } = close
  if (span !== undefined) Foreign.call(close, "end of a span", () => endSpan(tracing, span, exit), undefined)
}

/**
 * A warning where the deadline cut something, and where a close was not clean and no fiber receives its report. What an
 * abort has cut was warned of by the abort.
 */
export const closeLevel = (
  { lost, outcome, received }: { readonly outcome: Outcome; readonly lost: number; readonly received: boolean }
): "Warn" | "Info" =>
  (outcome === "DeadlineExceeded" && lost > 0) || (outcome !== "Drained" && !received) ? "Warn" : "Info"

/** The log line of a close. */
export const closeLine = (
  report: DrainReport,
  received: boolean
): { readonly level: LogLevel.Severity; readonly message: string; readonly annotations: Record<string, unknown> } => ({
  level: closeLevel({
    outcome: report.outcome,
    lost: report.connections.cut + report.handlersLeftBehind.length,
    received
  }),
  message: format(report),
  annotations: { outcome: report.outcome, cut: report.connections.cut }
})

/** A close does not wait for the connections whose handlers asked for it; nor do they stay. */
export const endClosers = (manager: Manager, grace: number): void => {
  const gone = () => manager.closersCount === 0
  if (gone()) return
  manager.runFork(Effect.andThen(
    Effect.raceFirst(manager.signal.until(gone), sleep(manager.clock, grace)),
    Effect.sync(() => manager.cutClosers())
  ))
}

/** Waits for it, but no longer than so many milliseconds; it goes on. */
export const atMost = (manager: Manager, millis: number, effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const fiber = manager.runFork(effect)
    if (fiber.pollUnsafe() !== undefined) return Effect.void
    return Effect.raceFirst(Effect.asVoid(Fiber.await(fiber)), sleep(manager.clock, millis))
  })

/** The report where nothing was open. */
export const emptyReport = (manager: Manager, reason: string): DrainReport => ({
  listener: manager.name,
  reason,
  outcome: "Drained",
  duration: 0,
  sweepCut: false,
  queue: "none",
  ...manager.report()
})
