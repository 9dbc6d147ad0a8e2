/** The signals that end a program. */
export type Signal = "SIGTERM" | "SIGINT"

/** The exit code of a program that a signal ended by force: 128 and the signal's number. */
export const forcedExitCode: Record<Signal, number> = { SIGTERM: 143, SIGINT: 130 }

/** Calls back for each signal until the result is called. The handlers keep no process alive. */
export const onSignal = (handle: (signal: Signal) => void): () => void => {
  const onTerminate = () => handle("SIGTERM")
  const onInterrupt = () => handle("SIGINT")
  process.on("SIGTERM", onTerminate)
  process.on("SIGINT", onInterrupt)
  return () => {
    process.removeListener("SIGTERM", onTerminate)
    process.removeListener("SIGINT", onInterrupt)
  }
}
