/**
 * What a close says: its report, its exit, its line in the log, its counts.
 */
import * as Exit from "effect/Exit"
import type * as LogLevel from "effect/LogLevel"
import { type DrainReport, format, type Outcome } from "../../../DrainReport.ts"
import { type CloseError, OperationAborted, OperationTimedOut } from "../../../ListenerError.ts"
import { Tally } from "../../connection/connections.ts"
import type { Counts } from "../../telemetry/counts.ts"
import { endSpan, type Tracing } from "../../telemetry/tracing.ts"
import * as Foreign from "../../util/foreign.ts"
import type { ManagedReport, Manager } from "../manager.ts"
import type { ListenerClose } from "./listenerClose.ts"

/** The report of a close that has ended. */
export const closeReport = (close: ListenerClose, outcome: Outcome): DrainReport => ({
  listener: close.manager.name,
  reason: close.reason,
  outcome,
  duration: close.duration,
  sweepCut: close.sweepCut,
  queue: close.queue,
  ...Foreign.call(close, "report", () => close.manager.report(), nothingReported)
})

/** Where not even the counts can be had. */
const nothingReported: ManagedReport = {
  swept: 0,
  refused: 0,
  connections: new Tally().counts(0),
  cut: [],
  handlersLeftBehind: []
}

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
  close: ListenerClose,
  report: DrainReport,
  received: boolean
): { readonly level: LogLevel.Severity; readonly message: string; readonly annotations: Record<string, unknown> } => ({
  level: closeLevel({
    outcome: report.outcome,
    lost: report.connections.cut + report.handlersLeftBehind.length,
    received
  }),
  message: Foreign.call(close, "report", () => format(report), `${report.listener}: ${report.outcome}`),
  annotations: { outcome: report.outcome, cut: report.connections.cut }
})
