/**
 * The decisions of a host about its listeners: how much each gets of the one
 * deadline, how their reports add up, and where the close of several stands.
 */
import * as Record from "effect/Record"
import type { DrainStage } from "../../Drain.ts"
import { ConnectionCounts, type DrainReport, Outcome } from "../../DrainReport.ts"
import type { HostReport, HostTotals } from "../../ListenerHost.ts"

/** Milliseconds a drain may take, and what its interrupted handlers have after that. */
export interface Share {
  readonly drain: number
  readonly grace: number
}

// A tenth is enough for finalizers, and leaves a short deadline to the clients
const gracePart = 0.1

/** The abort grace comes out of the time there is, so that the whole stays within it. */
export const share = (time: number, abortGrace: number): Share => {
  const grace = Math.min(abortGrace, Math.max(0, time) * gracePart)
  return { drain: Math.max(0, time - grace), grace }
}

// An admin listener has probes and scrapes on it, which take milliseconds
const adminPart = 0.05
const adminMost = 500

/**
 * What the main listeners get of a host's deadline, from when they stop
 * accepting: without the reserve, and without what the admin listeners need
 * after them. Times in milliseconds.
 */
export const budget = (options: {
  readonly deadline: number
  readonly reserve: number
  readonly abortGrace: number
  readonly admin: boolean
}): Share & { readonly total: number } => {
  const total = Math.max(0, options.deadline - options.reserve)
  const admin = options.admin ? Math.min(adminMost, total * adminPart) : 0
  return { total, ...share(total - admin, options.abortGrace) }
}

/** How several closes ended, taken together. */
export const worst = (outcomes: Iterable<Outcome>): Outcome => {
  let worst: Outcome = "Drained"
  for (const outcome of outcomes) if (gravity(outcome) > gravity(worst)) worst = outcome
  return worst
}

const gravity = (outcome: Outcome): number => Outcome.literals.indexOf(outcome)

export const totals = (reports: ReadonlyArray<DrainReport>): HostTotals => {
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

/** A host's report as one of a listener: what its errors carry. */
export const merge = (report: HostReport): DrainReport => ({
  listener: report.host,
  reason: report.reason,
  outcome: report.outcome,
  duration: report.duration,
  swept: report.totals.swept,
  sweepCut: report.listeners.some((listener) => listener.sweepCut),
  queue: (["left", "swept"] as const).find((queue) => report.listeners.some((each) => each.queue === queue)) ?? "none",
  refused: report.totals.refused,
  connections: report.totals.connections,
  cut: report.listeners.flatMap((listener) => listener.cut),
  handlersLeftBehind: report.listeners.flatMap((listener) => listener.handlersLeftBehind)
})

const stages: ReadonlyArray<DrainStage> = ["Draining", "Sweeping", "Aborting"]

/** Where several stand that drain: the stage an operator should know of. */
export const stageOf = (each: Iterable<DrainStage>): DrainStage => {
  let most = 0
  for (const stage of each) most = Math.max(most, stages.indexOf(stage))
  return stages[most]!
}
