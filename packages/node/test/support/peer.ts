/**
 * The other end of a connection, as a plain `net.Socket`: what it received and
 * how its connection ended, each as an effect that waits for the thing itself.
 */
import * as Effect from "effect/Effect"
import type { SocketAddress } from "effect/net/NetAddress"
import * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { Changes } from "./changes.ts"
import type { Ending } from "./netClient.ts"

export interface Peer {
  readonly socket: Net.Socket
  /** Writes, and waits until the kernel has taken it. */
  readonly send: (data: string | Uint8Array) => Effect.Effect<void, Error>
  /** Ends the peer's side. */
  readonly end: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
  /** Waits until this many bytes have come. */
  readonly received: (bytes: number) => Effect.Effect<Buffer, Error>
  /** Waits for the end of the connection. */
  readonly ending: Effect.Effect<Ending>
  /** Waits for it, with everything that came before. */
  readonly rest: Effect.Effect<{ readonly data: Buffer; readonly ending: Ending }>
  /** Takes what comes from now on; only needed for a peer made `paused`. */
  readonly resume: Effect.Effect<void>
}

export interface Options {
  /** Reads nothing before `resume`. */
  readonly paused?: boolean | undefined
}

const connectOptions = (address: SocketAddress): Net.NetConnectOpts => {
  switch (address._tag) {
    case "UnixPathAddress":
      return { path: address.path }
    case "InetAddressV4":
      return {
        port: address.port,
        host: NetAddress.isUnspecified(address.address) ? "127.0.0.1" : NetAddress.formatIp(address.address)
      }
    case "InetAddressV6":
      return {
        port: address.port,
        host: NetAddress.isUnspecified(address.address) ? "::1" : NetAddress.formatIp(address.address)
      }
  }
}

/** Connects; the peer is destroyed when the scope closes. */
export const connect = (
  to: SocketAddress | Net.NetConnectOpts,
  options: Options = {}
): Effect.Effect<Peer, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const target = NetAddress.isSocketAddress(to) ? connectOptions(to) : to
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => Net.connect({ allowHalfOpen: true, ...target })),
      (socket) => Effect.sync(() => socket.destroy())
    )
    const peer = makePeer(socket)
    yield* Effect.callback<void, Error>((resume) => {
      socket.once("connect", () => resume(Effect.void))
      socket.once("error", (error) => resume(Effect.fail(error)))
    })
    if (options.paused !== true) yield* peer.resume
    return peer
  })

export const makePeer = (socket: Net.Socket): Peer => {
  const chunks: Array<Buffer> = []
  let bytes = 0
  let ending: Ending | undefined
  const changes = new Changes()
  const ended = (by: Ending) => {
    ending ??= by
    changes.notify()
  }
  socket.on("end", () => ended("FIN"))
  socket.on("error", (error: NodeJS.ErrnoException) => ended(error.code ?? error.message))
  socket.on("close", () => ended("destroyed"))

  return {
    socket,
    send: (data) =>
      Effect.callback((resume) => {
        socket.write(data, (error) => resume(error ? Effect.fail(error) : Effect.void))
      }),
    end: Effect.sync(() => {
      socket.end()
    }),
    reset: Effect.sync(() => {
      socket.resetAndDestroy()
    }),
    received: (count) =>
      changes.until(() =>
        bytes >= count
          ? Effect.succeed(Buffer.concat(chunks))
          : ending !== undefined
          ? Effect.fail(new Error(`ended with ${ending} after ${bytes} of ${count} bytes`))
          : undefined
      ),
    ending: changes.until(() => ending === undefined ? undefined : Effect.succeed(ending)),
    rest: changes.until(() =>
      ending === undefined ? undefined : Effect.succeed({ data: Buffer.concat(chunks), ending })
    ),
    resume: Effect.sync(() => {
      if (socket.listenerCount("data") === 0) {
        socket.on("data", (chunk) => {
          chunks.push(chunk)
          bytes += chunk.length
          changes.notify()
        })
      }
      socket.resume()
    })
  }
}
