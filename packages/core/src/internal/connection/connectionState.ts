/**
 * The state machine of one connection. Two ladders, each pure and total: the
 * steps from the accept queue to the end, and the rungs of the drain, from one
 * that has not come yet to the goodbye. `ConnectionImpl` takes the state that is
 * answered, and its callers do what it says.
 */

/**
 * Where a connection is.
 *
 * - `Queued`: nothing has taken it.
 * - `Handshake`: taken, and not ready yet.
 * - `Serving`: a handler or a protocol has it.
 * - `Refusing`: admission does not let it in, and it is being told so.
 * - `Goodbye`: it is flushed, ended and lingers.
 * - `Detached`: it belongs to another scope. Never left.
 * - `Ended`: it was counted. Never left.
 */
export type Step = "Queued" | "Handshake" | "Serving" | "Refusing" | "Goodbye" | "Detached" | "Ended"

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
 * - `Count`: it has ended, for one reason.
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
  | "Destroy"

/**
 * How far the drain has come with a connection.
 *
 * - `Untold`: no drain.
 * - `Notified`: its handler was told, and nothing is ended: a lame duck.
 * - `Begun`: it is ended as soon as nothing is in flight and nothing that had arrived is unread.
 * - `Grace`: begun, and it was active just before: it has a while for its next request.
 * - `Turn`: begun, and one whole read turn has to pass.
 * - `CaughtUp`: a read turn has brought everything that had arrived when the drain began.
 * - `CaughtUpGrace`: caught up, and it was active just before. It ends with its next answer.
 * - `Goodbye`: the last word was said.
 */
export type Rung = "Untold" | "Notified" | "Begun" | "Grace" | "Turn" | "CaughtUp" | "CaughtUpGrace" | "Goodbye"

export type DrainEvent =
  | "drainNotified"
  | "drainBegun"
  /** A look: something is in flight. */
  | "busy"
  /** A look: it is idle, and its grace is not over. */
  | "inGrace"
  /** The same of one that works on one thing at a time, and waits for the next. */
  | "awaitsInGrace"
  /** A look: it is idle. */
  | "idle"
  /** A look: it is idle, and nothing happened on it through one whole read turn. */
  | "quiet"
  | "graceOver"
  /** The read turn has passed, and may not have brought everything. */
  | "turnOver"
  /** The read turn has passed, and has left nothing in the kernel. */
  | "turnEmptied"
  | "goodbye"

/**
 * What the caller does about it.
 *
 * - `None`: nothing. What is busy is looked at when that ends.
 * - `Notify`: complete `draining`.
 * - `Begin`: complete `draining`, remember whether it had work, look at it.
 * - `Look`: look at it.
 * - `AwaitGrace`: `graceOver` when its grace ends.
 * - `AwaitTurn`: `turnOver` or `turnEmptied` when one whole read turn has passed.
 * - `FixEntitlement`: what arrives from now on came after the drain.
 * - `SayGoodbye`: say the last word, and `goodbye` once it is said.
 */
export type DrainAction =
  | "None"
  | "Notify"
  | "Begin"
  | "Look"
  | "AwaitGrace"
  | "AwaitTurn"
  | "FixEntitlement"
  | "SayGoodbye"

export interface StepCell {
  readonly next: Step
  readonly action: StepAction
}

export interface DrainCell {
  readonly next: Rung
  readonly action: DrainAction
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
    released: to("Goodbye", "Goodbye"),
    detached: to("Detached", "DetachRefused"),
    cut: to("Ended", "Destroy"),
    ended: to("Ended", "Count")
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

const up = (next: Rung, action: DrainAction = "None"): DrainCell => ({ next, action })

const rungs: Record<Rung, Record<DrainEvent, DrainCell>> = {
  Untold: {
    drainNotified: up("Notified", "Notify"),
    drainBegun: up("Begun", "Begin"),
    busy: up("Untold"),
    inGrace: up("Untold"),
    awaitsInGrace: up("Untold"),
    idle: up("Untold"),
    quiet: up("Untold"),
    graceOver: up("Untold"),
    turnOver: up("Untold"),
    turnEmptied: up("Untold"),
    goodbye: up("Untold")
  },
  Notified: {
    drainNotified: up("Notified"),
    drainBegun: up("Begun", "Begin"),
    busy: up("Notified"),
    inGrace: up("Notified"),
    awaitsInGrace: up("Notified"),
    idle: up("Notified"),
    quiet: up("Notified"),
    graceOver: up("Notified"),
    turnOver: up("Notified"),
    turnEmptied: up("Notified"),
    goodbye: up("Notified")
  },
  Begun: {
    drainNotified: up("Begun"),
    drainBegun: up("Begun", "Look"),
    busy: up("Begun"),
    inGrace: up("Grace", "AwaitGrace"),
    awaitsInGrace: up("Turn", "AwaitTurn"),
    idle: up("Turn", "AwaitTurn"),
    quiet: up("Begun", "SayGoodbye"),
    graceOver: up("Begun"),
    turnOver: up("Begun"),
    turnEmptied: up("Begun"),
    goodbye: up("Goodbye")
  },
  Grace: {
    drainNotified: up("Grace"),
    drainBegun: up("Grace"),
    busy: up("Grace"),
    inGrace: up("Grace"),
    awaitsInGrace: up("Turn", "AwaitTurn"),
    idle: up("Turn", "AwaitTurn"),
    quiet: up("Begun", "SayGoodbye"),
    graceOver: up("Begun", "Look"),
    turnOver: up("Grace"),
    turnEmptied: up("Grace"),
    goodbye: up("Goodbye")
  },
  Turn: {
    drainNotified: up("Turn"),
    drainBegun: up("Turn"),
    busy: up("Turn"),
    inGrace: up("Turn"),
    awaitsInGrace: up("Turn"),
    idle: up("Turn"),
    quiet: up("Turn"),
    graceOver: up("Turn"),
    turnOver: up("Begun", "Look"),
    turnEmptied: up("CaughtUp", "FixEntitlement"),
    goodbye: up("Goodbye")
  },
  CaughtUp: {
    drainNotified: up("CaughtUp"),
    drainBegun: up("CaughtUp", "Look"),
    busy: up("CaughtUp"),
    inGrace: up("CaughtUpGrace", "AwaitGrace"),
    awaitsInGrace: up("CaughtUpGrace", "AwaitGrace"),
    idle: up("CaughtUp", "SayGoodbye"),
    quiet: up("CaughtUp", "SayGoodbye"),
    graceOver: up("CaughtUp"),
    turnOver: up("CaughtUp"),
    turnEmptied: up("CaughtUp"),
    goodbye: up("Goodbye")
  },
  CaughtUpGrace: {
    drainNotified: up("CaughtUpGrace"),
    drainBegun: up("CaughtUpGrace"),
    busy: up("CaughtUpGrace"),
    inGrace: up("CaughtUpGrace"),
    awaitsInGrace: up("CaughtUpGrace"),
    idle: up("CaughtUp", "SayGoodbye"),
    quiet: up("CaughtUp", "SayGoodbye"),
    graceOver: up("CaughtUp", "Look"),
    turnOver: up("CaughtUpGrace"),
    turnEmptied: up("CaughtUpGrace"),
    goodbye: up("Goodbye")
  },
  Goodbye: {
    drainNotified: up("Goodbye"),
    drainBegun: up("Goodbye"),
    busy: up("Goodbye"),
    inGrace: up("Goodbye"),
    awaitsInGrace: up("Goodbye"),
    idle: up("Goodbye"),
    quiet: up("Goodbye"),
    graceOver: up("Goodbye"),
    turnOver: up("Goodbye"),
    turnEmptied: up("Goodbye"),
    goodbye: up("Goodbye")
  }
}

/** What an event means on a step. */
export const takeStep = (step: Step, event: StepEvent): StepCell => steps[step][event]

/** What an event of the drain means on a rung. */
export const climb = (rung: Rung, event: DrainEvent): DrainCell => rungs[rung][event]

/** On these rungs a look at the connection can change something. */
export const awaitsLook = (rung: Rung): boolean =>
  rung === "Begun" || rung === "Grace" || rung === "CaughtUp" || rung === "CaughtUpGrace"

/** The drain has begun with it. */
export const drainHasBegun = (rung: Rung): boolean => rung !== "Untold" && rung !== "Notified"

/** How a connection tells when it has nothing in flight. */
export type IdleMode = "handler" | "pull" | "exchange"

/** Whether nothing is in flight, by the connection's own rule. */
export const isIdle = (mode: IdleMode, openExchanges: number, pulling: boolean): boolean =>
  openExchanges === 0 && (mode === "exchange" || (mode === "pull" && pulling))

/** What a look at a connection is made from; times in monotonic milliseconds. */
export interface View {
  readonly idle: boolean
  /** Nothing happened on it through one whole read turn. */
  readonly quietTurn: boolean
  /** It works on one thing at a time. */
  readonly oneAtATime: boolean
  /** It has just answered what it had taken: nothing else of a client that waits for its answers is on its way. */
  readonly answered: boolean
  readonly now: number
  /** When its grace ends; set by the first idle look, so that one connection gets one grace. */
  readonly graceEnds: number
}

/** What is seen of a connection by a look at it. */
export const look = (view: View): "busy" | "inGrace" | "awaitsInGrace" | "idle" | "quiet" =>
  !view.idle
    ? "busy"
    : !view.answered && view.now < view.graceEnds
    ? view.oneAtATime ? "awaitsInGrace" : "inGrace"
    : view.quietTurn
    ? "quiet"
    : "idle"
