import type { LingerOptions, TransportConnection } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import type { ConnectionFault } from "../../Faults.ts"
import { toBytes } from "../util/bytes.ts"
import { writeError } from "../util/socketErrors.ts"
import type { Behaviour } from "./behaviour.ts"
import { Change } from "./change.ts"

/** In how many portions a second slow bytes are sent. */
const portions = 20

/** What goes out: bytes written that were not passed on yet. */
export class Outgoing {
  private readonly connection: TransportConnection
  private readonly behaviour: Behaviour
  private readonly note: (fault: ConnectionFault) => void
  private readonly reset: (fault: ConnectionFault) => void
  private readonly runFork: (effect: Effect.Effect<void>) => void
  private readonly changed = new Change()
  private readonly scope = Scope.makeUnsafe()
  private inner: Socket.Writer | undefined
  private queue: Array<Uint8Array> = []
  private moving = false
  private ended = false
  private broken = false
  /** Bytes written, and those of them that wait here. */
  written = 0
  pending = 0
  /** Bytes passed on, and those of them that the connection has taken. */
  private sent = 0
  private taken = 0

  constructor(
    connection: TransportConnection,
    behaviour: Behaviour,
    note: (fault: ConnectionFault) => void,
    reset: (fault: ConnectionFault) => void,
    runFork: (effect: Effect.Effect<void>) => void
  ) {
    this.connection = connection
    this.behaviour = behaviour
    this.note = note
    this.reset = reset
    this.runFork = runFork
  }

  get writer(): Socket.Socket["writer"] {
    return Effect.acquireRelease(
      Effect.map(Scope.provide(this.connection.socket.writer, this.scope), (writer) => {
        this.inner = writer
        return {
          write: (chunk: Uint8Array | string | Socket.CloseEvent) =>
            Socket.isCloseEvent(chunk) ? this.close(writer, chunk) : this.write([chunk]),
          writeAll: (chunks: ReadonlyArray<Uint8Array | string>) => this.write(chunks)
        }
      }),
      () => Effect.sync(() => this.end())
    )
  }

  /** Nothing more goes out. */
  break(): void {
    if (this.broken) return
    this.broken = true
    this.queue = []
    this.pending = 0
    this.changed.wake()
  }

  /** Sends what waits here, then lets the connection say goodbye; interrupted meanwhile, it is abandoned. */
  goodbye(linger: LingerOptions | "none", abandon: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.ended = true
      return Effect.onInterrupt(this.untilTaken(() => this.written), () => abandon)
    }).pipe(
      Effect.andThen(Effect.suspend(() => this.connection.goodbye(linger)))
    )
  }

  private write(chunks: ReadonlyArray<Uint8Array | string>): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => {
      if (this.broken || this.ended) return Effect.fail(writeError())
      for (const chunk of chunks) {
        const bytes = toBytes(chunk)
        if (bytes.length === 0) continue
        // the caller may use its buffer again
        this.queue.push(bytes.slice())
        this.written += bytes.length
        this.pending += bytes.length
      }
      const { written } = this
      this.move()
      return Effect.andThen(
        this.untilTaken(() => written),
        Effect.suspend(() => this.taken < written ? Effect.fail(writeError()) : Effect.void)
      )
    })
  }

  private close(writer: Socket.Writer, event: Socket.CloseEvent): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => {
      if (event.code > 1000) {
        this.break()
        return writer.write(event)
      }
      this.end()
      return Effect.void
    })
  }

  private end(): void {
    this.ended = true
    this.finish()
  }

  /** The connection's own end comes after the last byte. */
  private finish(): void {
    if (this.ended && this.pending === 0 && !this.moving) this.runFork(Scope.close(this.scope, Exit.void))
  }

  private untilTaken(upTo: () => number): Effect.Effect<void> {
    const over = () => this.broken || this.taken >= upTo()
    return Effect.suspend(() =>
      over() ? Effect.void : Effect.whileLoop({
        while: () => !over(),
        body: () => this.changed.wait,
        step: () => {}
      })
    )
  }

  private move(): void {
    const writer = this.inner
    if (writer === undefined || this.moving || this.queue.length === 0) return
    this.moving = true
    this.runFork(
      Effect.gen({ self: this }, function*() {
        while (this.queue.length > 0) {
          const { resetOut, slowFlush, stuckFlush } = this.behaviour
          if (stuckFlush !== undefined && this.sent >= stuckFlush.after) {
            this.note(stuckFlush)
            return
          }
          if (resetOut !== undefined && this.sent >= resetOut.after) return this.reset(resetOut)
          if (slowFlush !== undefined) {
            this.note(slowFlush)
            yield* Effect.sleep(1000 / portions)
          }
          yield* writer.write(this.next())
          this.taken = this.sent
          this.changed.wake()
        }
      }).pipe(
        Effect.catch(() => Effect.sync(() => this.break())),
        Effect.ensuring(Effect.sync(() => {
          this.moving = false
          this.finish()
        }))
      )
    )
  }

  /** The next bytes to pass on, counted as such from now on. */
  private next(): Uint8Array {
    const { resetOut, slowFlush, stuckFlush } = this.behaviour
    const first = this.queue[0] ?? new Uint8Array(0)
    const size = Math.min(
      first.length,
      slowFlush === undefined ? Infinity : Math.max(1, Math.floor(slowFlush.bytesPerSecond / portions)),
      stuckFlush === undefined ? Infinity : stuckFlush.after - this.sent,
      resetOut === undefined ? Infinity : resetOut.after - this.sent
    )
    const bytes = first.subarray(0, size)
    if (size === first.length) this.queue.shift()
    else this.queue[0] = first.subarray(size)
    this.pending -= size
    this.sent += size
    return bytes
  }
}
