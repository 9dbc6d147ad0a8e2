/** How the reports of several processes add up. Pure. */
import { ConnectionCounts, type DrainReport, Outcome } from "@effect-listener/core/DrainReport"
import type { HostTotals } from "@effect-listener/core/ListenerHost"
import * as Record from "effect/Record"
import type { WorkerReport, WorkersReport } from "../../NodeWorkers.ts"
import type { Report } from "../inherit/protocol.ts"

/** The reports of listeners that a report holds: one of a host holds several. */
export const listenersOf = (report: Report): ReadonlyArray<DrainReport> =>
  "listeners" in report ? report.listeners : [report]

export const totalsOf = (reports: ReadonlyArray<DrainReport>): HostTotals => {
  const sum = (count: (report: DrainReport) => number): number =>
    reports.reduce((total, report) => total + count(report), 0)
  return {
    swept: sum(({ swept }) => swept),
    refused: sum(({ refused }) => refused),
    connections: Record.map(ConnectionCounts.fields, (_, reason) => sum(({ connections }) => connections[reason])),
    cut: sum(({ cut }) => cut.length),
    handlersLeftBehind: sum(({ handlersLeftBehind }) => handlersLeftBehind.length)
  }
}

export const worst = (outcomes: ReadonlyArray<Outcome>): Outcome =>
  outcomes.reduce((one, other) => gravity(other) > gravity(one) ? other : one, "Drained")

const gravity = (outcome: Outcome): number => Outcome.literals.indexOf(outcome)

export const workersReport = (closed: {
  readonly reason: string
  readonly duration: number
  /** Connections and processes of those that had ended before. */
  readonly before: { readonly accepted: number; readonly processes: number }
  readonly workers: ReadonlyArray<WorkerReport>
}): WorkersReport => ({
  reason: closed.reason,
  outcome: worst(closed.workers.map(outcomeOf)),
  duration: closed.duration,
  accepted: closed.workers.reduce((sum, { accepted }) => sum + accepted, closed.before.accepted),
  processes: closed.before.processes + closed.workers.length,
  totals: totalsOf(closed.workers.flatMap(({ listeners }) => listeners)),
  workers: closed.workers
})

/** How a worker's end was: one that ended without a word, or by a signal, was aborted. */
const outcomeOf = ({ listeners, signal }: WorkerReport): Outcome =>
  signal === null ? worst(listeners.map(({ outcome }) => outcome)) : "Aborted"

/** The reports of the listeners, each named with its worker, to be read one by one. */
export const namedReports = (report: WorkersReport): ReadonlyArray<DrainReport> =>
  report.workers.flatMap(({ listeners, slot }) =>
    listeners.map((one) => ({ ...one, listener: `${one.listener} of worker ${slot}` }))
  )

/** All of it as the report of one listener, which errors of a close carry. */
export const merged = (report: WorkersReport): DrainReport => {
  const listeners = namedReports(report)
  return {
    // every worker's report has the same fields, also those that are not told apart here
    ...listeners[0],
    listener: "workers",
    reason: report.reason,
    outcome: report.outcome,
    duration: report.duration,
    swept: report.totals.swept,
    sweepCut: listeners.some(({ sweepCut }) => sweepCut),
    queue: listeners.find(({ queue }) => queue !== "none")?.queue ?? "none",
    refused: report.totals.refused,
    connections: report.totals.connections,
    cut: listeners.flatMap(({ cut }) => cut),
    handlersLeftBehind: listeners.flatMap(({ handlersLeftBehind }) => handlersLeftBehind)
  }
}
