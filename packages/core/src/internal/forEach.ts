import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import type * as Socket from "effect/socket/Socket"
import type { ReceivingReader } from "../Transport.ts"
import type { ChunkHandler, ConnectionImpl } from "./connection.ts"

type Handle<E, R> = (chunk: Uint8Array | string) => Effect.Effect<unknown, E, R>

/** Gives each chunk of a connection to `handle`, one after another, until its reader fails. */
export const runForEach = <E, R>(
  connection: ConnectionImpl,
  handle: Handle<E, R>
): Effect.Effect<never, E | Socket.SocketError, R> =>
  Effect.contextWith((context: Context.Context<R>) => {
    const chunks = new Chunks(connection, handle, context)
    return Effect.scoped(
      Effect.flatMap(
        connection.socket.reader,
        (reader) => isReceiving(reader) ? receiveEach(reader, chunks) : pullEach(reader, chunks)
      )
    )
  })

const isReceiving = (reader: Socket.Reader): reader is ReceivingReader => Predicate.hasProperty(reader, "receive")

/** Each is handled in a fiber of its own. */
class Chunks<E, R> implements ChunkHandler {
  private readonly handle: Handle<E, R>
  private readonly runFork: (effect: Effect.Effect<unknown, E, R>) => Fiber.Fiber<unknown, E>
  running: Fiber.Fiber<unknown, unknown> | undefined

  constructor(connection: ConnectionImpl, handle: Handle<E, R>, context: Context.Context<R>) {
    connection.chunks = this
    this.handle = handle
    this.runFork = Effect.runForkWith(context)
  }

  start(chunk: Uint8Array | string): Fiber.Fiber<unknown, E> {
    return this.runFork(Effect.withFiber((fiber) => {
      // known before it runs: it may close the listener, or interrupt who waits for it
      this.running = fiber
      return this.handle(chunk)
    }))
  }

  ended(): void {
    this.running = undefined
  }

  get interrupt(): Effect.Effect<void> {
    return Effect.suspend(() => this.running === undefined ? Effect.void : Fiber.interrupt(this.running))
  }
}

const pullEach = Effect.fnUntraced(function*<E, R>(reader: Socket.Reader, chunks: Chunks<E, R>) {
  while (true) {
    for (const chunk of yield* reader.pull) {
      yield* Effect.callback<unknown, E>((resume) => {
        chunks.start(chunk).addObserver((exit) => {
          chunks.ended()
          resume(exit)
        })
        return chunks.interrupt
      })
    }
  }
})

/** The fiber that waits for the end is not resumed: to suspend it again takes three times as long as a fiber that ends at once. */
const receiveEach = <E, R>(
  reader: ReceivingReader,
  chunks: Chunks<E, R>
): Effect.Effect<never, E | Socket.SocketError> =>
  Effect.callback((resume) => {
    const ended = (exit: Exit.Exit<unknown, E>): boolean => {
      chunks.ended()
      if (Exit.isSuccess(exit)) return true
      resume(Exit.failCause(exit.cause))
      return false
    }
    const receiving = reader.receive({
      chunk: (chunk) => {
        const fiber = chunks.start(chunk)
        const exit = fiber.pollUnsafe()
        if (exit !== undefined) return ended(exit)
        fiber.addObserver((exit) => {
          if (ended(exit)) receiving.next()
        })
        return false
      },
      end: (error) => resume(Effect.fail(error))
    })
    return Effect.suspend(() => {
      receiving.stop()
      return chunks.interrupt
    })
  })
