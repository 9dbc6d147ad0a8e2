/**
 * Where a connection stands, from the accept queue to the end: pure and total.
 * `ConnectionImpl` takes the state that is answered, and its callers do the action.
 */
import { climb, type DrainAction, type DrainEvent, isDrainEvent, type Rung } from "./draining/drainLadder.ts"

/**
 * Where a connection is.
 *
 * - `Queued`: nothing has taken it.
 * - `Handshake`: taken, and not ready yet.
 * - `Serving`: a handler or a protocol has it.
 * - `Refusing`: admission does not let it in, and it is being told so.
 * - `Goodbye`: it is flushed, ended and lingers; `RefusedGoodbye`: the same of one that was refused.
 * - `Detached`: it belongs to another scope. Never left.
 * - `Ended`: it was counted. Never left.
 */
export type Step =
  | "Queued"
  | "Handshake"
  | "Serving"
  | "Refusing"
  | "Goodbye"
  | "RefusedGoodbye"
  | "Detached"
  | "Ended"

export type StepEvent =
  /** Its handshake has begun. */
  | "handshakeBegan"
  /** Its handshake is done, and what takes it has yet to come. */
  | "shaken"
  /** A handler or a protocol begins. */
  | "served"
  | "refused"
  /** What had it is done with it. */
  | "released"
  | "detached"
  /** A deadline, a limit or an abort ends it. */
  | "cut"
  /** Its transport is gone. */
  | "ended"

/**
 * What the caller does about it.
 *
 * - `None`: nothing.
 * - `Serve`: let the drain, if there is one, come to it; `ServeShaken`: with a whole grace, as its handshake was.
 * - `Refuse`: say no.
 * - `Goodbye`: flush, end, linger.
 * - `Detach`: stop counting it among the open; `DetachRefused`: among those refused.
 * - `Count`: it has ended, for one reason; `Forget`: it was counted as refused.
 * - `Destroy`: it was counted, and what is left of it has to go.
 */
export type StepAction =
  | "None"
  | "Serve"
  | "ServeShaken"
  | "Refuse"
  | "Goodbye"
  | "Detach"
  | "DetachRefused"
  | "Count"
  | "Forget"
  | "Destroy"

interface StepCell {
  readonly next: Step
  readonly action: StepAction
}

const to = (next: Step, action: StepAction = "None"): StepCell => ({ next, action })

const steps: Record<Step, Record<StepEvent, StepCell>> = {
  Queued: {
    handshakeBegan: to("Handshake"),
    shaken: to("Queued"),
    served: to("Serving", "Serve"),
    refused: to("Refusing", "Refuse"),
    released: to("Goodbye", "Goodbye"),
    detached: to("Detached", "Detach"),
    cut: to("Ended", "Destroy"),
    ended: to("Ended", "Count")
  },
  Handshake: {
    handshakeBegan: to("Handshake"),
    shaken: to("Queued"),
    served: to("Serving", "ServeShaken"),
    refused: to("Refusing", "Refuse"),
    released: to("Goodbye", "Goodbye"),
    detached: to("Detached", "Detach"),
    cut: to("Ended", "Destroy"),
    ended: to("Ended", "Count")
  },
  Serving: {
    handshakeBegan: to("Serving"),
    shaken: to("Serving"),
    served: to("Serving"),
    refused: to("Serving"),
    released: to("Goodbye", "Goodbye"),
    detached: to("Detached", "Detach"),
    cut: to("Ended", "Destroy"),
    ended: to("Ended", "Count")
  },
  Refusing: {
    handshakeBegan: to("Refusing"),
    shaken: to("Refusing"),
    served: to("Refusing"),
    refused: to("Refusing"),
    released: to("RefusedGoodbye", "Goodbye"),
    detached: to("Detached", "DetachRefused"),
    cut: to("Ended", "Destroy"),
    ended: to("Ended", "Forget")
  },
  // it is on its way out already: a scope that takes it now would have nothing to end
  Goodbye: {
    handshakeBegan: to("Goodbye"),
    shaken: to("Goodbye"),
    served: to("Goodbye"),
    refused: to("Goodbye"),
    released: to("Goodbye"),
    detached: to("Goodbye"),
    cut: to("Ended", "Destroy"),
    ended: to("Ended", "Count")
  },
  RefusedGoodbye: {
    handshakeBegan: to("RefusedGoodbye"),
    shaken: to("RefusedGoodbye"),
    served: to("RefusedGoodbye"),
    refused: to("RefusedGoodbye"),
    released: to("RefusedGoodbye"),
    detached: to("RefusedGoodbye"),
    cut: to("Ended", "Destroy"),
    ended: to("Ended", "Forget")
  },
  Detached: {
    handshakeBegan: to("Detached"),
    shaken: to("Detached"),
    served: to("Detached"),
    refused: to("Detached"),
    released: to("Detached"),
    detached: to("Detached"),
    cut: to("Detached"),
    ended: to("Detached")
  },
  Ended: {
    handshakeBegan: to("Ended"),
    shaken: to("Ended"),
    served: to("Ended"),
    refused: to("Ended"),
    released: to("Ended", "Destroy"),
    detached: to("Ended"),
    cut: to("Ended"),
    ended: to("Ended")
  }
}

/** Where a connection is, and how far the drain has come with it. */
export interface ConnectionState {
  readonly step: Step
  readonly rung: Rung
  /** What events mean in it, as far as it was asked for: each connection asks several times. */
  readonly known: Map<ConnectionEvent, Transition>
}

export type ConnectionEvent = StepEvent | DrainEvent

export interface Transition {
  readonly next: ConnectionState
  /** What the caller does about it. */
  readonly action: StepAction | DrainAction
}

const onEachRung = (step: Step): Record<Rung, ConnectionState> => ({
  Untold: { step, rung: "Untold", known: new Map() },
  Notified: { step, rung: "Notified", known: new Map() },
  Begun: { step, rung: "Begun", known: new Map() },
  Grace: { step, rung: "Grace", known: new Map() },
  Turn: { step, rung: "Turn", known: new Map() },
  CaughtUp: { step, rung: "CaughtUp", known: new Map() },
  CaughtUpGrace: { step, rung: "CaughtUpGrace", known: new Map() },
  Goodbye: { step, rung: "Goodbye", known: new Map() }
})

/** One object each, because idle connections are many. */
const states: Record<Step, Record<Rung, ConnectionState>> = {
  Queued: onEachRung("Queued"),
  Handshake: onEachRung("Handshake"),
  Serving: onEachRung("Serving"),
  Refusing: onEachRung("Refusing"),
  Goodbye: onEachRung("Goodbye"),
  RefusedGoodbye: onEachRung("RefusedGoodbye"),
  Detached: onEachRung("Detached"),
  Ended: onEachRung("Ended")
}

export const stateOf = (step: Step, rung: Rung): ConnectionState => states[step][rung]

export const initial = stateOf("Queued", "Untold")

/** What an event means in a state. */
export const transition = (state: ConnectionState, event: ConnectionEvent): Transition => {
  const known = state.known.get(event)
  if (known !== undefined) return known
  const decided = decide(state, event)
  state.known.set(event, decided)
  return decided
}

/** Of what is another scope's or has ended, no drain wants anything. */
const decide = (state: ConnectionState, event: ConnectionEvent): Transition => {
  const { rung, step } = state
  if (!isDrainEvent(event)) {
    const { action, next } = steps[step][event]
    return { next: stateOf(next, rung), action }
  }
  if (step === "Detached" || step === "Ended") return { next: state, action: "None" }
  const { action, next } = climb(rung, event)
  return { next: stateOf(step, next), action }
}

/** Admission did not let it in, or nothing took it. */
export const isRefused = ({ step }: Pick<ConnectionState, "step">): boolean =>
  step === "Refusing" || step === "RefusedGoodbye"

/** Whether a phase begins whose age is in reports. */
export const beginsPhase = (before: ConnectionState, { rung, step }: ConnectionState): boolean =>
  (step !== before.step && (step === "Goodbye" || step === "RefusedGoodbye" || step === "Detached")) ||
  (rung !== before.rung && rung === "Goodbye")

/** How a connection tells when it has nothing in flight. */
export type IdleMode = "handler" | "pull" | "exchange"

/** Whether nothing is in flight, by the connection's own rule. */
export const isIdle = (mode: IdleMode, openExchanges: number, pulling: boolean): boolean =>
  openExchanges === 0 && (mode === "exchange" || (mode === "pull" && pulling))
