/**
 * A whole `Transport` without sockets: bytes in memory, time on Effect's clock,
 * and control over everything that is up to the kernel and the peer.
 *
 * A listener under test binds a `MemoryTransport` like any other; the test
 * connects clients to it, decides what they send, read and when they go, makes
 * the bind or an accept fail, and looks at what is left afterwards. It behaves
 * as TCP does where that matters to a lifetime: a client is connected as soon
 * as it is in the accept queue, a writer waits for a reader once `bufferSize`
 * bytes are between them, a reset destroys what was not read yet, and a socket
 * that is closed with unread input resets its peer.
 *
 * It uses no timer, promise or event loop of its own, so a test is
 * deterministic under `TestClock` and under an exploring `Scheduler`.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type { SecurityFailure } from "@effect-listener/core/ListenerError"
import type { Transport, TransportAcceptError, TransportBindError } from "@effect-listener/core/Transport"
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as internal from "./internal/memory/transport.ts"
import * as MemoryDatagrams from "./MemoryDatagrams.ts"

/**
 * A `Transport` in memory, and the test's side of it.
 *
 * **Details**
 *
 * - `address`: where it binds and where `connect` goes.
 * - `connect`: a client, connected as soon as the "kernel" has accepted it,
 *   also before `accept` is called. Its scope closes it.
 * - `failBind`: the next bind fails with this error.
 * - `failAccept`: the next accept fails with this error, or the next `times`
 *   (default 1); one that is waiting fails at once. No connection is lost.
 * - `fault`: the listening socket dies: every accept fails with this error,
 *   queued clients are reset, new ones are refused.
 * - `open`: connections that the server side has not released yet, by
 *   `goodbye` or `destroy`; the queued ones included. 0 when nothing leaked.
 * - `queued`: connections in the accept queue. `waiting`: fibers that wait in
 *   `accept`.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface MemoryTransport extends Transport {
  readonly address: NetAddress.SocketAddress
  readonly connect: Effect.Effect<Client, ConnectError, Scope.Scope>
  readonly failBind: (error: TransportBindError) => Effect.Effect<void>
  readonly failAccept: (error: TransportAcceptError, times?: number) => Effect.Effect<void>
  readonly fault: (error: TransportAcceptError) => Effect.Effect<void>
  readonly open: Effect.Effect<number>
  readonly queued: Effect.Effect<number>
  readonly waiting: Effect.Effect<number>
}

/**
 * A client of a `MemoryTransport`.
 *
 * **Details**
 *
 * It reads nothing by itself: what is sent to it stays in its "kernel" until a
 * read, and beyond `bufferSize` bytes the server waits. Every read fails with
 * `ConnectionEnded` when the server has ended the connection and all before it
 * was read; a reset destroys what was not read.
 *
 * - `write`: completes when the kernel has taken all bytes.
 * - `read`: the next bytes, at least one.
 * - `readText`: exactly that many bytes as UTF-8 text; without a number the
 *   next bytes.
 * - `readAll`, `readAllText`: everything until the server's FIN.
 * - `received`, `receivedText`: everything that has arrived so far, read or
 *   not; reads nothing.
 * - `ended`: waits until the server's end has arrived, reads nothing, and says
 *   how it ended. `state`: how it stands now; a reset after the FIN, for unread
 *   or late input, shows only here.
 * - `bytesPending`: bytes written, not yet taken by the kernel.
 * - `end`: ends the writing side (FIN) after what was written; reading goes on.
 * - `reset`: resets the connection; reads and writes of the client fail with
 *   `"Closed"` from then on.
 *
 * Closing its scope closes the socket: with unread input a reset, else a FIN,
 * and a reset for what the server sends afterwards.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Client {
  readonly local: NetAddress.SocketAddress
  readonly remote: NetAddress.SocketAddress
  readonly write: (data: string | Uint8Array) => Effect.Effect<void, ConnectionEnded>
  readonly read: Effect.Effect<Uint8Array, ConnectionEnded>
  readonly readText: (bytes?: number) => Effect.Effect<string, ConnectionEnded>
  readonly readAll: Effect.Effect<Uint8Array, ConnectionEnded>
  readonly readAllText: Effect.Effect<string, ConnectionEnded>
  readonly received: Effect.Effect<Uint8Array>
  readonly receivedText: Effect.Effect<string>
  readonly ended: Effect.Effect<"Fin" | "Reset">
  readonly state: Effect.Effect<"Open" | "Fin" | "Reset">
  readonly bytesPending: Effect.Effect<number>
  readonly end: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
}

/**
 * Nothing listens at the address, or the accept queue is full.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class ConnectionRefused extends Data.TaggedError("ConnectionRefused")<{
  readonly address: string
  readonly reason: "NotListening" | "BacklogFull"
}> {
  override get message(): string {
    return `connect to ${this.address} was refused: ${
      this.reason === "NotListening" ? "nothing listens there" : "the accept queue is full"
    }`
  }
}

/**
 * Why a client could not connect.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export type ConnectError = ConnectionRefused

/**
 * The connection has ended: by the server's FIN, by its reset, or by the client
 * itself (`"Closed"`).
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class ConnectionEnded extends Data.TaggedError("ConnectionEnded")<{
  readonly how: "Fin" | "Reset" | "Closed"
}> {
  override get message(): string {
    return this.how === "Fin"
      ? "the server ended the connection"
      : this.how === "Reset"
      ? "the server reset the connection"
      : "the client has ended it itself"
  }
}

/**
 * What is bound to an address: makes a connection that is in its accept queue
 * and gives the client, or says why not.
 *
 * @internal
 */
export type Host = (
  context: Context.Context<never>,
  client: NetAddress.SocketAddress
) => MemoryClient | "BacklogFull"

/**
 * @internal
 */
export interface MemoryClient extends Client {
  readonly close: () => void
}

/**
 * The addresses several transports share: what is bound where.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface MemoryNetwork {
  /** @internal */
  readonly hosts: Map<string, Host>
  /** @internal */
  readonly nextPort: () => number
  /** @internal */
  readonly nextClientPort: () => number
}

/**
 * Makes a network without listeners.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const makeNetwork: Effect.Effect<MemoryNetwork> = Effect.sync(() => {
  let port = 0
  let clientPort = 50_000
  return {
    hosts: new Map(),
    nextPort: () => ++port,
    nextClientPort: () => ++clientPort
  }
})

/**
 * The options of a `MemoryTransport`.
 *
 * **Details**
 *
 * - `name`: default `"memory"`.
 * - `network`: what it shares addresses with. Default: a network of its own.
 * - `address`: default 127.0.0.1 with the network's next port, from 1 on.
 * - `bufferSize`: bytes between writer and reader in each direction; less than 1
 *   is a defect. Default 65,536.
 * - `latency`: how long bytes, ends and connects are on their way, one way.
 *   Default none.
 * - `backlog`: connections in the accept queue. Default 511.
 * - `bindLatency`: how long a bind takes. Default none.
 * - `held`: whether another process has the listening socket, too, and keeps it,
 *   as a service manager does: clients are never refused, and wait in the accept
 *   queue while nothing is bound. It can be bound several times, and each
 *   connection is accepted once. Default `false`.
 * - `resumeLate`: a connection that arrives while a fiber waits in `accept` is
 *   handed over at once, but the fiber goes on from its dispatcher. So a test
 *   can interrupt it before, during and after the hand-over. Default `false`.
 * - `readLate`: the server learns of bytes one turn after they have arrived, and
 *   of none before its first pull; until then `endReading` does not know of them.
 *   So it is with Node, where a drain that does not wait for `settled` loses
 *   them. Default `false`.
 * - `handshake`: what `ready` of every connection does. Default nothing.
 * - `protocol`: of every connection. Default `"memory"`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly name?: string | undefined
  readonly network?: MemoryNetwork | undefined
  readonly address?: NetAddress.SocketAddress | undefined
  readonly bufferSize?: number | undefined
  readonly latency?: Duration.Input | undefined
  readonly backlog?: number | undefined
  readonly bindLatency?: Duration.Input | undefined
  readonly held?: boolean | undefined
  readonly resumeLate?: boolean | undefined
  readonly readLate?: boolean | undefined
  readonly handshake?: Effect.Effect<void, SecurityFailure | Socket.SocketError> | undefined
  readonly protocol?: string | undefined
}

/**
 * Makes a transport in memory.
 *
 * **Details**
 *
 * `stop` of what it binds lets all other fibers run until the accept queue is
 * empty or nothing was accepted for two turns; then it refuses new clients. A
 * client that was not accepted until then stays queued and can still be
 * accepted; the end of the bind's scope ends it with a FIN. `leave` refuses new
 * clients at once and resets those that are queued; of a socket that is `held` it takes
 * nothing more from the queue.
 *
 * **Example** (A connection from connect to goodbye, without a socket)
 *
 * ```ts
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const transport = yield* MemoryTransport.make()
 *   const bound = yield* transport.bind
 *   const client = yield* transport.connect
 *   yield* client.write("ping")
 *
 *   const connection = yield* bound.accept
 *   const reader = yield* connection.socket.reader
 *   const writer = yield* connection.socket.writer
 *   yield* reader.pull
 *   yield* writer.write("pong")
 *   yield* connection.goodbye("none")
 *
 *   return `${yield* client.readAllText} ${yield* client.ended} ${yield* transport.open}`
 * })
 *
 * console.log(Effect.runSync(Effect.scoped(program))) // => pong Fin 0
 * ```
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<MemoryTransport> =>
  internal.make(options, {
    makeNetwork,
    refused: (fields) => new ConnectionRefused(fields),
    ended: (how) => new ConnectionEnded({ how })
  })

/**
 * A `DatagramTransport` in memory: `MemoryDatagrams.make`.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const datagrams: (options?: MemoryDatagrams.Options) => Effect.Effect<MemoryDatagrams.MemoryDatagrams> =
  MemoryDatagrams.make
