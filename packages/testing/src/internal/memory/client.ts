/**
 * The client's end of a connection, as a test uses it.
 */
import * as Arr from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import type { Client, ConnectionEnded } from "../../MemoryTransport.ts"
import { concat, decode, toBytes } from "../util/bytes.ts"
import type { Endpoint } from "./endpoint.ts"
import type { Ending } from "./pipe.ts"

export const make = <Peer>(options: {
  readonly endpoint: Endpoint<ConnectionEnded, Peer>
  readonly local: NetAddress.SocketAddress
  readonly remote: NetAddress.SocketAddress
  /** Completed when the server's end has arrived. */
  readonly ended: Deferred.Deferred<Ending>
  readonly error: (how: ConnectionEnded["how"]) => ConnectionEnded
}): Client => {
  const { incoming, outgoing } = options.endpoint

  /** Reads until `done`; what was read is put back when that fails or is interrupted. */
  const readUntil = (done: (size: number) => boolean, limit: (size: number) => number) =>
    Effect.uninterruptibleMask((restore) => {
      const chunks: Array<Uint8Array> = []
      let size = 0
      return Effect.gen(function*() {
        while (!done(size)) {
          for (const chunk of yield* restore(incoming.pull(limit(size)))) {
            chunks.push(chunk)
            size += chunk.length
          }
        }
        return concat(chunks)
      }).pipe(
        Effect.catchCause((cause) => {
          if (Arr.isReadonlyArrayNonEmpty(chunks)) incoming.unpull(chunks)
          return Effect.failCause(cause)
        })
      )
    })

  const read = readUntil((size) => size > 0, () => Infinity)
  const readText = (bytes?: number) =>
    Effect.map(bytes === undefined ? read : readUntil((size) => size >= bytes, (size) => bytes - size), decode)
  const readAll = Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    return Effect.gen(function*() {
      while (true) for (const chunk of yield* incoming.pull()) chunks.push(chunk)
    }).pipe(Effect.catchIf((error) => error.how === "Fin", () => Effect.succeed(concat(chunks))))
  })
  const received = Effect.sync(() => concat(incoming.history))

  return {
    local: options.local,
    remote: options.remote,
    write: (data) =>
      Effect.mapError(
        Effect.suspend(() => outgoing.write([toBytes(data)])),
        () => options.error(incoming.ending === "Reset" ? "Reset" : "Closed")
      ),
    read,
    readText,
    readAll,
    readAllText: Effect.map(readAll, decode),
    received,
    receivedText: Effect.map(received, decode),
    ended: Deferred.await(options.ended),
    state: Effect.sync(() => incoming.ending ?? "Open"),
    bytesPending: Effect.sync(() => outgoing.pending),
    end: Effect.sync(() => outgoing.end()),
    reset: Effect.sync(options.endpoint.reset)
  }
}
