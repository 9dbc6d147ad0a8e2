/**
 * A connection that behaves as badly as its faults say: what comes in passes
 * through `Incoming`, what goes out through `Outgoing`.
 */
import type { FastConnection, LingerOptions, TransportConnection } from "@effect-listener/core/Transport"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import type { ConnectionFault } from "../../Faults.ts"
import { encode } from "../memory/connection.ts"

const systemError = (code: string, message: string): Error => Object.assign(new Error(message), { code })

const resetError = (): Socket.SocketError =>
  new Socket.SocketError({
    reason: new Socket.SocketReadError({ cause: systemError("ECONNRESET", "the connection was reset") })
  })

const writeError = (): Socket.SocketError =>
  new Socket.SocketError({
    reason: new Socket.SocketWriteError({ cause: systemError("EPIPE", "the connection takes no more bytes") })
  })

const closeError = (code: number): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })

/** Fibers that wait until something has changed, to look again. */
class Waiters {
  readonly #waiting = new Set<() => void>()
  readonly wait: Effect.Effect<void> = Effect.callback((resume) => {
    const go = () => resume(Effect.void)
    this.#waiting.add(go)
    return Effect.sync(() => {
      this.#waiting.delete(go)
    })
  })
  wake(): void {
    const waiting = Array.from(this.#waiting)
    this.#waiting.clear()
    for (const go of waiting) go()
  }
}

/** What the faults of one connection mean together. */
export interface Behaviour {
  readonly handshakeClosed: ConnectionFault | undefined
  readonly resetIn: (ConnectionFault & { readonly after: number }) | undefined
  readonly resetOut: (ConnectionFault & { readonly after: number }) | undefined
  readonly silence: (ConnectionFault & { readonly after: number }) | undefined
  readonly halfOpen: (ConnectionFault & { readonly after: number }) | undefined
  readonly slowLoris: (ConnectionFault & { readonly interval: number }) | undefined
  readonly slowFlush: (ConnectionFault & { readonly bytesPerSecond: number }) | undefined
  readonly stuckFlush: (ConnectionFault & { readonly after: number }) | undefined
}

export interface Options {
  readonly connection: TransportConnection
  readonly behaviour: Behaviour
  /** A fault takes effect. */
  readonly onFault: (fault: ConnectionFault) => void
  /** What fibers of the connection itself run with. */
  readonly context: Context.Context<never>
}

export const make = (options: Options): TransportConnection => {
  const { behaviour, connection, context } = options
  const runFork = Effect.runForkWith(context)
  const noted = new Set<ConnectionFault>()
  const note = (fault: ConnectionFault): void => {
    if (noted.has(fault)) return
    noted.add(fault)
    options.onFault(fault)
  }
  /** The peer has reset the connection: so it looks here, and there the other way round. */
  const reset = (fault: ConnectionFault): void => {
    note(fault)
    incoming.end(resetError())
    runFork(destroy)
  }
  const incoming = new Incoming(connection, behaviour, note, reset)
  const outgoing = new Outgoing(connection, behaviour, note, reset, runFork)
  // the connection first: who wakes would end it with a FIN
  const destroy = Effect.suspend(() => {
    incoming.end(closeError(1006))
    return Effect.andThen(
      connection.destroy,
      Effect.sync(() => {
        incoming.wake()
        outgoing.break()
      })
    )
  })
  const { fast } = connection
  const faulty: TransportConnection = {
    remote: connection.remote,
    local: connection.local,
    protocol: connection.protocol,
    socket: Socket.make({ reader: incoming.reader, writer: outgoing.writer }),
    bytesPending: () => outgoing.pending + connection.bytesPending(),
    get fast(): FastConnection | undefined {
      return fast?.owner === connection
        ? { owner: faulty, bytesIn: () => fast.bytesIn(), bytesOut: () => outgoing.written }
        : undefined
    },
    ready: behaviour.handshakeClosed === undefined ? connection.ready : Effect.suspend(() => {
      reset(behaviour.handshakeClosed!)
      return Effect.fail(resetError())
    }),
    endReading: (error) => incoming.endReading(error),
    settled: connection.settled,
    // a client that falls silent does not say either that it has gone
    watchDeparture: behaviour.silence === undefined ? connection.watchDeparture?.bind(connection) : undefined,
    goodbye: (linger) =>
      Effect.suspend(() => {
        incoming.end(closeError(1006))
        incoming.wake()
        return outgoing.goodbye(linger, destroy)
      }),
    destroy
  }
  return faulty
}

/** What comes in: bytes taken from the connection that nobody was given yet, and where it goes wrong. */
class Incoming {
  readonly #connection: TransportConnection
  readonly #behaviour: Behaviour
  readonly #note: (fault: ConnectionFault) => void
  readonly #reset: (fault: ConnectionFault) => void
  readonly #changed = new Waiters()
  #held: Uint8Array = new Uint8Array(0)
  #given = 0
  /** What every pull fails with from now on. */
  #ended: Socket.SocketError | undefined

  constructor(
    connection: TransportConnection,
    behaviour: Behaviour,
    note: (fault: ConnectionFault) => void,
    reset: (fault: ConnectionFault) => void
  ) {
    this.#connection = connection
    this.#behaviour = behaviour
    this.#note = note
    this.#reset = reset
  }

  get reader(): Socket.Socket["reader"] {
    return Effect.flatMap(this.#connection.socket.reader, (reader) => {
      let closed = false
      const pull: Socket.Reader["pull"] = Effect.suspend(() => this.#pull(reader.pull, () => closed))
      return Effect.as(
        Effect.addFinalizer(() =>
          Effect.sync(() => {
            closed = true
            this.#changed.wake()
          })
        ),
        { pull, upgrade: reader.upgrade }
      )
    })
  }

  /** Every pull fails from now on; those that wait have to be woken. */
  end(error: Socket.SocketError): void {
    this.#ended ??= error
  }

  wake(): void {
    this.#changed.wake()
  }

  endReading(error: Socket.SocketError): boolean {
    if (this.#ended !== undefined) return true
    if (!this.#isSilent) {
      if (this.#held.length > 0) return false
      if (!this.#connection.endReading(error)) return false
    }
    this.end(error)
    this.wake()
    return true
  }

  /** How many bytes may still be given before this fault takes effect. */
  #left(fault: { readonly after: number } | undefined): number {
    return fault === undefined ? Infinity : Math.max(0, fault.after - this.#given)
  }

  get #isSilent(): boolean {
    return this.#left(this.#behaviour.silence) === 0
  }

  #pull(
    inner: Socket.Reader["pull"],
    closed: () => boolean
  ): Effect.Effect<NonEmptyReadonlyArray<Uint8Array>, Socket.SocketError> {
    const again = Effect.suspend(() => this.#pull(inner, closed))
    const { halfOpen, resetIn, silence, slowLoris } = this.#behaviour
    if (closed()) return Effect.fail(closeError(1006))
    if (this.#ended !== undefined) return Effect.fail(this.#ended)
    if (resetIn !== undefined && this.#left(resetIn) === 0) {
      this.#reset(resetIn)
      return again
    }
    if (halfOpen !== undefined && this.#left(halfOpen) === 0) {
      this.#note(halfOpen)
      return Effect.fail(closeError(1000))
    }
    if (silence !== undefined && this.#isSilent) {
      this.#note(silence)
      return Effect.andThen(this.#changed.wait, again)
    }
    if (this.#held.length === 0) return Effect.andThen(this.#take(inner), again)
    if (slowLoris === undefined) return this.#give(Infinity)
    this.#note(slowLoris)
    return Effect.raceFirst(Effect.sleep(slowLoris.interval), this.#changed.wait).pipe(
      Effect.andThen(Effect.suspend(() => closed() || this.#ended !== undefined ? again : this.#give(1)))
    )
  }

  /** What is taken is held here before anything else can happen. */
  #take(inner: Socket.Reader["pull"]): Effect.Effect<void, Socket.SocketError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.matchEffect(restore(inner), {
        onSuccess: (chunks) =>
          Effect.sync(() => {
            const bytes = chunks.map(encode)
            this.#held = bytes.length === 1 ? bytes[0]! : concat(bytes)
          }),
        onFailure: (error) => Effect.fail(this.#ended ?? error)
      })
    )
  }

  /** In one step, so that bytes are either held or the caller's. */
  #give(limit: number): Effect.Effect<NonEmptyReadonlyArray<Uint8Array>> {
    return Effect.sync(() => {
      const { halfOpen, resetIn, silence } = this.#behaviour
      const size = Math.min(limit, this.#left(halfOpen), this.#left(resetIn), this.#left(silence))
      const bytes = this.#held.subarray(0, size)
      this.#held = this.#held.subarray(bytes.length)
      this.#given += bytes.length
      return [bytes]
    })
  }
}

const concat = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}

/** In how many portions a second slow bytes are sent. */
const portions = 20

/** What goes out: bytes written that were not passed on yet. */
class Outgoing {
  readonly #connection: TransportConnection
  readonly #behaviour: Behaviour
  readonly #note: (fault: ConnectionFault) => void
  readonly #reset: (fault: ConnectionFault) => void
  readonly #runFork: (effect: Effect.Effect<void>) => void
  readonly #changed = new Waiters()
  readonly #scope = Scope.makeUnsafe()
  #writer: Socket.Writer | undefined
  #queue: Array<Uint8Array> = []
  #moving = false
  #ended = false
  #broken = false
  /** Bytes written, and those of them that wait here. */
  written = 0
  pending = 0
  /** Bytes passed on, and those of them that the connection has taken. */
  #sent = 0
  #taken = 0

  constructor(
    connection: TransportConnection,
    behaviour: Behaviour,
    note: (fault: ConnectionFault) => void,
    reset: (fault: ConnectionFault) => void,
    runFork: (effect: Effect.Effect<void>) => void
  ) {
    this.#connection = connection
    this.#behaviour = behaviour
    this.#note = note
    this.#reset = reset
    this.#runFork = runFork
  }

  get writer(): Socket.Socket["writer"] {
    return Effect.acquireRelease(
      Effect.map(Scope.provide(this.#connection.socket.writer, this.#scope), (writer) => {
        this.#writer = writer
        return {
          write: (chunk: Uint8Array | string | Socket.CloseEvent) =>
            Socket.isCloseEvent(chunk) ? this.#close(writer, chunk) : this.#write([chunk]),
          writeAll: (chunks: ReadonlyArray<Uint8Array | string>) => this.#write(chunks)
        }
      }),
      () => Effect.sync(() => this.#end())
    )
  }

  /** Nothing goes out any more. */
  break(): void {
    if (this.#broken) return
    this.#broken = true
    this.#queue = []
    this.pending = 0
    this.#changed.wake()
  }

  /** Sends what waits here, then lets the connection say goodbye; interrupted meanwhile, it is abandoned. */
  goodbye(linger: LingerOptions | "none", abandon: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#ended = true
      return Effect.onInterrupt(this.#untilTaken(() => this.written), () => abandon)
    }).pipe(
      Effect.andThen(Effect.suspend(() => this.#connection.goodbye(linger)))
    )
  }

  #write(chunks: ReadonlyArray<Uint8Array | string>): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => {
      if (this.#broken || this.#ended) return Effect.fail(writeError())
      for (const chunk of chunks) {
        const bytes = encode(chunk)
        if (bytes.length === 0) continue
        // the caller may use its buffer again
        this.#queue.push(bytes.slice())
        this.written += bytes.length
        this.pending += bytes.length
      }
      const { written } = this
      this.#move()
      return Effect.andThen(
        this.#untilTaken(() => written),
        Effect.suspend(() => this.#taken < written ? Effect.fail(writeError()) : Effect.void)
      )
    })
  }

  #close(writer: Socket.Writer, event: Socket.CloseEvent): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => {
      if (event.code > 1000) {
        this.break()
        return writer.write(event)
      }
      this.#end()
      return Effect.void
    })
  }

  #end(): void {
    this.#ended = true
    this.#finish()
  }

  /** The connection's own end comes after the last byte. */
  #finish(): void {
    if (this.#ended && this.pending === 0 && !this.#moving) this.#runFork(Scope.close(this.#scope, Exit.void))
  }

  #untilTaken(upTo: () => number): Effect.Effect<void> {
    const over = () => this.#broken || this.#taken >= upTo()
    return Effect.suspend(() =>
      over() ? Effect.void : Effect.whileLoop({
        while: () => !over(),
        body: () => this.#changed.wait,
        step: () => {}
      })
    )
  }

  #move(): void {
    const writer = this.#writer
    if (writer === undefined || this.#moving || this.#queue.length === 0) return
    this.#moving = true
    this.#runFork(
      Effect.gen({ self: this }, function*() {
        while (this.#queue.length > 0) {
          const { resetOut, slowFlush, stuckFlush } = this.#behaviour
          if (stuckFlush !== undefined && this.#sent >= stuckFlush.after) {
            this.#note(stuckFlush)
            return
          }
          if (resetOut !== undefined && this.#sent >= resetOut.after) return this.#reset(resetOut)
          if (slowFlush !== undefined) {
            this.#note(slowFlush)
            yield* Effect.sleep(1000 / portions)
          }
          yield* writer.write(this.#next())
          this.#taken = this.#sent
          this.#changed.wake()
        }
      }).pipe(
        Effect.catch(() => Effect.sync(() => this.break())),
        Effect.ensuring(Effect.sync(() => {
          this.#moving = false
          this.#finish()
        }))
      )
    )
  }

  /** The next bytes to pass on, counted as such from now on. */
  #next(): Uint8Array {
    const { resetOut, slowFlush, stuckFlush } = this.#behaviour
    const first = this.#queue[0] ?? new Uint8Array(0)
    const size = Math.min(
      first.length,
      slowFlush === undefined ? Infinity : Math.max(1, Math.floor(slowFlush.bytesPerSecond / portions)),
      stuckFlush === undefined ? Infinity : stuckFlush.after - this.#sent,
      resetOut === undefined ? Infinity : resetOut.after - this.#sent
    )
    const bytes = first.subarray(0, size)
    if (size === first.length) this.#queue.shift()
    else this.#queue[0] = first.subarray(size)
    this.pending -= size
    this.#sent += size
    return bytes
  }
}
