/**
 * The transport itself, without a listener.
 */
import type { BoundTransport, LingerOptions, TransportConnection } from "@effect-listener/core/Transport"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { bytesOf, concat } from "../../util/bytes.ts"
import type { Subject } from "../subject.ts"
import { connect, type Peer } from "./clients.ts"
import { type Broken, late, orBroken, start, within } from "./expect.ts"
import { kibi, mebi } from "./pattern.ts"

export const bind = (subject: Subject): Effect.Effect<BoundTransport, Broken, Scope.Scope> =>
  within("bind", orBroken(subject.transport.bind, "bind"))

export const accept = (bound: BoundTransport): Effect.Effect<TransportConnection, Broken> =>
  within("accept", orBroken(bound.accept, "accept"))

/** Accepts for ever, as a listener does. */
export const acceptAll = (bound: BoundTransport, arrive: (connection: TransportConnection) => void) =>
  start(Effect.ignore(Effect.forever(
    Effect.uninterruptibleMask((restore) => Effect.map(restore(bound.accept), arrive)),
    { disableYield: true }
  )))

/** A connection that was accepted, its reader and writer, and its client. */
export interface Pair {
  readonly peer: Peer
  readonly connection: TransportConnection
  readonly reader: Socket.Reader
  readonly writer: Socket.Writer
  readonly pull: Effect.Effect<Uint8Array, Socket.SocketError>
  readonly endWriter: Effect.Effect<void>
}

/** A connection, its handshake done. */
export const pair = (subject: Subject, bound: BoundTransport): Effect.Effect<Pair, Broken, Scope.Scope> =>
  Effect.gen(function*() {
    const peer = yield* connect(subject)
    const connection = yield* accept(bound)
    yield* within("the handshake", orBroken(connection.ready, "the handshake"))
    const reader = yield* orBroken(connection.socket.reader, "the reader")
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => connection.destroy)
    const writer = yield* Scope.provide(connection.socket.writer, scope)
    return {
      peer,
      connection,
      reader,
      writer,
      pull: Effect.map(reader.pull, bytesOf),
      endWriter: Scope.close(scope, Exit.void)
    }
  })

/** Pulls until `bytes` have come. */
export const pullAll = (pull: Pair["pull"], bytes: number): Effect.Effect<Uint8Array, Broken> =>
  within(
    `${bytes} bytes to pull`,
    Effect.gen(function*() {
      const chunks: Array<Uint8Array> = []
      for (let size = 0; size < bytes;) {
        const chunk = yield* orBroken(pull, `a pull after ${size} of ${bytes} bytes`)
        chunks.push(chunk)
        size += chunk.length
      }
      return concat(chunks)
    }),
    late + bytes / kibi
  )

export const linger = (
  options: { readonly idle?: number; readonly total?: number; readonly bytes?: number } = {}
): LingerOptions => ({
  idle: Duration.millis(options.idle ?? 200),
  total: Duration.millis(options.total ?? late),
  bytes: options.bytes ?? 64 * mebi
})

export const closeError = (reason: string): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1001, closeReason: reason }) })

/** Whether this is how a socket says that the peer has ended its side. */
export const isPeerEnd = (error: Socket.SocketError): boolean =>
  error.reason._tag === "SocketCloseError" && error.reason.code === 1000
