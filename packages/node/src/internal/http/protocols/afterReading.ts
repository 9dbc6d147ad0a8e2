/**
 * Calls a function when what has arrived by now is read: a limit whose time is
 * over is judged then, because Node runs due timers before it reads, and the
 * process may have stood still. For timers only: elsewhere, the sockets that
 * are read in this turn of the event loop may have been chosen before.
 */
export const afterReading = (judge: () => void): void => void setImmediate(judge)
