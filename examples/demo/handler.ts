/**
 * The connection handler of the two Effect servers of the demo. They differ in
 * one thing: what `inFlight` does around the work of a line.
 */
import * as Effect from "effect/Effect"
import * as Socket from "effect/socket/Socket"
import { block, body, lineSplitter, parse } from "./protocol.ts"

type InFlight = <A, E>(label: string, work: Effect.Effect<A, E>) => Effect.Effect<A, E>

export const handler = Effect.fnUntraced(
  function*(socket: Socket.Socket, inFlight: InFlight) {
    const pull = yield* Socket.readerString(socket)
    const { write } = yield* socket.writer
    const lines = lineSplitter()
    while (true) {
      for (const text of yield* pull) {
        for (const line of lines(text)) yield* inFlight(line, answer(line, write))
      }
    }
  },
  Effect.scoped,
  // every connection ends with a SocketError, a clean end included: no failure of this server's
  Effect.catchTag("SocketError", () => Effect.void)
)

const answer = (line: string, write: Socket.Writer["write"]): Effect.Effect<void, Socket.SocketError> => {
  const request = parse(line)
  switch (request.verb) {
    case "echo":
      return write(`${request.text}\n`)
    case "sleep":
      return Effect.andThen(Effect.sleep(request.amount), write(`slept ${request.amount}\n`))
    case "bytes":
      return Effect.forEach(body(request.amount), write, { discard: true })
    case "block":
      return Effect.suspend(() => {
        block(request.amount)
        return write("blocked\n")
      })
    case "never":
      return Effect.never
  }
}
