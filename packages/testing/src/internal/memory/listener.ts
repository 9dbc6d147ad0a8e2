/**
 * The listening socket of an in-memory transport: its accept queue and the
 * fibers that wait in accept. Connections are numbered in the order in which
 * the "kernel" accepted them.
 */
import { TransportAcceptError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Waiters } from "./waiters.ts"

/** Turns without an accept after which a sweep is over. */
const quietTurns = 2

/** A turn of all others: a lower priority than any fiber's own yield. */
const turn = Effect.yieldNowWith(Number.MAX_SAFE_INTEGER)

/** The accept queue of a socket that another process holds as well: the listeners here that take from it come and go. */
export class HeldQueue<Connection> {
  readonly connections: Array<Connection> = []
  readonly takers = new Set<MemoryListener<Connection>>()
  private readonly backlog: number

  constructor(backlog: number) {
    this.backlog = backlog
  }

  get length(): number {
    return this.connections.length
  }

  get full(): boolean {
    return this.connections.length >= this.backlog
  }

  enqueue(connection: Connection): void {
    this.connections.push(connection)
    for (const taker of Array.from(this.takers)) taker.changed()
  }
}

export class MemoryListener<Connection> {
  private readonly backlog: number
  private readonly failures: Array<TransportAcceptError>
  private readonly discard: (connection: Connection) => void
  private readonly sequence: (connection: Connection) => number
  private readonly before: ((connection: Connection) => TransportAcceptError | undefined) | undefined
  private readonly waiters: Waiters<Connection, TransportAcceptError>
  /** Another process may take from it as well. */
  private readonly queue: Array<Connection>
  private readonly held: HeldQueue<Connection> | undefined
  /** It takes no more from the queue: what is left of it is another process's. */
  private left = false
  /** What was given back when the queue was another process's, too. */
  private readonly own: Array<Connection> = []
  private gone: TransportAcceptError | undefined
  private accepted = 0

  constructor(options: {
    readonly backlog: number
    readonly late: boolean
    /** What it takes from, where others do, too. */
    readonly held?: HeldQueue<Connection> | undefined
    /** Errors for the next accepts. */
    readonly failures: Array<TransportAcceptError>
    /** Ends a connection that can no longer be accepted. */
    readonly discard: (connection: Connection) => void
    /** Its place in the order in which they were accepted. */
    readonly sequence: (connection: Connection) => number
    /** What an accept of this connection fails with; asked until there is nothing more. */
    readonly before?: ((connection: Connection) => TransportAcceptError | undefined) | undefined
  }) {
    this.backlog = options.backlog
    this.held = options.held
    this.queue = options.held?.connections ?? []
    options.held?.takers.add(this)
    this.failures = options.failures
    this.discard = options.discard
    this.sequence = options.sequence
    this.before = options.before
    this.waiters = new Waiters({
      take: () => this.take(),
      giveBack: (connection) => this.giveBack(connection),
      late: options.late
    })
  }

  get full(): boolean {
    return this.queue.length >= this.backlog
  }

  get queued(): number {
    return (this.left ? 0 : this.queue.length) + this.own.length + this.waiters.inHand
  }

  get waiting(): number {
    return this.waiters.waiting
  }

  enqueue(connection: Connection): void {
    this.queue.push(connection)
    this.waiters.serve()
  }

  readonly accept: Effect.Effect<Connection, TransportAcceptError> = Effect.suspend(() => this.waiters.receive(1))

  /** To be called when there are new failures, or connections in a queue it shares. */
  changed(): void {
    this.waiters.serve()
  }

  /** The listening socket is gone: every accept fails, what is queued is given back to be ended. */
  die(error: TransportAcceptError): ReadonlyArray<Connection> {
    this.gone ??= error
    const left = this.own.splice(0)
    if (this.held === undefined) left.push(...this.queue.splice(0))
    this.held?.takers.delete(this)
    this.waiters.serve()
    return left
  }

  close(): ReadonlyArray<Connection> {
    return this.die(gone("the listening socket was closed"))
  }

  /**
   * Sweeps what is queued, then listens no more, then sweeps what came
   * meanwhile. A client that is not accepted because nothing accepts stays in the queue.
   */
  stop(unlisten: () => void): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      yield* turn
      yield* this.sweep(this.backlog)
      unlisten()
      this.leaveHeld()
      yield* this.sweep(Infinity)
    })
  }

  /** Listens no more, at once: what is queued stays where it is. Completes when nothing is in hand. */
  leave(unlisten: () => void): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.left = true
      unlisten()
      this.leaveHeld()
      return this.sweep(Infinity)
    })
  }

  private leaveHeld(): void {
    if (this.held === undefined) return
    this.left = true
    this.held.takers.delete(this)
  }

  private sweep(limit: number): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const start = this.accepted
      let quiet = 0
      while (this.queued > 0 && this.accepted - start < limit && quiet < quietTurns) {
        const before = this.accepted
        yield* turn
        yield* this.waiters.settled
        quiet = this.accepted === before ? quiet + 1 : 0
      }
    })
  }

  private take(): Exit.Exit<Connection, TransportAcceptError> | undefined {
    if (this.gone !== undefined) return Exit.fail(this.gone)
    const failure = this.failures.shift()
    if (failure !== undefined) return Exit.fail(failure)
    const queue = this.left || this.own.length > 0 ? this.own : this.queue
    const first = queue[0]
    if (first === undefined) return undefined
    const error = this.before?.(first)
    if (error !== undefined) return Exit.fail(error)
    queue.shift()
    this.accepted++
    return Exit.succeed(first)
  }

  private giveBack(connection: Connection): void {
    if (this.gone !== undefined) return this.discard(connection)
    const place = this.sequence(connection)
    // what was accepted is no longer another process's
    const queue = this.left || this.held !== undefined ? this.own : this.queue
    const later = queue.findIndex((other) => this.sequence(other) > place)
    queue.splice(later === -1 ? queue.length : later, 0, connection)
    this.waiters.serve()
  }
}

const gone = (cause: string): TransportAcceptError =>
  new TransportAcceptError({ class: "fatal", code: "EBADF", cause: new Error(cause) })
