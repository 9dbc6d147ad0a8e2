/** Clients of TLS listeners. */
import * as Effect from "effect/Effect"
import type { SocketAddress } from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { Duplex } from "node:stream"
import * as Tls from "node:tls"
import { portOf } from "./listening.ts"
import { makePeer, type Peer } from "./peer.ts"

export interface TlsPeer extends Peer {
  readonly socket: Tls.TLSSocket
}

export interface TlsPeerOptions extends Tls.ConnectionOptions {
  /** Reads nothing before `resume`. */
  readonly paused?: boolean | undefined
}

/** Connects and shakes hands; fails with what Node says when that fails. The scope destroys the socket. */
export const connectTls = (
  to: SocketAddress | number,
  options: TlsPeerOptions
): Effect.Effect<TlsPeer, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const target: Tls.ConnectionOptions & Net.NetConnectOpts = {
      host: "127.0.0.1",
      servername: "localhost",
      ...options,
      port: typeof to === "number" ? to : portOf(to)
    }
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => Tls.connect(target)),
      (socket) => Effect.sync(() => socket.destroy())
    )
    yield* Effect.callback<void, Error>((resume) => {
      socket.once("secureConnect", () => resume(Effect.void))
      socket.once("error", (error) => resume(Effect.fail(error)))
    })
    // what is written is with the server at once, not only when its kernel has acknowledged what came before
    socket.setNoDelay(true)
    const peer: TlsPeer = { ...makePeer(socket), socket }
    if (options.paused !== true) yield* peer.resume
    return peer
  })

/** One TLS record, as a wiretap sees it. */
export interface TlsRecord {
  readonly type: number
  readonly length: number
}

/** The record type of alerts; visible to a wiretap up to TLS 1.2. */
export const alert = 21

/** What a server sends over one TCP connection, record by record, until `"FIN"` or an error. */
export interface Wiretap {
  readonly stream: Duplex
  readonly records: Array<TlsRecord | "FIN" | (string & {})>
}

/** Connects, and lets TLS be spoken over a stream that notes every record of the server. */
export const wiretap = (address: SocketAddress): Effect.Effect<Wiretap, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => Net.connect({ host: "127.0.0.1", port: portOf(address), allowHalfOpen: true })),
      (socket) => Effect.sync(() => socket.destroy())
    ),
    (socket) => {
      const records: Wiretap["records"] = []
      let bytes = Buffer.alloc(0)
      const stream = new Duplex({
        read: () => {},
        write: (chunk, _encoding, done) => {
          socket.write(chunk, done)
        },
        final: (done) => {
          socket.end(done)
        },
        destroy: (error, done) => {
          socket.destroy()
          done(error)
        }
      })
      socket.on("data", (chunk) => {
        bytes = Buffer.concat([bytes, chunk])
        while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt16BE(3)) {
          const length = bytes.readUInt16BE(3)
          records.push({ type: bytes[0]!, length })
          bytes = bytes.subarray(5 + length)
        }
        stream.push(chunk)
      })
      socket.on("end", () => {
        records.push(bytes.length === 0 ? "FIN" : "FIN within a record")
        stream.push(null)
      })
      socket.on("error", (error: NodeJS.ErrnoException) => {
        records.push(error.code ?? error.message)
        stream.destroy(error)
      })
      return { stream, records }
    }
  )
