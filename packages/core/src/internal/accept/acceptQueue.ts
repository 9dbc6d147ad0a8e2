import type { ListenerFaulted, OperationAborted } from "../../ListenerError.ts"
import type { RefusalReason } from "../options/admission.ts"
import { type Linked, LinkedList } from "../util/linkedList.ts"
import type { Timers } from "../util/timers.ts"
import type { Candidate } from "./candidate.ts"
import type { Limits } from "./limits.ts"

/**
 * What takes connections: a fiber waiting in `accept` takes one, the handler of
 * a `serve` all it can get.
 */
export interface Consumer<C> {
  readonly once: boolean
  /** Takes a connection. Called with the connection already out of the queue and registered. */
  readonly take: (connection: C) => void
  /** Called when the listener stops accepting. Only those that wait in `accept` have it. */
  readonly fail?: ((error: OperationAborted | ListenerFaulted) => void) | undefined
  /** Called when accepting has ended, and what it waited for did not become ready. */
  readonly late?: (() => void) | undefined
  /** How this consumer refuses what admission does not let in. */
  readonly refuse?: ((connection: C) => void) | undefined
  /** Whether it serves clients that have ended their side. Left out, the transport says. */
  readonly halfOpen?: boolean | undefined
}

/** What the queue tells its listener. */
export interface QueueContext<C> {
  /** A connection is let in or held. Called before it can be taken. */
  readonly admitted: (connection: C) => void
  readonly refuse: (connection: C, reason: RefusalReason) => void
  /**
   * Gets a connection ready for one that waits in `accept`, and answers whether
   * that takes time: it comes back by `ready`, or never. Called with the
   * connection already out of the queue and registered.
   */
  readonly prepare?: ((connection: C) => boolean) | undefined
  /** A connection is held for longer than the call that brought it, and may be watched. */
  readonly held?: ((connection: C) => void) | undefined
  /** A connection was held for as long as it may be; it is out of the queue. */
  readonly expired?: ((connection: C) => void) | undefined
  /** How many open connections make room, or would. */
  readonly makeRoom?: (() => number) | undefined
  /** Connections wait for an open one to end. */
  readonly roomWanted?: (() => void) | undefined
}

/** Where what was taken is open. */
export interface Open<C> {
  readonly open: number
  readonly add: (connection: C) => void
}

/**
 * Where connections that the transport handed over wait for a consumer, first
 * come first served on both sides, within the limits of admission.
 */
export class AcceptQueue<C extends Candidate & Linked<C>> {
  private readonly queued = new LinkedList<C>()
  private readonly consumers = new Set<Consumer<C>>()
  private readonly connections: Open<C>
  private readonly limits: Limits
  private readonly timers: Timers
  private readonly context: QueueContext<C>
  /** One of the consumers that take all they can get. */
  private server: Consumer<C> | undefined
  private matching = false
  /** How many are being prepared, side by side: none waits for the handshake of another. */
  private preparing = 0
  /** Matches again when the rate lets the next one in. */
  private wakeAt: number | undefined
  private cancelWake: (() => void) | undefined
  /** How long a connection may be held, in milliseconds. */
  private readonly holdLimit: number
  private expiring = false

  constructor(
    connections: Open<C>,
    limits: Limits,
    timers: Timers,
    context: QueueContext<C>,
    holdLimit = Infinity
  ) {
    this.connections = connections
    this.limits = limits
    this.timers = timers
    this.context = context
    this.holdLimit = holdLimit
  }

  get size(): number {
    return this.queued.size
  }

  /** How many wait for an open connection to end. */
  get waitingForRoom(): number {
    return this.consumers.size > 0 && this.connections.open >= this.limits.resolved.maxConnections
      ? this.queued.size
      : 0
  }

  /** Whether a client that has ended its side may still be answered; `undefined`: its transport says. */
  get halfOpen(): boolean | undefined {
    const [consumer] = this.consumers
    return consumer?.halfOpen
  }

  /** A connection the transport handed over. */
  arrive(connection: C): void {
    const reason = this.limits.refuses(connection, {
      open: this.connections.open,
      queued: this.queued.size,
      consumer: this.consumers.size > 0,
      makeRoom: this.makeRoom
    })
    if (reason !== undefined) return this.context.refuse(connection, reason)
    this.context.admitted(connection)
    this.queued.add(connection)
    this.match()
    this.hold(connection)
  }

  private readonly makeRoom = (): number => this.context.makeRoom?.() ?? 0

  /** A connection whose accept was interrupted: it is the next to be taken. */
  requeue(connection: C): void {
    this.queued.addFirst(connection)
    this.match()
    this.hold(connection)
  }

  /** A connection that was prepared: ready, or not to come back. */
  ready(connection: C | undefined): void {
    this.preparing--
    if (connection !== undefined) this.requeue(connection)
  }

  private hold(connection: C): void {
    if (connection.list !== this.queued) return
    this.context.held?.(connection)
    this.expireLater()
  }

  /** Takes a connection out, and answers whether it was held. */
  withdraw(connection: C): boolean {
    if (!this.queued.delete(connection)) return false
    const { stopWatching } = connection
    connection.stopWatching = undefined
    stopWatching?.()
    return true
  }

  private expireLater(): void {
    const { first } = this.queued
    if (first === undefined || this.expiring || this.holdLimit === Infinity) return
    this.expiring = true
    // twice, so that a read turn lies between: after a standstill there may be room
    this.timers.schedule(first.since + this.holdLimit, () => {
      this.timers.schedule(this.limits.now() + 1, () => this.expire())
    })
  }

  private expire(): void {
    const latest = this.limits.now() - this.holdLimit
    this.expiring = false
    this.match()
    for (let { first } = this.queued; first !== undefined && first.since <= latest; first = this.queued.first) {
      this.withdraw(first)
      this.context.expired?.(first)
    }
    this.expireLater()
  }

  /** The consumer that takes whatever comes, where there is no other. */
  get sole(): Consumer<C> | undefined {
    return this.server !== undefined && this.consumers.size === 1 ? this.server : undefined
  }

  add(consumer: Consumer<C>): void {
    this.consumers.add(consumer)
    if (!consumer.once) this.server = consumer
    this.match()
  }

  remove(consumer: Consumer<C>): void {
    this.consumers.delete(consumer)
    if (this.server !== consumer) return
    this.server = undefined
    for (const other of this.consumers) if (!other.once) this.server = other
  }

  /** Takes out the consumers that wait for one connection, first come first; those for which one is being prepared stay. */
  removeWaiting(): Array<Consumer<C>> {
    const waiting = Array.from(this.consumers).filter((consumer) => consumer.once).slice(this.preparing)
    for (const consumer of waiting) this.consumers.delete(consumer)
    return waiting
  }

  /** Takes out every connection that no consumer has taken. */
  removeQueued(): Array<C> {
    const left = this.queued.toArray()
    for (const connection of left) this.withdraw(connection)
    return left
  }

  /** The connections that no consumer has taken, oldest first. */
  snapshot(): Array<C> {
    return this.queued.toArray()
  }

  /** What refuses connections: the first consumer that can. */
  refuser(): Consumer<C> | undefined {
    for (const consumer of this.consumers) if (consumer.refuse !== undefined) return consumer
    return undefined
  }

  /**
   * Gives connections to consumers while there are both and admission has room.
   * Taking resumes other fibers at once, which may come back here: the state is
   * settled before each take, and the outermost call goes on.
   */
  match(): void {
    if (this.matching || this.queued.size === 0) return
    this.matching = true
    try {
      while (this.consumers.size > 0) {
        const connection = this.queued.first
        if (connection === undefined) return
        const waits = this.limits.waits(connection, this.connections.open)
        if (waits === Infinity) return this.context.roomWanted?.()
        if (waits !== undefined) return this.matchAt(waits)
        this.limits.take(connection)
        const consumer: Consumer<C> = this.consumers.values().next().value!
        this.withdraw(connection)
        if (consumer.once && this.prepares(connection)) continue
        // in turn, where there are several
        if (consumer.once || this.consumers.size > 1) {
          this.consumers.delete(consumer)
          if (!consumer.once) this.consumers.add(consumer)
        }
        this.connections.add(connection)
        consumer.take(connection)
      }
    } finally {
      this.matching = false
    }
  }

  private prepares(connection: C): boolean {
    const { prepare } = this.context
    if (prepare === undefined) return false
    this.connections.add(connection)
    // before it begins: it may be over at once
    this.preparing++
    if (prepare(connection)) return true
    this.preparing--
    return false
  }

  private matchAt(at: number): void {
    if (at === this.wakeAt) return
    this.cancelWake?.()
    this.wakeAt = at
    this.cancelWake = this.timers.schedule(at, () => {
      this.wakeAt = undefined
      this.match()
    })
  }
}
