import type { ResolvedDrain } from "../../options/drain.ts"
import type { ResolvedTimeouts } from "../../options/timeouts.ts"
import type { Timers } from "../../util/timers.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { Connections } from "../connections.ts"
import type { ReadTurns } from "./readTurns.ts"

/** What the limit of stalled sending needs of its manager. */
export interface SendContext {
  readonly connections: Connections
  readonly timers: Timers
  readonly turns: ReadTurns
  readonly timeouts: ResolvedTimeouts
  readonly drain: ResolvedDrain
  readonly now: () => number
  /** The peer of a connection has taken nothing for too long. */
  readonly stalled: (connection: ConnectionImpl) => void
}

/** How long a goodbye may linger where nothing else is said, in milliseconds. */
const usualLinger = 30_000

/** How often a limit is looked at while it runs: a peer has a quarter of it more at the longest. */
const looks = 4

/** No oftener than that, in milliseconds, however short the limit is. */
const leastPeriod = 25

/**
 * Ends connections whose bytes are pending while their peers take none, for
 * `timeouts.send`, and while a goodbye is flushed for the whole of a linger if
 * that is shorter. One timer for all, and none while nothing is pending: bytes
 * can be pending only after a write, an exchange or a goodbye, which say so.
 */
export class SendLimit {
  private readonly context: SendContext
  private looking = false
  private over = false
  /** What the peers had taken when they were first seen to take nothing. Those that do not read are few. */
  private readonly waiting = new Map<ConnectionImpl, { readonly taken: number; readonly since: number }>()

  constructor(context: SendContext) {
    this.context = context
  }

  mayStall(): void {
    if (this.looking || this.over || this.context.timeouts.send === Infinity) return
    this.looking = true
    this.context.timers.schedule(this.context.now() + this.period, () => this.look())
  }

  /** The timers of this lifetime are taken back. */
  stop(): void {
    this.over = true
    this.waiting.clear()
  }

  private get lingers(): number {
    return Math.min(this.context.timeouts.send, this.context.drain.linger.total ?? usualLinger)
  }

  private get period(): number {
    return Math.max(leastPeriod, this.lingers / looks)
  }

  private look(): void {
    const { connections } = this.context
    this.looking = false
    let busy = false
    for (const connection of connections.snapshot().concat(connections.closers.toArray())) {
      if (connection.bytesPending === 0) {
        this.waiting.delete(connection)
        // a protocol may write at any time while it works
        busy ||= connection.driver !== undefined && !connection.idle
      } else this.lookAt(connection)
    }
    for (const connection of this.waiting.keys()) if (connection.step === "Ended") this.waiting.delete(connection)
    if (busy || this.waiting.size > 0) this.mayStall()
  }

  private lookAt(connection: ConnectionImpl): void {
    const known = this.waiting.get(connection)
    const taken = takenOf(connection)
    const now = this.context.now()
    if (known === undefined || known.taken !== taken) {
      this.waiting.set(connection, { taken, since: now })
      return
    }
    const limit = connection.step === "Goodbye" ? this.lingers : this.context.timeouts.send
    if (now - known.since < limit) return
    // after a standstill its peer may have made room meanwhile
    this.context.turns.wait(connection, () => {
      if (connection.bytesPending > 0 && takenOf(connection) === taken) this.context.stalled(connection)
    })
  }
}

/** How much the peer's kernel has taken. */
const takenOf = (connection: ConnectionImpl): number => connection.bytesOut - connection.transportPending
