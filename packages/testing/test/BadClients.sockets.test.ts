import * as BadClients from "@effect-listener/testing/BadClients"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Tls from "node:tls"
import { selfSigned } from "../../node/test/support/certificates.ts"

/** What a server has seen of its latest client. */
interface Seen {
  text: string
  ended: boolean
  error: string | undefined
}

/** A server that notes what comes, and does what it is told with each client. */
const server = (
  onClient: (socket: Net.Socket, seen: Seen) => void = () => {},
  listen: Net.ListenOptions = { host: "127.0.0.1", port: 0 },
  make: (options: Net.ServerOpts, listener: (socket: Net.Socket) => void) => Net.Server = Net.createServer
) =>
  Effect.gen(function*() {
    const sockets = new Set<Net.Socket>()
    const clients: Array<Seen> = []
    const server = make({ allowHalfOpen: true }, (socket) => {
      const seen: Seen = { text: "", ended: false, error: undefined }
      clients.push(seen)
      socket.on("data", (chunk) => {
        seen.text += chunk.toString("latin1")
      })
      socket.on("end", () => {
        seen.ended = true
      })
      socket.on("error", (error: NodeJS.ErrnoException) => {
        seen.error = error.code
      })
      onClient(socket, seen)
    })
    // of TLS and HTTP servers, too
    server.on("connection", (socket) => sockets.add(socket))
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen(listen, () => resume(Effect.void))
      }),
      () =>
        Effect.callback<void>((resume) => {
          for (const socket of sockets) socket.destroy()
          server.close(() => resume(Effect.void))
        })
    )
    const address = server.address()
    const port = address === null || typeof address === "string" ? 0 : address.port
    return { port, clients, sockets }
  })

/** Waits until something is so, where nothing announces it. */
const until = (condition: () => boolean) =>
  Effect.whileLoop({ while: () => !condition(), body: () => Effect.sleep(2), step: () => {} }).pipe(
    Effect.timeout("5 seconds")
  )

const observed = (client: BadClients.Client) =>
  Effect.map(client.observed, ({ connected, ending }) => `${connected ? "connected" : "not connected"}, ${ending}`)

const get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

describe("BadClients", () => {
  it.live("connect: a client that behaves", () =>
    Effect.gen(function*() {
      const { clients, port } = yield* server((socket) => socket.once("data", () => socket.end("answer")))
      const client = yield* BadClients.connect({ port })
      yield* client.write("hello")
      assert.strictEqual(new TextDecoder().decode(yield* client.read), "answer")
      const error = yield* Effect.flip(client.read)
      assert.strictEqual(error.how, "Fin")
      assert.strictEqual(yield* client.ended, "Fin")
      yield* client.end
      yield* until(() => clients[0]?.ended === true)
      const { code, received, sent } = yield* client.observed
      assert.deepStrictEqual([sent, received, code], [5, 6, undefined])
    }))

  it.live("connect fails where nothing listens, and a bad client tells it", () =>
    Effect.gen(function*() {
      const { port } = yield* Effect.scoped(server())
      const error = yield* Effect.flip(BadClients.connect({ port }))
      assert.strictEqual(error.code, "ECONNREFUSED")
      const client = yield* BadClients.preconnect({ port })
      assert.strictEqual(yield* observed(client), "not connected, Reset")
      assert.strictEqual((yield* client.observed).code, "ECONNREFUSED")
    }))

  it.live("reset breaks off; the scope of a client closes it", () =>
    Effect.gen(function*() {
      const { clients, port } = yield* server()
      const client = yield* BadClients.connect({ port })
      yield* client.reset
      yield* until(() => clients[0]?.error === "ECONNRESET")
      assert.strictEqual(yield* observed(client), "connected, Closed")
      yield* Effect.scoped(BadClients.preconnect({ port }))
      yield* until(() => clients[1]?.ended === true)
    }))

  it.live("crowd: all are in the kernel's queue before the server has seen one", () =>
    Effect.gen(function*() {
      const { clients, port } = yield* server()
      const crowd = yield* BadClients.crowd({ port }, 8)
      assert.strictEqual(clients.length, 0)
      yield* until(() => clients.length === crowd.length)
    }))

  it.live("over a Unix socket, and over TLS", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "bad-"))),
        (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
      )
      const path = Path.join(folder, "s")
      const unix = yield* server((socket) => socket.end("unix"), { path })
      const pair = selfSigned()
      const tls = yield* server(
        (socket) => socket.end("tls"),
        undefined,
        (options, listener) => Tls.createServer({ ...options, ...pair }, listener)
      )
      for (const target of [{ path }, { port: tls.port, tls: {} }]) {
        const client = yield* BadClients.connect(target)
        assert.include(["unix", "tls"], new TextDecoder().decode(yield* client.read))
        assert.strictEqual(yield* client.ended, "Fin")
      }
      assert.strictEqual(unix.clients.length, 1)
    }))

  it.live("preconnect says nothing", () =>
    Effect.gen(function*() {
      const { clients, port } = yield* server()
      const client = yield* BadClients.preconnect({ port })
      yield* until(() => clients.length === 1)
      assert.strictEqual(clients[0]?.text, "")
      assert.strictEqual(yield* observed(client), "connected, Open")
    }))

  it.live("halfHead sends half, and the rest when it is told to", () =>
    Effect.gen(function*() {
      const { clients, port } = yield* server()
      const client = yield* BadClients.halfHead({ port })
      yield* until(() => clients[0]?.text === get.slice(0, get.length / 2))
      yield* client.write(get.slice(get.length / 2))
      yield* until(() => clients[0]?.text === get)
    }))

  it.live("halfClientHello begins a handshake that does not go on", () =>
    Effect.gen(function*() {
      const { clients, port } = yield* server()
      yield* BadClients.halfClientHello({ port, tls: {} })
      yield* until(() => clients[0]?.text.length === 100)
      assert.deepStrictEqual(Array.from(Buffer.from(clients[0]?.text.slice(0, 6) ?? "", "latin1")), [22, 3, 1, 2, 0, 1])
      // a TLS server takes it for the beginning of one
      const failures: Array<Error> = []
      const pair = selfSigned()
      const tls = yield* server(undefined, undefined, (options, listener) =>
        Tls.createServer({ ...options, ...pair, handshakeTimeout: 100 }, listener).on(
          "tlsClientError",
          (error) =>
            failures.push(error)
        ))
      yield* BadClients.halfClientHello({ port: tls.port })
      yield* until(() =>
        failures.length === 1
      )
      assert.strictEqual((failures[0] as NodeJS.ErrnoException).code, "ERR_TLS_HANDSHAKE_TIMEOUT")
    }))

  it.live("slowReader takes a number of bytes a second, and the rest waits in the server", () =>
    Effect.gen(function*() {
      const { port, sockets } = yield* server((socket) =>
        socket.once("data", () => socket.write(Buffer.alloc(16 << 20)))
      )
      const client = yield* BadClients.slowReader({ port }, { bytesPerSecond: 10_000 })
      const begun = performance.now()
      while ((yield* client.observed).received < 3000) yield* Effect.sleep(10)
      assert.isAbove(performance.now() - begun, 150)
      assert.isAbove(Array.from(sockets)[0]?.writableLength ?? 0, 1 << 20)
    }))

  it.live("a rate that cannot be used is InvalidArgument", () =>
    Effect.gen(function*() {
      const target = { port: 1 }
      const bad = [
        ...[NaN, 0, -1, Infinity].map((bytesPerSecond) => BadClients.slowReader(target, { bytesPerSecond })),
        ...[NaN, -1, Infinity, { seconds: NaN }].map((interval) => BadClients.slowWriter(target, { interval }))
      ]
      for (const client of bad) assert.strictEqual((yield* Effect.flip(client))._tag, "InvalidArgument")
    }))

  it.live("slowWriter sends a byte at a time, and learns of the end", () =>
    Effect.gen(function*() {
      const { clients, port } = yield* server((socket, seen) =>
        socket.on("data", () => seen.text.length === 5 ? void socket.end() : undefined)
      )
      const client = yield* BadClients.slowWriter({ port }, { interval: 20 })
      yield* until(() => (clients[0]?.text.length ?? 0) > 0)
      assert.isBelow(clients[0]?.text.length ?? 0, 5)
      assert.strictEqual(yield* client.ended, "Fin")
      assert.strictEqual(clients[0]?.text.slice(0, 5), get.slice(0, 5))
    }))

  it.live("silentWebSocket opens, and answers no close", () =>
    Effect.gen(function*() {
      const upgraded: Array<Net.Socket> = []
      const frames: Array<Buffer> = []
      const { port } = yield* server(
        undefined,
        undefined,
        (_, listener) =>
          Http.createServer().on("connection", listener).on("upgrade", (_request, socket) => {
            // `http` says Duplex, and gives the socket of the connection
            upgraded.push(socket as Net.Socket)
            socket.on("data", (chunk) => frames.push(chunk))
            socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
          })
      )
      const client = yield* BadClients.silentWebSocket({ port })
      assert.strictEqual(upgraded.length, 1)
      // ping, close 1001, FIN
      upgraded[0]?.write(Buffer.from([0x89, 0, 0x88, 2, 0x03, 0xe9]))
      upgraded[0]?.end()
      assert.strictEqual(yield* client.ended, "Fin")
      assert.deepStrictEqual(frames, [])
      assert.isFalse(upgraded[0]?.readableEnded)
    }))

  it.live("silentWebSocket that is not let in closes", () =>
    Effect.gen(function*() {
      const { port } = yield* server((socket) => socket.once("data", () => socket.write("HTTP/1.1 503 No\r\n\r\n")))
      const client = yield* BadClients.silentWebSocket({ port })
      assert.strictEqual(yield* observed(client), "connected, Closed")
    }))

  it.live("vanished learns of nothing, and neither does the server", () =>
    Effect.gen(function*() {
      const { clients, port, sockets } = yield* server((socket) =>
        socket.once("data", () => {
          socket.write(Buffer.alloc(16 << 20))
          socket.end()
        })
      )
      const client = yield* BadClients.vanished({ port })
      yield* until(() => clients[0]?.text === get)
      yield* Effect.sleep(50)
      assert.strictEqual(yield* observed(client), "connected, Open")
      assert.strictEqual((yield* client.observed).received, 0)
      assert.deepStrictEqual([clients[0]?.ended, clients[0]?.error], [false, undefined])
      assert.isAbove(Array.from(sockets)[0]?.writableLength ?? 0, 0)
    }))

  it.live("finThenWait ends its side and reads the answer", () =>
    Effect.gen(function*() {
      const { port } = yield* server((socket, seen) => socket.on("end", () => socket.end(`${seen.text.length} bytes`)))
      const client = yield* BadClients.finThenWait({ port })
      assert.strictEqual(new TextDecoder().decode(yield* client.read), `${get.length} bytes`)
    }))

  it.live("pipeliner sends many requests at once", () =>
    Effect.gen(function*() {
      const { clients, port } = yield* server()
      yield* BadClients.pipeliner({ port }, { count: 5 })
      yield* until(() => clients[0]?.text === get.repeat(5))
    }))

  it.live("resetMidResponse reads the beginning and resets", () =>
    Effect.gen(function*() {
      const { clients, port } = yield* server((socket) =>
        socket.once("data", () => socket.write(Buffer.alloc(1 << 20)))
      )
      const client = yield* BadClients.resetMidResponse({ port }, { after: 10 })
      assert.strictEqual((yield* client.observed).received, 10)
      yield* until(() => clients[0]?.error !== undefined)
      assert.include(["ECONNRESET", "EPIPE"], clients[0]?.error)
    }))
})
