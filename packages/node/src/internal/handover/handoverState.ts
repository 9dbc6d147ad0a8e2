/**
 * How a predecessor goes through a hand-over: a pure decision for each phase
 * and event. Until its successor accepts, and is found good, whatever happens
 * leaves the predecessor as it was.
 */
import type { HandoverFailed } from "../../NodeHandover.ts"

export type Reason = HandoverFailed["reason"]

/** Why a successor will not take over. */
export interface Fault {
  readonly reason: Reason
  readonly detail: string
}

/**
 * - `Starting`: the successor builds itself, and listens nowhere.
 * - `Going`: it was told to go, and proves that it accepts.
 * - `Verifying`: it accepts; the caller's own check runs.
 * - `Leaving`: it has taken over; the predecessor closes. There is no way back.
 * - `RollingBack`: it has to end.
 * - `Failed`: it has ended, and the predecessor goes on.
 */
export type State =
  | { readonly phase: "Starting" | "Going" | "Verifying" | "Leaving" | "Failed" }
  | { readonly phase: "RollingBack"; readonly fault: Fault }

export type Event =
  | { readonly type: "Prepared" | "Accepting" | "Verified" }
  /** Its channel has ended, and it has not, as far as is known. */
  | { readonly type: "Silent" }
  /** The process has ended. */
  | { readonly type: "Ended"; readonly detail: string }
  /** It said what it should not, or that it fails, or was found wanting. */
  | { readonly type: "Wrong"; readonly detail: string }
  | { readonly type: "TimedOut"; readonly detail: string }
  /** The predecessor has to close for another reason, or its caller has gone. */
  | { readonly type: "Cancelled"; readonly detail: string }

export type Action =
  | { readonly type: "None" | "Go" | "Verify" | "Leave" }
  /** It has accepted no client, or cannot be believed. */
  | { readonly type: "Kill" }
  /** It may have accepted clients: it closes, within a time. */
  | { readonly type: "Withdraw" }
  | { readonly type: "Fail"; readonly fault: Fault }

export interface Decision {
  readonly next: State
  readonly action: Action
}

export const initial: State = { phase: "Starting" }

/** Why no program can be handed over in this process, if none can. */
export const unfit = ({ cannotHold, pid, sockets }: {
  readonly pid: number
  /** Why this process cannot pass sockets on. */
  readonly cannotHold: string | undefined
  /** How many it listens on. */
  readonly sockets: number
}): Fault | undefined =>
  pid === 1
    ? {
      reason: "Refused",
      detail: "this is process 1, with whose end the container ends: run NodeWorkers.runMain as process 1, " +
        "or let the orchestrator replace the container"
    }
    : cannotHold !== undefined
    ? { reason: "Refused", detail: `not supported: ${cannotHold}` }
    : sockets === 0
    ? { reason: "Refused", detail: "the program listens nowhere" }
    : undefined

const none: Action = { type: "None" }

export const decide = (state: State, event: Event): Decision => {
  switch (state.phase) {
    case "Leaving":
    case "Failed":
      return { next: state, action: none }
    case "RollingBack":
      return event.type === "Ended"
        ? { next: { phase: "Failed" }, action: { type: "Fail", fault: state.fault } }
        : { next: state, action: none }
  }
  switch (event.type) {
    case "Prepared":
      return state.phase === "Starting"
        ? { next: { phase: "Going" }, action: { type: "Go" } }
        : refuse("said twice that it is prepared")
    case "Accepting":
      return state.phase === "Going"
        ? { next: { phase: "Verifying" }, action: { type: "Verify" } }
        : refuse(
          state.phase === "Starting" ? "said that it accepts before it was told to" : "said twice that it accepts"
        )
    case "Verified":
      return state.phase === "Verifying"
        ? { next: { phase: "Leaving" }, action: { type: "Leave" } }
        : { next: state, action: none }
    case "Silent":
      return back({ reason: "Exited", detail: "closed its channel before it had taken over" })
    case "Ended":
      return {
        next: { phase: "Failed" },
        action: { type: "Fail", fault: { reason: "Exited", detail: event.detail } }
      }
    case "Wrong":
      return back({ reason: "Refused", detail: event.detail }, gentleIn(state.phase))
    case "TimedOut":
      return back({ reason: "TimedOut", detail: event.detail }, gentleIn(state.phase))
    case "Cancelled":
      return back({ reason: "Closing", detail: event.detail }, gentleIn(state.phase))
  }
}

const back = (fault: Fault, action: "Kill" | "Withdraw" = "Kill"): Decision => ({
  next: { phase: "RollingBack", fault },
  action: { type: action }
})

const refuse = (detail: string): Decision => back({ reason: "Refused", detail })

const gentleIn = (phase: State["phase"]): "Kill" | "Withdraw" => phase === "Verifying" ? "Withdraw" : "Kill"
