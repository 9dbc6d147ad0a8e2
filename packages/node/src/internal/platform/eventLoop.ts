/**
 * When what has arrived by now is read. Node runs due timers before it reads, so
 * a limit whose time is over is judged only then: the process may have stood still.
 */
import { performance } from "node:perf_hooks"

/**
 * Calls a function when what has arrived by now is read. For timers only:
 * elsewhere, the sockets that are read in this turn of the event loop may have
 * been chosen before.
 */
export const afterReading = (judge: () => void): void => void setImmediate(judge)

/**
 * Calls a function when one whole poll phase has passed, wherever the call comes from.
 *
 * A turn runs due timers, then polls, then runs immediates: the first immediate
 * comes after a whole poll phase where it comes in a later turn, else the second
 * does.
 */
export const afterWholeReading = (judge: () => void, firstImmediate: () => void = () => {}): void => {
  const turn = turns()
  setImmediate(() => {
    firstImmediate()
    if (turn !== undefined && turns() !== turn) judge()
    else setImmediate(judge)
  })
}

/** How many turns the event loop has begun, where this runtime says so. */
export const turns = (): number | undefined => performance.nodeTiming.uvMetricsInfo?.loopCount
