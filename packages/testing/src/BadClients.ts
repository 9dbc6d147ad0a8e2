/**
 * Clients over real sockets that do not behave, for tests of servers.
 *
 * Browsers connect in advance and say nothing; crawlers send half a request;
 * phones vanish; attackers read one byte a second. A server that closes while
 * they are there must not wait for them longer than it may, and must not cut
 * those that behave. Each client here does one such thing, says when it has
 * done it, and tells what it saw. Its scope closes its socket.
 *
 * It opens sockets with Node, so it is a module of its own:
 * `import * as BadClients from "@effect-listener/testing/BadClients"`.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as DurationOption from "@effect-listener/core/DurationOption"
import { InvalidArgument } from "@effect-listener/core/ListenerError"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type * as Tls from "node:tls"
import { begin, type Ended, type NodeClient } from "./internal/clients/nodeClient.ts"

/**
 * Where to connect: a port, or the path of a Unix socket.
 *
 * **Details**
 *
 * `host` is an IP address, 127.0.0.1 by default. With `tls` the client speaks
 * TLS; it believes every certificate unless these options say otherwise.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Target =
  | {
    readonly host?: string | undefined
    readonly port: number
    readonly tls?: Tls.ConnectionOptions | undefined
  }
  | { readonly path: string }

/**
 * What a client has seen so far.
 *
 * **Details**
 *
 * - `connected`: whether it ever was.
 * - `sent`, `received`: bytes written, and bytes read; those of a TLS client
 *   are what it carried, not what went over the wire.
 * - `ending`: `"Fin"` when the server has ended its side, `"Reset"` when the
 *   connection failed or was broken off, `"Closed"` when the client itself has
 *   closed it. A client that does not read learns of none of them.
 * - `code`: the system's name of the error, such as `ECONNREFUSED`.
 * - `millis`: from the beginning to the end, or to now.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Observed {
  readonly connected: boolean
  readonly sent: number
  readonly received: number
  readonly ending: "Open" | "Fin" | "Reset" | "Closed"
  readonly code: string | undefined
  readonly millis: number
}

/**
 * A client, which can also be told to behave: to send the rest, to read, to
 * end.
 *
 * **Details**
 *
 * - `write`: completes when the kernel has taken it.
 * - `read`: the next bytes, at least one. Nothing is read before it is asked.
 * - `end`: ends the writing side (FIN); reading goes on.
 * - `reset`: breaks the connection off; on Unix sockets, closes it.
 * - `ended`: reads and drops what comes until the connection ends, and says
 *   how; a connection the client itself has closed was `"Reset"`.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Client {
  readonly write: (data: string | Uint8Array) => Effect.Effect<void, ConnectionEnded>
  readonly read: Effect.Effect<Uint8Array, ConnectionEnded>
  readonly end: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
  readonly ended: Effect.Effect<"Fin" | "Reset">
  readonly observed: Effect.Effect<Observed>
}

/**
 * Nothing listens there, or it could not be reached.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class ConnectError extends Data.TaggedError("ConnectError")<{
  readonly code: string | undefined
  readonly cause: unknown
}> {
  override get message(): string {
    return `connecting failed${this.code === undefined ? "" : ` (${this.code})`}`
  }
}

/**
 * The connection gives or takes no more bytes: by the server's FIN, because
 * it was broken off, or because the client itself has closed it. `cause` is
 * what Node said, if it said anything.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class ConnectionEnded extends Data.TaggedError("ConnectionEnded")<{
  readonly how: "Fin" | "Reset" | "Closed"
  readonly cause: unknown
}> {
  override get message(): string {
    return this.how === "Fin"
      ? "the server has ended the connection"
      : this.how === "Reset"
      ? "the connection was broken off"
      : "the client has closed the connection itself"
  }
}

/**
 * A client that behaves, to be made what one needs.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const connect = (target: Target): Effect.Effect<Client, ConnectError, Scope.Scope> =>
  Effect.flatMap(begin(target), (client) =>
    Effect.flatMap(client.connected, (connected) =>
      connected
        ? Effect.succeed(clientOf(client))
        : new ConnectError({ code: client.observed.code, cause: client.failure })))

const clientOf = (client: NodeClient): Client => ({
  write: (data) => Effect.mapError(client.write(data), connectionEnded),
  read: Effect.mapError(client.read(), connectionEnded),
  end: client.end,
  reset: client.reset,
  ended: Effect.map(client.ended, (ending) => ending === "Fin" ? ending : "Reset"),
  observed: Effect.sync(() => client.observed)
})

const connectionEnded = (ended: Ended): ConnectionEnded => new ConnectionEnded(ended)

/**
 * Clients that connect in one turn of this process' event loop. A server in the
 * same process has seen none of them when this completes: they are in the
 * accept queue of the kernel.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const crowd = (target: Target, clients: number): Effect.Effect<ReadonlyArray<Client>, never, Scope.Scope> =>
  Effect.tap(
    Effect.forEach(Array.from({ length: clients }), () => Effect.map(begin(target), clientOf)),
    // Node connects one tick later, and the kernel at once
    Effect.callback<void>((resume) => process.nextTick(() => resume(Effect.void)))
  )

/**
 * What clients of HTTP and similar protocols send.
 *
 * **Details**
 *
 * `request`: default a GET of `/` in HTTP/1.1.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface RequestOptions {
  readonly request?: string | undefined
}

const get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

/**
 * Connects and says nothing, as browsers do in advance.
 *
 * @stability experimental
 * @category clients
 * @since 0.1.0
 */
export const preconnect = (target: Target): Effect.Effect<Client, never, Scope.Scope> => bad(target, () => Effect.void)

/** A client that has done its deed; one whose connection fails meanwhile is told by `observed`. */
const bad = (
  target: Target,
  deed: (client: NodeClient) => Effect.Effect<unknown, Ended, Scope.Scope>
): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* begin(target)
    if (yield* client.connected) yield* Effect.ignore(deed(client))
    return clientOf(client)
  })

/**
 * Sends the first half of a request and stops. `write` sends the rest.
 *
 * @stability experimental
 * @category clients
 * @since 0.1.0
 */
export const halfHead = (target: Target, options?: RequestOptions): Effect.Effect<Client, never, Scope.Scope> => {
  const request = options?.request ?? get
  return bad(target, (client) => client.write(request.slice(0, Math.floor(request.length / 2))))
}

/** The beginning of a TLS record that announces a ClientHello of 508 bytes, and 91 of its bytes. */
const helloBeginning = Uint8Array.from([
  0x16,
  3,
  1,
  2,
  0,
  1,
  0,
  1,
  0xfc,
  3,
  3,
  ...Array.from({ length: 89 }, (_, i) => i)
])

/**
 * Sends half of a TLS ClientHello and stops.
 *
 * @stability experimental
 * @category clients
 * @since 0.1.0
 */
export const halfClientHello = (target: Target): Effect.Effect<Client, never, Scope.Scope> =>
  bad("path" in target ? target : { ...target, tls: undefined }, (client) => client.write(helloBeginning))

/**
 * Sends a request and reads the answer slowly.
 *
 * **Details**
 *
 * `bytesPerSecond`: default 1,024. Between reads everything waits in the
 * kernels, and then in the server. Fails with `InvalidArgument` where it is not
 * more than 0.
 *
 * @stability experimental
 * @category clients
 * @since 0.1.0
 */
export const slowReader = (
  target: Target,
  options?: RequestOptions & { readonly bytesPerSecond?: number | undefined }
): Effect.Effect<Client, InvalidArgument, Scope.Scope> => {
  const { bytesPerSecond = 1024 } = options ?? {}
  if (!(bytesPerSecond > 0 && bytesPerSecond < Infinity)) {
    return invalid("slowReader", {
      parameter: "bytesPerSecond",
      detail: `expected a number of more than 0, got ${Formatter.format(bytesPerSecond)}`
    })
  }
  const portion = Math.max(1, Math.floor(bytesPerSecond / 10))
  return bad(target, (client) =>
    Effect.andThen(
      client.write(options?.request ?? get),
      Effect.forkScoped(Effect.ignore(Effect.forever(Effect.andThen(client.read(portion), Effect.sleep(100)))))
    ))
}

const invalid = (operation: string, bad: DurationOption.BadOption): Effect.Effect<never, InvalidArgument> =>
  Effect.fail(new InvalidArgument({ operation, listener: "bad client", trail: [], ...bad }))

/**
 * Sends a request one byte at a time, for ever slowly: a slow loris.
 *
 * **Details**
 *
 * `interval`: between two bytes, default 100 ms. It is done when the first byte
 * is sent; it goes on until the request is, and then reads. Fails with
 * `InvalidArgument` where `interval` cannot be used.
 *
 * @stability experimental
 * @category clients
 * @since 0.1.0
 */
export const slowWriter = (
  target: Target,
  options?: RequestOptions & { readonly interval?: Duration.Input | undefined }
): Effect.Effect<Client, InvalidArgument, Scope.Scope> => {
  const interval = DurationOption.millis("interval", options?.interval ?? 100)
  if (Result.isFailure(interval)) return invalid("slowWriter", interval.failure)
  const [first, ...rest] = new TextEncoder().encode(options?.request ?? get)
  const slowly = (client: NodeClient) =>
    Effect.forEach(
      rest,
      (byte) => Effect.andThen(Effect.sleep(interval.success), client.write(Uint8Array.of(byte))),
      { discard: true }
    )
  return bad(target, (client) =>
    first === undefined ? Effect.void : Effect.andThen(
      client.write(Uint8Array.of(first)),
      // reading from the beginning on, it learns of an end
      Effect.all([
        Effect.forkScoped(Effect.ignore(slowly(client))),
        Effect.forkScoped(client.ended)
      ])
    ))
}

/**
 * Opens a WebSocket, and from then on reads everything and answers nothing: no
 * ping, and no close.
 *
 * **Details**
 *
 * `path`: default `/`. It is done when the server has agreed to the upgrade;
 * an answer that does not is told by `observed` as an end.
 *
 * @stability experimental
 * @category clients
 * @since 0.1.0
 */
export const silentWebSocket = (
  target: Target,
  options?: { readonly path?: string | undefined }
): Effect.Effect<Client, never, Scope.Scope> =>
  bad(target, (client) =>
    Effect.gen(function*() {
      yield* client.write(
        `GET ${options?.path ?? "/"} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
      )
      const decoder = new TextDecoder()
      let head = ""
      while (!head.includes("\r\n\r\n")) head += decoder.decode(yield* client.read(), { stream: true })
      if (head.startsWith("HTTP/1.1 101 ")) yield* Effect.forkScoped(client.ended)
      else client.close()
    }))

/**
 * Sends a request and is gone: it reads nothing more, and neither ends nor
 * resets, as a phone in a tunnel.
 *
 * **Details**
 *
 * The kernel goes on answering for it, so what is lost here is everything but
 * the acknowledgements: a server learns of nothing, and its sends fill up.
 *
 * @stability experimental
 * @category clients
 * @since 0.1.0
 */
export const vanished = (target: Target, options?: RequestOptions): Effect.Effect<Client, never, Scope.Scope> =>
  bad(target, (client) => client.write(options?.request ?? get))

/**
 * Sends a request, ends its side at once, and waits for the answer.
 *
 * @stability experimental
 * @category clients
 * @since 0.1.0
 */
export const finThenWait = (target: Target, options?: RequestOptions): Effect.Effect<Client, never, Scope.Scope> =>
  bad(target, (client) => Effect.andThen(client.write(options?.request ?? get), client.end))

/**
 * Sends many requests without waiting for answers.
 *
 * **Details**
 *
 * `count`: default 16.
 *
 * @stability experimental
 * @category clients
 * @since 0.1.0
 */
export const pipeliner = (
  target: Target,
  options?: RequestOptions & { readonly count?: number | undefined }
): Effect.Effect<Client, never, Scope.Scope> =>
  bad(target, (client) => client.write((options?.request ?? get).repeat(options?.count ?? 16)))

/**
 * Sends a request, reads the beginning of the answer, and resets the
 * connection.
 *
 * **Details**
 *
 * `after`: how many bytes it reads first, default 1.
 *
 * @stability experimental
 * @category clients
 * @since 0.1.0
 */
export const resetMidResponse = (
  target: Target,
  options?: RequestOptions & { readonly after?: number | undefined }
): Effect.Effect<Client, never, Scope.Scope> =>
  bad(target, (client) =>
    Effect.gen(function*() {
      yield* client.write(options?.request ?? get)
      const after = options?.after ?? 1
      for (let left = after; left > 0;) left -= (yield* client.read(left)).length
      yield* client.reset
    }))
