import type { DrainReport } from "@effect-listener/core/DrainReport"
import * as ListenerError from "@effect-listener/core/ListenerError"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"

/** The exit code that `timeout(1)` gives what it had to cut. */
const deadlinePassed = 124

/** What the exit code of a program is decided by. */
export interface Facts {
  /** The code its teardown gives the program itself: 0, or its failure's. */
  readonly program: number
  /** The reports of the closes that a signal asked for. */
  readonly reports: Iterable<DrainReport>
  /** An uncaught error, or a close that failed, ended the program. */
  readonly failed?: boolean
  /** The host's deadline passed while something still ran. */
  readonly overdue?: boolean
}

/** A program's own failure says more than what was cut, so it wins. */
export const exitCode = (facts: Facts): number => {
  if (facts.program !== 0) return facts.program
  if (facts.failed === true) return 1
  if (facts.overdue === true) return deadlinePassed
  for (const report of facts.reports) if (isIncomplete(report)) return deadlinePassed
  return 0
}

/**
 * The exit code of a process that ran several programs: the worst of theirs. A
 * program's own failure is worse than a deadline, the first one than a later one.
 */
export const worst = (codes: Iterable<number>): number => {
  let code = 0
  for (const next of codes) if (badness(next) > badness(code)) code = next
  return code
}

const badness = (code: number): number => code === 0 ? 0 : code === deadlinePassed ? 1 : 2

/** Whether a close lost something: a client, or a handler that was left behind. */
const isIncomplete = (report: DrainReport): boolean =>
  report.outcome !== "Drained" &&
  (report.cut.length > 0 || report.handlersLeftBehind.length > 0 || report.connections.neverAccepted > 0)

/**
 * How the program ended, after a graceful signal: what the signal brought about
 * is no failure of the program's. That is its interruption, and an `open` or
 * `accept` that the close refused.
 */
export const afterSignal = <A, E>(exit: Exit.Exit<A, E>): Exit.Exit<A | void, E> =>
  Exit.isFailure(exit) && isByClose(exit.cause) ? Exit.void : exit

/** Whether a close alone is the reason of a failure. */
const isByClose = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.every((reason) =>
    Cause.isInterruptReason(reason) || isRefusal(Cause.isFailReason(reason) ? reason.error : reason.defect)
  )

const isRefusal = (error: unknown): boolean =>
  ListenerError.isListenerError(error) &&
  (error._tag === "OperationAborted" || error._tag === "InvalidOperation") &&
  (error.operation === "open" || error.operation === "accept")
