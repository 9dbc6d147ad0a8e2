/**
 * The decision about one connection of a listener that drains: pure, and asked
 * again whenever something about the connection may have changed. There is no
 * pass over the connections that could come too early or too late for one.
 */

/** How a connection tells when it has nothing in flight. */
export type IdleMode = "handler" | "pull" | "exchange"

/** Whether nothing is in flight, by the connection's own rule. */
export const isIdle = (mode: IdleMode, openExchanges: number, pulling: boolean): boolean =>
  openExchanges === 0 && (mode === "exchange" || (mode === "pull" && pulling))

/** What the decision is made from; times in monotonic milliseconds. */
export interface View {
  readonly idle: boolean
  /** Whether nothing that had arrived before is unread: a whole read turn brought nothing, or not all it could have. */
  readonly settled: boolean
  readonly now: number
  /** When its grace ends; set by the first idle look, so that one connection gets one grace. */
  readonly graceEnds: number
}

/**
 * What to do about it.
 *
 * - `Leave`: it has work in flight and is looked at again when that ends.
 * - `Wait`: it was active just before and has until `graceEnds` for its next request.
 * - `Settle`: look again after one whole read turn: a request may sit unread in the kernel.
 * - `Goodbye`: nothing is in flight and nothing had arrived.
 */
export type Decision = "Leave" | "Wait" | "Settle" | "Goodbye"

export const decide = (view: View): Decision =>
  !view.idle ? "Leave" : view.now < view.graceEnds ? "Wait" : view.settled ? "Goodbye" : "Settle"

/** When a lame duck ends, as it looks now: an arrival moves the end on, within its bounds. */
export const lameDuckEnds = (
  { max, min, quiet }: { readonly min: number; readonly quiet: number; readonly max: number },
  { lastArrival, startedAt }: { readonly startedAt: number; readonly lastArrival: number }
): number => {
  const quietAt = quiet === 0 ? startedAt + max : Math.max(lastArrival, startedAt) + quiet
  return Math.min(startedAt + max, Math.max(startedAt + min, quietAt))
}
