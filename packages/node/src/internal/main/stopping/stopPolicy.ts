/**
 * What a signal, or something else that asks for its end, means for a program: a pure decision, one
 * cell for each phase and event.
 */

/**
 * How far the end of a program is.
 *
 * - `Running`: nothing has asked for it.
 * - `Closing`: something other than a signal has, such as an uncaught error.
 * - `Asked`: a signal has, so short a time ago that another one is its copy.
 * - `Stopping`: a signal has; another one says that its sender will not wait.
 * - `Ending`: the process is about to exit, whatever comes.
 */
export type StopPhase = "Running" | "Closing" | "Asked" | "Stopping" | "Ending"

/** `CopiesOver`: every copy of the first signal has come. `Ended`: the program has. */
export type StopEvent = "Signal" | "CopiesOver" | "Other" | "Ended"

export type StopAction = "None" | "Close" | "Force"

export interface StopDecision {
  readonly next: StopPhase
  readonly action: StopAction
}

/**
 * How long copies of one signal may take (ms). Those of a terminal and a package
 * manager, or of a service manager and its group, came 5 to 444 ms apart.
 */
export const copiesWithin = 1000

export const decide = (phase: StopPhase, event: StopEvent): StopDecision => table[phase][event]

const cell = (next: StopPhase, action: StopAction = "None"): StopDecision => ({ next, action })

const table: Record<StopPhase, Record<StopEvent, StopDecision>> = {
  Running: {
    Signal: cell("Asked", "Close"),
    CopiesOver: cell("Running"),
    Other: cell("Closing", "Close"),
    Ended: cell("Ending")
  },
  Closing: {
    // the first signal: it asks for the close that runs already
    Signal: cell("Asked"),
    CopiesOver: cell("Closing"),
    Other: cell("Closing"),
    Ended: cell("Ending")
  },
  Asked: {
    Signal: cell("Asked"),
    CopiesOver: cell("Stopping"),
    Other: cell("Asked"),
    Ended: cell("Ending")
  },
  Stopping: {
    Signal: cell("Ending", "Force"),
    CopiesOver: cell("Stopping"),
    Other: cell("Stopping"),
    Ended: cell("Ending")
  },
  Ending: {
    Signal: cell("Ending"),
    CopiesOver: cell("Ending"),
    Other: cell("Ending"),
    Ended: cell("Ending")
  }
}
