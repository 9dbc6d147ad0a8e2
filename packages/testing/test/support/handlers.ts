/** Handlers that listeners in tests serve with. */
import type { Connection } from "@effect-listener/core"
import { Effect } from "effect"
import { Socket } from "effect/socket"

/** Answers every chunk with itself, an exchange each. */
export const echo = Effect.fnUntraced(function*(connection: Connection.Connection) {
  const pull = yield* Socket.readerString(connection.socket)
  const { write } = yield* connection.socket.writer
  while (true) for (const text of yield* pull) yield* connection.exchange(text, write(text))
})
