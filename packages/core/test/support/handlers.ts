import type { Connection } from "@effect-listener/core"
import { Deferred, Effect } from "effect"
import { Socket } from "effect/socket"

/** Answers every chunk in an exchange of its own, which is named for it. */
export const answering = <E, R>(
  answer: (text: string, write: Socket.Writer["write"]) => Effect.Effect<unknown, E, R>
) =>
  Effect.fnUntraced(function*(connection: Connection.Connection) {
    const pull = yield* Socket.readerString(connection.socket)
    const { write } = yield* connection.socket.writer
    while (true) {
      for (const text of yield* pull) yield* connection.exchange(text, answer(text, write))
    }
  })

/** Answers every chunk with `got <chunk>`, an exchange each. */
export const echo = answering((text, write) => write(`got ${text}`))

/** A handler that holds one exchange until it is released, and says when it holds it. */
export const makeHolder = Effect.gen(function*() {
  const entered = yield* Deferred.make<Connection.Connection>()
  const release = yield* Deferred.make<void>()
  const handler = Effect.fnUntraced(function*(connection: Connection.Connection) {
    const pull = yield* Socket.readerString(connection.socket)
    const writer = yield* connection.socket.writer
    while (true) {
      const text = (yield* pull).join("")
      yield* connection.exchange(
        `hold ${text}`,
        Effect.gen(function*() {
          yield* Deferred.succeed(entered, connection)
          yield* Deferred.await(release)
          yield* writer.write(`released ${text}`)
        })
      )
    }
  })
  return { entered: Deferred.await(entered), release: Deferred.succeed(release, undefined), handler } as const
})
