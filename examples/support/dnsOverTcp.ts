/**
 * DNS over TCP: each message has its length before it, in two bytes. Queries are
 * answered as they come and at the same time; each is an exchange, from its first
 * byte to its answer.
 */
import type { Connection } from "@effect-listener/core/Connection"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Semaphore from "effect/Semaphore"
import * as Socket from "effect/socket/Socket"
import { respond } from "./dnsZone.ts"

/** Queries of one connection that are answered at the same time; more than that wait. */
const atOnce = 64

const lengthBytes = 2

export const answerQueries = Effect.fnUntraced(function*(connection: Connection) {
  const pull = yield* Socket.readerBytes(connection.socket)
  const { write } = yield* connection.socket.writer
  const answers = yield* FiberSet.make<void, Socket.SocketError>()
  const room = yield* Semaphore.make(atOnce)

  const answer = (query: Uint8Array, endExchange: () => void) =>
    Effect.flatMap(respond(query), (response) => response === undefined ? Effect.void : write(framed(response))).pipe(
      Effect.ensuring(Effect.andThen(Effect.sync(endExchange), room.release(1)))
    )

  const read = Effect.gen(function*() {
    let buffered: Uint8Array = new Uint8Array(0)
    let endExchange: (() => void) | undefined
    while (true) {
      for (const bytes of yield* pull) {
        buffered = Buffer.concat([buffered, bytes])
        while (buffered.length > 0) {
          // begun at the first byte: half a query that has arrived is waited for, too
          endExchange ??= connection.beginExchange("query")
          const end = endOf(buffered)
          if (buffered.length < end) break
          const query = buffered.subarray(lengthBytes, end)
          buffered = buffered.subarray(end)
          yield* room.take(1)
          yield* FiberSet.run(answers, answer(query, endExchange))
          endExchange = undefined
        }
      }
    }
  })
  // reading ends before the answers do: a client may end its side when it has asked, and a drain ends it for one that
  // asks on
  return yield* Effect.onError(read, () => FiberSet.awaitEmpty(answers))
})

/** Where the first message ends, which may not be there yet. */
const endOf = (buffered: Uint8Array): number =>
  buffered.length < lengthBytes ? lengthBytes : lengthBytes + (buffered[0]! << 8 | buffered[1]!)

const framed = (message: Uint8Array): Uint8Array =>
  Buffer.concat([Uint8Array.of(message.length >> 8, message.length & 255), message])
