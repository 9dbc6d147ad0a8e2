import type { ListenerFaulted, OperationAborted } from "../../ListenerError.ts"
import type { ConnectionImpl } from "../connection/connection.ts"
import { type Linked, LinkedList } from "../util/linkedList.ts"
import type { Timers } from "../util/timers.ts"
import type { RefusalReason } from "./admission.ts"
import type { Candidate } from "./candidate.ts"
import type { Limits } from "./limits.ts"

/**
 * Somebody who wants connections: a fiber waiting in `accept` takes one, the
 * handler of a `serve` takes all it can get.
 */
export interface Taker<C = ConnectionImpl> {
  readonly once: boolean
  /** Takes a connection. Called with the connection already out of the queue and registered. */
  readonly take: (connection: C) => void
  /** Told when nothing will come any more; only who waits in `accept`. */
  readonly fail?: ((error: OperationAborted | ListenerFaulted) => void) | undefined
  /** How this taker turns away what admission does not let in. */
  readonly refuse?: ((connection: C) => void) | undefined
}

/** What the queue tells its listener. */
export interface QueueHost<C = ConnectionImpl> {
  /** A connection is let in or held; told before anybody can take it. */
  readonly admitted: (connection: C) => void
  readonly refuse: (connection: C, reason: RefusalReason) => void
}

/** Where what was taken is open. */
export interface Open<C> {
  readonly open: number
  readonly add: (connection: C) => void
}

/**
 * Where connections that the transport handed over wait for somebody to take
 * them, first come first served on both sides, within the limits of admission.
 */
export class AcceptQueue<C extends Candidate & Linked<C> = ConnectionImpl> {
  private readonly queued = new LinkedList<C>()
  private readonly takers = new Set<Taker<C>>()
  private readonly connections: Open<C>
  private readonly limits: Limits
  private readonly timers: Timers
  private readonly host: QueueHost<C>
  private matching = false
  /** Matches again when the rate lets the next one in. */
  private wakeAt: number | undefined
  private cancelWake: (() => void) | undefined

  constructor(
    connections: Open<C>,
    limits: Limits,
    timers: Timers,
    host: QueueHost<C>
  ) {
    this.connections = connections
    this.limits = limits
    this.timers = timers
    this.host = host
  }

  get size(): number {
    return this.queued.size
  }

  /** A connection the transport handed over. */
  arrive(connection: C): void {
    const reason = this.limits.refuses(connection, {
      open: this.connections.open,
      queued: this.queued.size,
      taker: this.takers.size > 0
    })
    if (reason !== undefined) return this.host.refuse(connection, reason)
    this.host.admitted(connection)
    this.queued.add(connection)
    this.match()
  }

  /** A connection whose accept was interrupted: it is the next to be taken. */
  giveBack(connection: C): void {
    this.queued.addFirst(connection)
    this.match()
  }

  add(taker: Taker<C>): void {
    this.takers.add(taker)
    this.match()
  }

  remove(taker: Taker<C>): void {
    this.takers.delete(taker)
  }

  /** Takes out everybody who waits for one connection, first come first. */
  removeWaiting(): Array<Taker<C>> {
    const waiting = Array.from(this.takers).filter((taker) => taker.once)
    for (const taker of waiting) this.takers.delete(taker)
    return waiting
  }

  /** Takes out every connection nobody has taken. */
  removeQueued(): Array<C> {
    const left = this.queued.toArray()
    for (const connection of left) this.queued.delete(connection)
    return left
  }

  /** The connections nobody has taken, oldest first. */
  snapshot(): Array<C> {
    return this.queued.toArray()
  }

  /** Who turns connections away: the first who serves. */
  refuser(): Taker<C> | undefined {
    for (const taker of this.takers) if (taker.refuse !== undefined) return taker
    return undefined
  }

  /**
   * Gives connections to takers while there are both and admission has room.
   * Taking resumes other fibers at once, which may come back here: the state is
   * settled before each take, and the outermost call goes on.
   */
  match(): void {
    if (this.matching || this.queued.size === 0) return
    this.matching = true
    try {
      while (this.takers.size > 0) {
        const connection = this.queued.first
        if (connection === undefined) return
        const waits = this.limits.waits(connection, this.connections.open)
        if (waits !== undefined) return this.matchAt(waits)
        this.limits.take(connection)
        const taker: Taker<C> = this.takers.values().next().value!
        this.queued.delete(connection)
        // in turn, where there are several
        if (taker.once || this.takers.size > 1) {
          this.takers.delete(taker)
          if (!taker.once) this.takers.add(taker)
        }
        this.connections.add(connection)
        taker.take(connection)
      }
    } finally {
      this.matching = false
    }
  }

  private matchAt(at: number): void {
    if (at === Infinity || at === this.wakeAt) return
    this.cancelWake?.()
    this.wakeAt = at
    this.cancelWake = this.timers.schedule(at, () => {
      this.wakeAt = undefined
      this.match()
    })
  }
}
