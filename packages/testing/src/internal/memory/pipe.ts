/**
 * One direction of a connection: bytes in order, at most `capacity` of them
 * between writer and reader, then an end.
 *
 * Bytes go from `outgoing` (written, not yet taken by the "kernel") over the
 * wire into `incoming` (arrived, not yet read). What frees room or adds bytes
 * calls `move`. State is settled first and fibers are resumed last, because a
 * resumed fiber runs at once, inside the call, and may come back here. What ends
 * a direction gives back what resumes, so that its caller can settle more first.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { constVoid } from "effect/Function"
import { Waiters } from "./waiters.ts"
import type { Wire } from "./wire.ts"

/** How a direction ended. */
export type Ending = "Fin" | "Reset"

/** Resumes the fibers that an end concerns. */
export type Wake = () => void

export interface Options<E> {
  readonly capacity: number
  readonly wire: Wire
  /** The reader's process learns what has arrived one turn later, and nothing before its first pull. */
  readonly readLate: boolean
  /** Remember what has arrived, for `history`. */
  readonly keepHistory: boolean
  /** The error the reader sees at the peer's end, or after it has closed itself. */
  readonly error: (ending: Ending | "Closed") => E
  /** Called when an end has arrived: a FIN, a reset, or a reset after a FIN. */
  readonly onEnd?: ((ending: Ending) => void) | undefined
  /** Called when bytes arrive at a reader that has closed. */
  readonly onRefused: () => void
}

export class Pipe<E> {
  private readonly options: Options<E>
  private readonly waiters: Waiters<NonEmptyReadonlyArray<Uint8Array>, E>

  private outgoing: Array<Uint8Array> = []
  private writers: Array<{ readonly upTo: number; readonly resume: (exit: Exit.Exit<void, "Dead">) => void }> = []
  private sending: "Open" | "Ending" | "Ended" | "Dead" = "Open"

  private incoming: Array<Uint8Array> = []
  private arrivals: Array<Uint8Array> = []
  private closed = false
  private pulled = false
  private turnIsComing = false
  private endError: E | undefined
  private peerEnding: Ending | undefined
  private watcher: ((ending: Ending) => void) | undefined
  private stopped: E | undefined

  private bytesWritten = 0
  private taken = 0
  private arrived = 0
  /** How much of what has arrived the reader's process has learnt of; looked at only when it reads late. */
  private seen = 0
  private read = 0
  private bytesDelivered = 0

  constructor(options: Options<E>) {
    this.options = options
    this.waiters = new Waiters({
      take: (limit, fiber) => this.take(limit, fiber),
      giveBack: (chunks) => this.giveBack(chunks),
      onHanded: () => this.move(),
      late: false
    })
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  /** Bytes written. */
  get written(): number {
    return this.bytesWritten
  }

  /** Bytes written, not yet taken by the kernel. */
  get pending(): number {
    return this.bytesWritten - this.taken
  }

  /** The FIN is on its way. */
  get ended(): boolean {
    return this.sending === "Ended"
  }

  /** Writes; completes when the kernel has taken all bytes. Fails when the writing side has ended or the peer has reset. */
  write(chunks: ReadonlyArray<Uint8Array>): Effect.Effect<void, "Dead"> {
    return Effect.suspend(() => {
      if (this.sending !== "Open") return Effect.fail("Dead" as const)
      for (const chunk of chunks) {
        if (chunk.length === 0) continue
        this.outgoing.push(chunk.slice())
        this.bytesWritten += chunk.length
      }
      const upTo = this.bytesWritten
      this.move()
      return this.takenUpTo(upTo)
    })
  }

  /** Completes when the kernel has taken everything, or never will. */
  readonly flushed: Effect.Effect<void> = Effect.suspend(() => Effect.ignore(this.takenUpTo(this.bytesWritten)))

  /** Ends the writing side after what is pending. */
  end(): void {
    if (this.sending !== "Open") return
    this.sending = "Ending"
    this.move()
  }

  /** Drops what the kernel has not taken. */
  drop(): Wake {
    this.outgoing = []
    this.bytesWritten = this.taken
    const writers = this.writers
    this.writers = []
    return () => {
      for (const writer of writers) writer.resume(Exit.fail("Dead"))
    }
  }

  /** Ends the writing side without a FIN and drops what is pending. */
  kill(): Wake {
    this.sending = "Dead"
    return this.drop()
  }

  private takenUpTo(upTo: number): Effect.Effect<void, "Dead"> {
    return Effect.callback<void, "Dead">((resume) => {
      if (this.taken >= upTo) return resume(Effect.void)
      if (this.sending === "Dead") return resume(Effect.fail("Dead" as const))
      const writer = { upTo, resume }
      this.writers.push(writer)
      return Effect.sync(() => {
        this.writers = this.writers.filter((other) => other !== writer)
      })
    })
  }

  private move(): void {
    let next = this.outgoing[0]
    let room = this.options.capacity - (this.taken - this.read)
    const sent: Array<Uint8Array> = []
    while (next !== undefined && room > 0) {
      const part = next.length <= room ? next : next.subarray(0, room)
      if (part.length === next.length) this.outgoing.shift()
      else this.outgoing[0] = next.subarray(part.length)
      this.taken += part.length
      room -= part.length
      sent.push(part)
      next = this.outgoing[0]
    }
    const fin = this.sending === "Ending" && next === undefined
    if (fin) this.sending = "Ended"
    const done = this.writers.filter((writer) => writer.upTo <= this.taken)
    this.writers = this.writers.filter((writer) => writer.upTo > this.taken)
    if (sent.length > 0) this.options.wire.send(() => this.arrive(sent))
    if (fin) this.options.wire.send(() => this.finish("Fin")())
    for (const writer of done) writer.resume(Exit.void)
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  /** Bytes that were read; not those a reset or a close discarded. */
  get delivered(): number {
    return this.bytesDelivered
  }

  /** Bytes that have arrived and were not read. */
  get unread(): number {
    return this.arrived - this.read
  }

  /** Whether a pull would complete at once, read late or not. */
  get readable(): boolean {
    return this.unread > 0 || this.endError !== undefined
  }

  /** Whether the reader's process has bytes that its handler does not have yet. */
  get buffered(): boolean {
    return this.waiters.inHand > 0 || (this.unread > 0 && !this.isUnseen)
  }

  /** Reads what is there, at most `limit` bytes, or waits for it. After the last byte it fails with the end. */
  pull(limit = Infinity, owner?: object): Effect.Effect<NonEmptyReadonlyArray<Uint8Array>, E> {
    return this.waiters.receive(limit, owner)
  }

  /** Puts bytes back that were read. */
  unpull(chunks: NonEmptyReadonlyArray<Uint8Array>): void {
    this.giveBack(chunks)
  }

  /** One read turn: a waiting pull gets what has arrived; completes when it has it. */
  readonly readTurn: Effect.Effect<void> = Effect.suspend(() => {
    this.look()
    return this.waiters.settled
  })

  /** How the peer ended, once that has arrived. */
  get ending(): Ending | undefined {
    return this.peerEnding
  }

  /** Everything that has arrived so far, read or not, less what a reset destroyed. */
  get history(): ReadonlyArray<Uint8Array> {
    return this.arrivals
  }

  /** After what is unread, every pull fails with `error`; the writer is not told. */
  stop(error: E): void {
    this.stopped = error
    this.waiters.serve()
  }

  /** Takes `stop` back. */
  restart(): void {
    this.stopped = undefined
  }

  /** Fails the pulls that wait now, or those of one owner. */
  failWaiting(error: E, owner?: object): void {
    this.waiters.fail(error, owner)
  }

  /** The end has arrived. A reset discards what was not read. */
  finish(ending: Ending): Wake {
    // an end that has closed does not see how its peer ends
    if (this.closed) return constVoid
    if (ending === "Reset") this.discard()
    const first = this.peerEnding === undefined
    this.peerEnding = ending
    this.endError = this.options.error(ending)
    return () => {
      this.waiters.serve()
      this.options.onEnd?.(ending)
      if (first) this.watcher?.(ending)
    }
  }

  /**
   * Tells of the peer's end, whether anything is read or not, and of nothing after it: so it is with Node's sockets.
   * The result takes it back.
   */
  watchEnd(watcher: (ending: Ending) => void): () => void {
    this.watcher = watcher
    if (this.peerEnding !== undefined) watcher(this.peerEnding)
    return () => {
      if (this.watcher === watcher) this.watcher = undefined
    }
  }

  /** The reader closes: pulls fail, what is unread is discarded, what still arrives is refused. */
  close(): Wake {
    if (this.closed) return constVoid
    this.closed = true
    this.discard()
    this.endError ??= this.options.error("Closed")
    return () => {
      this.waiters.serve()
      this.move()
    }
  }

  private arrive(chunks: ReadonlyArray<Uint8Array>): void {
    const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    this.arrived += size
    if (this.closed) {
      this.read += size
      return this.options.onRefused()
    }
    this.incoming.push(...chunks)
    if (this.options.keepHistory) this.arrivals.push(...chunks)
    this.waiters.serve()
  }

  /** There are bytes, but the reader's process has not learnt of them. */
  private get isUnseen(): boolean {
    return this.options.readLate && this.unread > 0 && this.seen <= this.read
  }

  private look(): void {
    this.turnIsComing = false
    if (this.pulled) this.seen = this.arrived
    this.waiters.serve()
  }

  private take(
    limit: number,
    fiber: Fiber.Fiber<unknown, unknown>
  ): Exit.Exit<NonEmptyReadonlyArray<Uint8Array>, E> | undefined {
    this.pulled = true
    if (this.isUnseen) {
      if (this.stopped !== undefined) return Exit.fail(this.stopped)
      if (!this.turnIsComing) {
        this.turnIsComing = true
        fiber.currentDispatcher.scheduleTask(() => this.look(), 0)
      }
      return undefined
    }
    const taken: Array<Uint8Array> = []
    let room = limit
    let next = this.incoming[0]
    while (next !== undefined && room > 0) {
      const part = next.length <= room ? next : next.subarray(0, room)
      if (part.length === next.length) this.incoming.shift()
      else this.incoming[0] = next.subarray(part.length)
      room -= part.length
      this.read += part.length
      this.bytesDelivered += part.length
      taken.push(part)
      next = this.incoming[0]
    }
    if (Arr.isReadonlyArrayNonEmpty(taken)) return Exit.succeed(taken)
    const error = this.stopped ?? this.endError
    return error === undefined ? undefined : Exit.fail(error)
  }

  private giveBack(chunks: NonEmptyReadonlyArray<Uint8Array>): void {
    this.incoming.unshift(...chunks)
    for (const chunk of chunks) {
      this.read -= chunk.length
      this.bytesDelivered -= chunk.length
    }
    this.waiters.serve()
  }

  private discard(): void {
    this.incoming = []
    const lost = this.arrived - this.read
    this.read = this.arrived
    for (let left = lost; left > 0;) {
      const last = this.arrivals.pop()
      if (last === undefined) return
      if (last.length > left) this.arrivals.push(last.subarray(0, last.length - left))
      left -= last.length
    }
  }
}
