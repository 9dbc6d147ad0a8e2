/**
 * The decision about one connection that arrives.
 */
import type { RefusalReason, ResolvedAdmission } from "../options/admission.ts"

/** What the decision about one connection is made from. */
export interface Arrival {
  readonly open: number
  readonly queued: number
  /** Whether a consumer is there to take it. */
  readonly consumer: boolean
  /** How many of the open ones are idle, or about to end, so that they make room. */
  readonly makeRoom: number
  /** How many connections its remote has, open or queued. */
  readonly fromRemote: number
  /** Whether the rate lets one in now, after all that are queued. */
  readonly inTime: boolean
  /** How late the event loop is, in milliseconds. */
  readonly lag: number
}

/**
 * Decides about an arriving connection: the limit it is refused for, if it is.
 *
 * **Details**
 *
 * First come, first served: no connection overtakes the queue. With `"reject"`
 * the queue holds only what has room but no consumer yet, or will have room when
 * idle connections have ended, so what is queued counts as open. A remote over
 * its limit and a process that is late are refused with `"wait"`, too: holding
 * them would cost what the limit is there to save.
 */
export const refusal = (limits: ResolvedAdmission, now: Arrival): RefusalReason | undefined => {
  if (now.lag > limits.maxEventLoopLag) return "maxEventLoopLag"
  if (now.fromRemote >= limits.maxPerRemote) return "maxPerRemote"
  if (limits.overflow === "reject") {
    if (now.open + now.queued >= limits.maxConnections + now.makeRoom) return "maxConnections"
    if (!now.inTime) return "acceptRate"
  }
  const room = now.queued === 0 && now.open < limits.maxConnections && now.inTime
  if (now.consumer && room) return undefined
  return now.queued < limits.maxQueued ? undefined : "maxQueued"
}
