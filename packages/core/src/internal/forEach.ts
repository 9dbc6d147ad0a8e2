import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import type * as Socket from "effect/socket/Socket"
import type { ReceivingReader } from "../Transport.ts"
import type { ConnectionImpl } from "./connection.ts"

type Handle<E, R> = (chunk: Uint8Array | string) => Effect.Effect<unknown, E, R>

/** Gives each chunk of a connection to `handle`, one after another, until its reader fails. */
export const runForEach = <E, R>(
  connection: ConnectionImpl,
  handle: Handle<E, R>
): Effect.Effect<never, E | Socket.SocketError, R> =>
  Effect.scoped(
    Effect.flatMap(
      connection.socket.reader,
      (reader) => isReceiving(reader) ? receiveEach(connection, reader, handle) : pullEach(reader, handle)
    )
  )

const isReceiving = (reader: Socket.Reader): reader is ReceivingReader => Predicate.hasProperty(reader, "receive")

const pullEach = Effect.fnUntraced(function*<E, R>(reader: Socket.Reader, handle: Handle<E, R>) {
  while (true) {
    for (const chunk of yield* reader.pull) yield* handle(chunk)
  }
})

/**
 * A fiber for each chunk: where handling one waits for nothing, this takes a
 * third of what it takes to resume and suspend the fiber that waits for the end.
 */
const receiveEach = <E, R>(
  connection: ConnectionImpl,
  reader: ReceivingReader,
  handle: Handle<E, R>
): Effect.Effect<never, E | Socket.SocketError, R> =>
  Effect.contextWith((context: Context.Context<R>) =>
    Effect.callback((resume) => {
      const runFork = Effect.runForkWith(context)
      let running: Fiber.Fiber<unknown, unknown> | undefined
      const ended = (exit: Exit.Exit<unknown, E>): boolean => {
        running = connection.chunkFiber = undefined
        if (Exit.isSuccess(exit)) return true
        resume(Exit.failCause(exit.cause))
        return false
      }
      const receiving = reader.receive({
        chunk: (chunk) => {
          const fiber = runFork(Effect.withFiber((fiber) => {
            // known before it runs: it may close the listener, or interrupt who waits here
            running = connection.chunkFiber = fiber
            return handle(chunk)
          }))
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
        return running === undefined ? Effect.void : Fiber.interrupt(running)
      })
    })
  )
