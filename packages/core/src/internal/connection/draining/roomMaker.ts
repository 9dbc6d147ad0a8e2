import type { ResolvedDrain } from "../../options/drain.ts"
import type { Timers } from "../../util/timers.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { Connections } from "../connections.ts"

/** What a room maker needs of its manager. */
export interface RoomContext {
  readonly connections: Connections
  readonly timers: Timers
  readonly drain: ResolvedDrain
  readonly now: () => number
  /** How many connections wait for a place. */
  readonly wanted: () => number
  /** Tells a connection to end when it is idle, after one read turn. */
  readonly retire: (connection: ConnectionImpl) => void
  /** Some may have waited in vain. */
  readonly looked: () => void
}

/** How often it looks again while connections wait: idle ones say nothing by themselves. Milliseconds. */
const lookEvery = 100

/** For how long a count is good: a flood of newcomers must not have each all connections looked at. Milliseconds. */
const countEvery = 20

/**
 * Lets idle connections make room for those that wait for a place. Looks at the
 * level, again and again while any waits: how many are idle, how many of them end
 * already, how many places are wanted.
 */
export class RoomMaker {
  private readonly context: RoomContext
  private looking = false
  private lookedAt = -Infinity
  private countedAt = -Infinity
  private counted = 0

  constructor(context: RoomContext) {
    this.context = context
  }

  /**
   * How many open connections are about to end, or can be: idle, and for longer
   * than their grace, so that a read turn is all it takes. One that was active just
   * before is busy.
   */
  readonly count = (): number => {
    const now = this.context.now()
    if (now - this.countedAt >= countEvery) {
      this.countedAt = now
      const graceBegan = now - this.context.drain.idleGrace
      this.counted = this.context.connections.filter((connection) =>
        ends(connection) || (waitsForRequest(connection) && connection.idle && connection.idleSince <= graceBegan)
      ).length
    }
    return this.counted
  }

  /** Connections wait for a place. */
  want(): void {
    if (this.looking) return
    this.looking = true
    this.context.timers.schedule(Math.max(this.context.now(), this.lookedAt + countEvery), () => this.look())
  }

  private look(): void {
    const { connections, now, wanted } = this.context
    this.looking = false
    this.lookedAt = now()
    if (wanted() === 0) return
    let missing = wanted()
    const idle: Array<ConnectionImpl> = []
    const busy: Array<ConnectionImpl> = []
    let told = 0
    for (const connection of connections.snapshot()) {
      if (ends(connection)) missing--
      else if (connection.retired) told++
      else if (waitsForRequest(connection)) (connection.idle ? idle : busy).push(connection)
    }
    idle.sort((a, b) => a.idleSince - b.idleSince)
    const chosen = idle.slice(0, Math.max(0, missing))
    // the answers of others say goodbye
    const others = busy.slice(0, Math.max(0, missing - chosen.length - told))
    for (const connection of chosen.concat(others)) this.context.retire(connection)
    this.context.looked()
    this.looking = true
    this.context.timers.schedule(now() + lookEvery, () => this.look())
  }
}

/** It is on its way out, or will be when its read turn and its grace are over. */
const ends = (connection: ConnectionImpl): boolean =>
  connection.step === "Goodbye" || connection.rung === "Goodbye" || (connection.retired && connection.idle)

/** It is one that may only wait for its next request: not one whose silence means something. */
const waitsForRequest = (connection: ConnectionImpl): boolean =>
  connection.step === "Serving" && connection.mode !== "handler" &&
  (connection.driver === undefined ? connection.used : connection.phase !== "Upgraded")
