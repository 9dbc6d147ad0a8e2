import type { AcceptQueue } from "../../accept/acceptQueue.ts"
import type { Limits } from "../../accept/limits.ts"
import type { RefusalReason } from "../../options/admission.ts"
import type { ResolvedDrain } from "../../options/drain.ts"
import { call } from "../../util/foreign.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { Connections } from "../connections.ts"
import { type RefusalContext, refuseWith } from "./refusal.ts"

/** What held connections need of their manager. */
export interface WaitingRoomContext extends RefusalContext {
  readonly connections: Connections
  readonly queue: AcceptQueue<ConnectionImpl>
  readonly limits: Limits
  readonly drain: ResolvedDrain
  readonly ended: (connection: ConnectionImpl, reason: "endedByPeer") => void
  readonly neverTaken: (connection: ConnectionImpl) => void
  readonly refuse: (connection: ConnectionImpl, reason: RefusalReason) => void
}

/** A connection to be refused is held so much longer than an idle one takes to end. Milliseconds. */
const rejectMargin = 250

/** Connections that are held: watched, bounded in time, and refused where idle ones make no room for them. */
export class WaitingRoom {
  private readonly context: WaitingRoomContext

  constructor(context: WaitingRoomContext) {
    this.context = context
  }

  /** A connection is held: it is watched, and gives up its place when its client has gone. */
  enter(connection: ConnectionImpl): void {
    if (connection.stopWatching !== undefined) return
    const { queue } = this.context
    let over = false
    const gone = () => {
      over = true
      if (queue.withdraw(connection)) this.departed(connection)
    }
    const stop = call(
      connection,
      "watchDeparture",
      () => connection.transport.watchDeparture?.(gone, queue.halfOpen),
      undefined
    )
    if (!over && stop !== undefined) {
      connection.stopWatching = () => call(connection, "watchDeparture", stop, undefined)
    }
  }

  /** Its client has gone while it was held: it is never executed, and its socket is released. */
  private departed(connection: ConnectionImpl): void {
    this.context.connections.tally?.add("endedByPeer")
    this.context.ended(connection, "endedByPeer")
    refuseWith(this.context, connection, undefined)
  }

  expired(connection: ConnectionImpl): void {
    this.refuse(connection, "queuedTimeout")
  }

  /** With `"reject"`, a connection waits for idle ones to end, and no longer. */
  looked(): void {
    const { drain, limits, now, queue } = this.context
    if (limits.resolved.overflow !== "reject") return
    const latest = now() - drain.linger.idle - rejectMargin
    for (const connection of queue.snapshot()) {
      if (connection.since <= latest && queue.withdraw(connection)) this.refuse(connection, "maxConnections")
    }
  }

  private refuse(connection: ConnectionImpl, reason: RefusalReason): void {
    this.context.neverTaken(connection)
    this.context.refuse(connection, reason)
  }
}
