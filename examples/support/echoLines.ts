/**
 * A connection handler that echoes lines; `sleep N` is answered `slept N` after
 * N ms. Each line is an exchange, from its first byte to its answer.
 */
import type { Connection } from "@effect-listener/core/Connection"
import * as Effect from "effect/Effect"
import * as Socket from "effect/socket/Socket"

const newline = 10

export const echoLines = Effect.fnUntraced(function*(connection: Connection) {
  const pull = yield* Socket.readerBytes(connection.socket)
  const { write } = yield* connection.socket.writer
  let pieces: Array<Uint8Array> = []
  let endExchange: (() => void) | undefined
  while (true) {
    for (const bytes of yield* pull) {
      for (let start = 0, end = 0; start < bytes.length; start = end) {
        // begun at the first byte: half a line that has arrived is waited for, too
        endExchange ??= connection.beginExchange("line")
        const at = bytes.indexOf(newline, start)
        end = at < 0 ? bytes.length : at + 1
        pieces.push(bytes.subarray(start, end))
        if (at < 0) break
        const line = Buffer.concat(pieces)
        pieces = []
        yield* write(yield* answer(line))
        endExchange()
        endExchange = undefined
      }
    }
  }
})

const answer = (line: Buffer): Effect.Effect<Uint8Array | string> => {
  const millis = /^sleep (\d+)\r?\n$/.exec(line.toString())?.[1]
  return millis === undefined ? Effect.succeed(line) : Effect.as(Effect.sleep(Number(millis)), `slept ${millis}\n`)
}
