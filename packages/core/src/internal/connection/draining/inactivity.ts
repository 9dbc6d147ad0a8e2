import { closeError } from "../../util/socketErrors.ts"
import type { ConnectionImpl } from "../connection.ts"

/**
 * The time-outs of a connection that waits in a pull: for its first byte, and for
 * any byte in either direction. One timer a connection, armed when a pull waits
 * and looked at only when it fires. An expired limit is judged one read turn
 * later: bytes that came in time count, although the process stood still.
 */
export class Inactivity {
  private readonly connection: ConnectionImpl
  private cancelTimeout: (() => void) | undefined
  private judging = false
  private seenBytes = 0

  constructor(connection: ConnectionImpl) {
    this.connection = connection
  }

  /** A pull begins to wait. What was written before it counts as activity now. */
  pulled(): void {
    const { connection } = this
    const sent = connection.bytesOut
    if (sent !== this.seenBytes) {
      this.seenBytes = sent
      connection.lastActive = connection.context.now()
    }
    if (this.cancelTimeout === undefined && !this.judging) this.arm()
  }

  stop(): void {
    this.cancelTimeout?.()
    this.cancelTimeout = undefined
  }

  private arm(): void {
    const { connection } = this
    const { now, timeouts: { firstByte, inactivity }, timers } = connection.context
    const silent = connection.bytesIn === 0
    const limit = silent ? Math.min(firstByte, inactivity) : inactivity
    if (limit === Infinity) return
    this.seenBytes = connection.bytesOut
    const due = (silent ? now() : connection.lastActive) + limit
    this.cancelTimeout = timers.schedule(due, () => this.onTimeout(silent))
  }

  private onTimeout(silent: boolean): void {
    const { connection } = this
    this.cancelTimeout = undefined
    if (!this.waiting) return
    const sending = connection.bytesOut !== this.seenBytes || connection.bytesPending > 0
    if (sending) connection.lastActive = connection.context.now()
    if (sending || !this.expired(silent)) return this.arm()
    const { activity, bytesIn } = connection
    this.judging = true
    connection.context.turns.wait(connection, () => {
      this.judging = false
      if (!this.waiting) return
      const untouched = connection.activity === activity && connection.bytesIn === bytesIn
      if (!untouched || !this.end(silent)) this.arm()
    })
  }

  private get waiting(): boolean {
    return this.connection.pulling > 0 && this.connection.step === "Serving"
  }

  private expired(silent: boolean): boolean {
    const { bytesIn, context, lastActive } = this.connection
    return (silent && bytesIn === 0) || context.now() - lastActive >= context.timeouts.inactivity
  }

  private end(silent: boolean): boolean {
    const { connection } = this
    const reason = silent && connection.bytesIn === 0 ? "first byte timeout" : "inactivity timeout"
    return connection.endReading(closeError(reason))
  }
}
