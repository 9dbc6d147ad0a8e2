import * as Result from "effect/Result"
import * as Os from "node:os"

/** The signals that ask a program to stop, where none are named: a service manager's, a terminal's, its end's. */
export const defaultSignals: ReadonlyArray<NodeJS.Signals> = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"]

/** The system keeps the first two for itself; the others tell of a fault in the very instruction that runs. */
const unusable: ReadonlySet<string> = new Set(["SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"])

/** The signals to listen to, or what is wrong with them. A default that the system does not have is left out. */
export const check = (
  signals: ReadonlyArray<NodeJS.Signals> | undefined
): Result.Result<ReadonlyArray<NodeJS.Signals>, string> => {
  if (signals === undefined) return Result.succeed(defaultSignals.filter(isKnown))
  if (!Array.isArray(signals)) return Result.fail(`is not a list of signals (${String(signals)})`)
  const bad = signals.filter((signal) => !isKnown(signal) || unusable.has(signal))
  return bad.length === 0
    ? Result.succeed(Array.from(new Set(signals)))
    : Result.fail(`has ${bad.map(String).join(", ")}, which a program cannot listen to`)
}

const isKnown = (signal: NodeJS.Signals): boolean => Os.constants.signals[signal] !== undefined

/** The exit code of a program that a signal ended by force: 128 and the signal's number. */
export const forcedExitCode = (signal: NodeJS.Signals): number => 128 + Os.constants.signals[signal]

/** Calls back for each of the signals until the result is called. The handlers keep no process alive. */
export const onSignal = (
  signals: ReadonlyArray<NodeJS.Signals>,
  handle: (signal: NodeJS.Signals) => void
): () => void => {
  for (const signal of signals) process.on(signal, handle)
  return () => {
    for (const signal of signals) process.removeListener(signal, handle)
  }
}
