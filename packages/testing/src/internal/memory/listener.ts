/**
 * The listening socket of an in-memory transport: its accept queue and the
 * fibers that wait in accept. Connections are numbered in the order in which
 * the "kernel" accepted them.
 */
import { TransportAcceptError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Line } from "./waiters.ts"

/** Turns without an accept after which a sweep with nobody accepting is over. */
const quietTurns = 2

/** A turn of everybody else: a lower priority than any fiber's own yield. */
const turn = Effect.yieldNowWith(Number.MAX_SAFE_INTEGER)

const gone = (cause: string): TransportAcceptError =>
  new TransportAcceptError({ class: "fatal", code: "EBADF", cause: new Error(cause) })

export class MemoryListener<Connection> {
  readonly #backlog: number
  readonly #failures: Array<TransportAcceptError>
  readonly #discard: (connection: Connection) => void
  readonly #sequence: (connection: Connection) => number
  readonly #before: ((connection: Connection) => TransportAcceptError | undefined) | undefined
  readonly #line: Line<Connection, TransportAcceptError>
  #queue: Array<Connection> = []
  #gone: TransportAcceptError | undefined
  #accepted = 0

  constructor(options: {
    readonly backlog: number
    readonly late: boolean
    /** Errors for the next accepts. */
    readonly failures: Array<TransportAcceptError>
    /** Ends a connection that nobody can accept any more. */
    readonly discard: (connection: Connection) => void
    /** Its place in the order in which they were accepted. */
    readonly sequence: (connection: Connection) => number
    /** What an accept of this connection fails with; asked until there is nothing more. */
    readonly before?: ((connection: Connection) => TransportAcceptError | undefined) | undefined
  }) {
    this.#backlog = options.backlog
    this.#failures = options.failures
    this.#discard = options.discard
    this.#sequence = options.sequence
    this.#before = options.before
    this.#line = new Line({
      take: () => this.#take(),
      giveBack: (connection) => this.#giveBack(connection),
      late: options.late
    })
  }

  get full(): boolean {
    return this.#queue.length >= this.#backlog
  }

  get queued(): number {
    return this.#queue.length + this.#line.inHand
  }

  get waiting(): number {
    return this.#line.waiting
  }

  enqueue(connection: Connection): void {
    this.#queue.push(connection)
    this.#line.serve()
  }

  readonly accept: Effect.Effect<Connection, TransportAcceptError> = Effect.suspend(() => this.#line.receive(1))

  /** To be called when there are new failures. */
  failed(): void {
    this.#line.serve()
  }

  /** The listening socket is gone: every accept fails, what is queued is given back to be ended. */
  die(error: TransportAcceptError): ReadonlyArray<Connection> {
    this.#gone ??= error
    const left = this.#queue
    this.#queue = []
    this.#line.serve()
    return left
  }

  close(): ReadonlyArray<Connection> {
    return this.die(gone("the listening socket was closed"))
  }

  /**
   * Sweeps what is queued, then listens no more, then sweeps what came
   * meanwhile. Who is not accepted because nobody accepts stays in the queue.
   */
  stop(unlisten: () => void): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      yield* turn
      yield* this.#sweep(this.#backlog)
      unlisten()
      yield* this.#sweep(Infinity)
    })
  }

  #sweep(limit: number): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const start = this.#accepted
      let quiet = 0
      while (this.queued > 0 && this.#accepted - start < limit && quiet < quietTurns) {
        const before = this.#accepted
        yield* turn
        yield* this.#line.settled
        quiet = this.#accepted === before ? quiet + 1 : 0
      }
    })
  }

  #take(): Exit.Exit<Connection, TransportAcceptError> | undefined {
    if (this.#gone !== undefined) return Exit.fail(this.#gone)
    const failure = this.#failures.shift()
    if (failure !== undefined) return Exit.fail(failure)
    const first = this.#queue[0]
    if (first === undefined) return undefined
    const error = this.#before?.(first)
    if (error !== undefined) return Exit.fail(error)
    this.#queue.shift()
    this.#accepted++
    return Exit.succeed(first)
  }

  #giveBack(connection: Connection): void {
    if (this.#gone !== undefined) return this.#discard(connection)
    const place = this.#sequence(connection)
    const later = this.#queue.findIndex((other) => this.#sequence(other) > place)
    this.#queue.splice(later === -1 ? this.#queue.length : later, 0, connection)
    this.#line.serve()
  }
}
