import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import type * as Socket from "effect/socket/Socket"
import { type ImmediateEffect, ImmediateTypeId, type ReceivingReader } from "../../transport/receiving.ts"
import type { ChunkHandler, ConnectionImpl } from "../connection.ts"

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

/** Each is handled in a fiber of its own, unless nothing is left to do for it once that has begun. */
class Chunks<E, R> implements ChunkHandler {
  private readonly handle: Handle<E, R>
  private readonly runFork: (effect: Effect.Effect<unknown, E, R>) => Fiber.Fiber<unknown, E>
  running: Fiber.Fiber<unknown, unknown> | undefined

  constructor(connection: ConnectionImpl, handle: Handle<E, R>, context: Context.Context<R>) {
    connection.chunks = this
    this.handle = handle
    this.runFork = Effect.runForkWith(context)
  }

  /** Answers with its exit when it is over by then, and else with its fiber. */
  start(chunk: Uint8Array | string): Exit.Exit<unknown, E> | Fiber.Fiber<unknown, E> {
    const left = this.begin(chunk)
    if (isOver(left)) return left
    const fiber = this.runFork(Effect.withFiber((fiber) => {
      // known before it runs: it may close the listener, or interrupt the fiber that waits for it
      this.running = fiber
      return left
    }))
    return fiber.pollUnsafe() ?? fiber
  }

  private begin(chunk: Uint8Array | string): Effect.Effect<unknown, E, R> {
    try {
      const handling = this.handle(chunk)
      return isImmediate(handling) ? handling.begin() : handling
    } catch (defect) {
      return Exit.die(defect)
    }
  }

  ended(): void {
    this.running = undefined
  }

  get interrupt(): Effect.Effect<void> {
    return Effect.suspend(() => this.running === undefined ? Effect.void : Fiber.interrupt(this.running))
  }
}

/** Asked for each chunk, where `Predicate.hasProperty` is slow. */
const isImmediate = <A, E, R>(
  effect: Effect.Effect<A, E, R> & { readonly [ImmediateTypeId]?: unknown }
): effect is ImmediateEffect<A, E, R> => effect[ImmediateTypeId] !== undefined

/** An effect that is an exit fails with nothing else. */
const isOver = <E, R>(effect: Effect.Effect<unknown, E, R>): effect is Exit.Exit<unknown, E> => Exit.isExit(effect)

const pullEach = Effect.fnUntraced(function*<E, R>(reader: Socket.Reader, chunks: Chunks<E, R>) {
  while (true) {
    for (const chunk of yield* reader.pull) {
      yield* Effect.callback<unknown, E>((resume) => {
        const ended = (exit: Exit.Exit<unknown, E>): void => {
          chunks.ended()
          resume(exit)
        }
        const started = chunks.start(chunk)
        if (Exit.isExit(started)) ended(started)
        else started.addObserver(ended)
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
        const started = chunks.start(chunk)
        if (Exit.isExit(started)) return ended(started)
        started.addObserver((exit) => {
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
