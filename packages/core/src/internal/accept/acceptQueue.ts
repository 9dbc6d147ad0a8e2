import type { ListenerFaulted, OperationAborted } from "../../ListenerError.ts"
import { type Linked, LinkedList } from "../util/linkedList.ts"
import type { Timers } from "../util/timers.ts"
import type { RefusalReason } from "./admission.ts"
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
  /** How this consumer refuses what admission does not let in. */
  readonly refuse?: ((connection: C) => void) | undefined
}

/** What the queue tells its listener. */
export interface QueueContext<C> {
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
  private matching = false
  /** Matches again when the rate lets the next one in. */
  private wakeAt: number | undefined
  private cancelWake: (() => void) | undefined

  constructor(
    connections: Open<C>,
    limits: Limits,
    timers: Timers,
    context: QueueContext<C>
  ) {
    this.connections = connections
    this.limits = limits
    this.timers = timers
    this.context = context
  }

  get size(): number {
    return this.queued.size
  }

  /** A connection the transport handed over. */
  arrive(connection: C): void {
    const reason = this.limits.refuses(connection, {
      open: this.connections.open,
      queued: this.queued.size,
      consumer: this.consumers.size > 0
    })
    if (reason !== undefined) return this.context.refuse(connection, reason)
    this.context.admitted(connection)
    this.queued.add(connection)
    this.match()
  }

  /** A connection whose accept was interrupted: it is the next to be taken. */
  requeue(connection: C): void {
    this.queued.addFirst(connection)
    this.match()
  }

  add(consumer: Consumer<C>): void {
    this.consumers.add(consumer)
    this.match()
  }

  remove(consumer: Consumer<C>): void {
    this.consumers.delete(consumer)
  }

  /** Takes out all that wait for one connection, first come first. */
  removeWaiting(): Array<Consumer<C>> {
    const waiting = Array.from(this.consumers).filter((consumer) => consumer.once)
    for (const consumer of waiting) this.consumers.delete(consumer)
    return waiting
  }

  /** Takes out every connection that no consumer has taken. */
  removeQueued(): Array<C> {
    const left = this.queued.toArray()
    for (const connection of left) this.queued.delete(connection)
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
        if (waits !== undefined) return this.matchAt(waits)
        this.limits.take(connection)
        const consumer: Consumer<C> = this.consumers.values().next().value!
        this.queued.delete(connection)
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
