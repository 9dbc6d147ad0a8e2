/**
 * The drain's decision about one connection: its rungs, from a drain that has not
 * come yet to the goodbye, and what a look at the connection sees. Pure and total;
 * a part of `connectionState.ts`, which says where it applies.
 */

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

interface DrainCell {
  readonly next: Rung
  readonly action: DrainAction
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

/** What an event of the drain means on a rung. */
export const climb = (rung: Rung, event: DrainEvent): DrainCell => rungs[rung][event]

export const isDrainEvent = (event: string): event is DrainEvent => event in rungs.Untold

/** On these rungs a look at the connection can change something. */
export const awaitsLook = (rung: Rung): boolean =>
  rung === "Begun" || rung === "Grace" || rung === "CaughtUp" || rung === "CaughtUpGrace"

/** The drain has begun with it. */
export const drainHasBegun = (rung: Rung): boolean => rung !== "Untold" && rung !== "Notified"

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
