import { performance } from "node:perf_hooks"

/**
 * Calls a function when what has arrived by now is read: a limit whose time is
 * over is judged then, because Node runs due timers before it reads, and the
 * process may have stood still. For timers only: elsewhere, the sockets that
 * are read in this turn of the event loop may have been chosen before.
 */
export const afterReading = (judge: () => void): void => void setImmediate(judge)

/**
 * The same, called from anywhere. A turn of the event loop runs timers, reads, and runs immediates: the first immediate
 * comes after a whole read phase where it comes in a later turn, else the second does.
 */
export const afterWholeReading = (judge: () => void): void => {
  const turn = turns()
  setImmediate(() => {
    if (turn !== undefined && turns() !== turn) judge()
    else setImmediate(judge)
  })
}

/** How many turns the event loop has begun, where this runtime says so. */
const turns = (): number | undefined => performance.nodeTiming.uvMetricsInfo?.loopCount
