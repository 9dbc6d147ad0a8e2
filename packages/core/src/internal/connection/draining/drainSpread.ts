import { courtesyPart, type ResolvedDrain } from "../../options/drain.ts"
import type { Timers } from "../../util/timers.ts"
import type { ConnectionImpl } from "../connection.ts"

/** From when until when the drain comes to connections, in monotonic milliseconds. */
export interface SpreadWindow {
  readonly from: number
  readonly until: number
}

/** What is told last has a part of the deadline to finish. */
export const spreadWindow = (from: number, spread: number, deadlineAt: number | undefined): SpreadWindow => {
  const most = deadlineAt === undefined ? spread : (1 - courtesyPart) * Math.max(0, deadlineAt - from)
  return { from, until: from + Math.min(spread, most) }
}

/** When the drain comes to this one of `count` connections: all at the same distance, the first at once. */
export const turnOf = ({ from, until }: SpreadWindow, ordinal: number, count: number): number =>
  from + (until - from) * (count === 0 ? 0 : ordinal / count)

/** What a spread needs of its manager. */
export interface SpreadContext {
  readonly now: () => number
  readonly timers: Timers
  readonly drain: ResolvedDrain
  readonly deadlineAt: number | undefined
  /** The drain comes to this connection. */
  readonly beginDrainOf: (connection: ConnectionImpl) => void
}

/** How many connections are told in one go before other fibers get a turn. */
const chunk = 256

/**
 * Lets the drain come to one connection after another, so that their clients do
 * not all reconnect at once. Nothing that a connection is owed depends on it: one
 * that the drain has come to otherwise, or that has ended, is passed over.
 */
export class DrainSpread {
  private readonly context: SpreadContext
  private connections: ReadonlyArray<ConnectionImpl> = []
  private window: SpreadWindow = { from: 0, until: 0 }
  /** The first that the window is about, and the next whose turn it is. */
  private first = 0
  private next = 0
  private cancel: (() => void) | undefined

  constructor(context: SpreadContext) {
    this.context = context
  }

  begin(connections: ReadonlyArray<ConnectionImpl>): void {
    const { deadlineAt, drain, now } = this.context
    this.connections = connections
    this.first = this.next = 0
    this.window = spreadWindow(now(), drain.spread, deadlineAt)
    this.look()
  }

  /** The deadline came nearer: the turns that are left are spread over what is left. */
  shorten(): void {
    const { deadlineAt, now } = this.context
    const at = now()
    this.first = this.next
    this.window = spreadWindow(at, Math.max(0, this.window.until - at), deadlineAt)
    this.look()
  }

  /** Its time is over for all. */
  end(): void {
    while (this.next < this.connections.length) this.context.beginDrainOf(this.connections[this.next++]!)
    this.cancel?.()
    this.connections = []
    this.first = this.next = 0
  }

  private look(): void {
    const { connections, context } = this
    const now = context.now()
    const last = Math.min(this.next + chunk, connections.length)
    this.cancel?.()
    this.cancel = undefined
    while (this.next < last && this.nextTurn <= now) context.beginDrainOf(connections[this.next++]!)
    if (this.next === connections.length) return this.end()
    this.cancel = context.timers.schedule(Math.max(now, this.nextTurn), () => this.look())
  }

  private get nextTurn(): number {
    return turnOf(this.window, this.next - this.first, this.connections.length - this.first)
  }
}
