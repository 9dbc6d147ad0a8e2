import { type Connection, Listener } from "@effect-listener/core"
import { NodeHttp, NodeProxyProtocol, NodeTcp, NodeTls, NodeUnix } from "@effect-listener/node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { NetAddress } from "effect/net"
import { Socket } from "effect/socket"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Tls from "node:tls"
import { selfSigned } from "./support/certificates.ts"
import { folder, portOf, quiet } from "./support/listening.ts"
import { connect, type Peer } from "./support/peer.ts"
import { headerV1, headerV2, tlv } from "./support/proxyHeaders.ts"

type Options = NodeProxyProtocol.ProxyProtocolOptions

/** Says what it knows of the client, and ends. */
const whoami = Effect.fnUntraced(function*(connection: Connection.Connection) {
  const writer = yield* connection.socket.writer
  const via = connection.via === undefined ? "directly" : `via ${connection.via._tag}`
  yield* writer.write(`${NetAddress.formatSocketAddress(connection.remote)} ${via}`)
})

const listen = (proxyProtocol: Options, options?: Listener.ListenerOptions) =>
  quiet(Effect.gen(function*() {
    const listener = yield* Listener.listen(NodeTcp.transport({ host: "127.0.0.1", port: 0, proxyProtocol }), options)
    yield* Effect.forkScoped(Listener.serve(listener, whoami))
    return listener
  }))

const text = (peer: Peer) => Effect.map(peer.rest, ({ data, ending }) => `${data.toString("latin1")}|${ending}`)

/** What a client is told that begins with these bytes. */
const tell = (listener: Listener.Listener, ...pieces: ReadonlyArray<string | Uint8Array>) =>
  Effect.scoped(Effect.gen(function*() {
    const peer = yield* connect(yield* listener.address)
    for (const piece of pieces) yield* peer.send(piece)
    yield* peer.end
    return yield* text(peer)
  }))

const v2 = headerV2(1, 0x11, Buffer.from([192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0x01, 0xbb]))

describe("NodeProxyProtocol over TCP", () => {
  it.live("names the client, by either version, whole and byte by byte", () =>
    Effect.gen(function*() {
      const listener = yield* listen({})
      const named = "192.0.2.7:12345 via InetAddressV4|FIN"
      assert.strictEqual(yield* tell(listener, headerV1("192.0.2.7", 12_345)), named)
      assert.strictEqual(yield* tell(listener, ...Array.from(headerV1("192.0.2.7", 12_345))), named)
      assert.strictEqual(yield* tell(listener, v2), named)
      assert.strictEqual(yield* tell(listener, ...Array.from(v2, (byte) => Uint8Array.of(byte))), named)
    }))

  it.live("leaves what follows the header to the handler", () =>
    quiet(Effect.gen(function*() {
      const listener = yield* Listener.listen(NodeTcp.transport({ host: "127.0.0.1", port: 0, proxyProtocol: {} }))
      yield* Effect.forkScoped(Listener.serve(
        listener,
        Effect.fnUntraced(function*(connection) {
          const pull = yield* Socket.readerString(connection.socket)
          const writer = yield* connection.socket.writer
          return yield* Effect.forever(Effect.flatMap(pull, (chunks) => writer.writeAll(chunks)))
        }),
        { idle: "pull" }
      ))
      assert.strictEqual(yield* tell(listener, `${headerV1("192.0.2.7", 1)}hello `, "world"), "hello world|FIN")
    })))

  it.live("keeps the proxy's own address where it speaks for itself", () =>
    Effect.gen(function*() {
      const listener = yield* listen({})
      const local = headerV2(0, 0x11, Buffer.alloc(12, 1))
      assert.match(yield* tell(listener, local), /^127\.0\.0\.1:\d+ via InetAddressV4\|FIN$/)
      assert.match(yield* tell(listener, "PROXY UNKNOWN\r\n"), /^127\.0\.0\.1:\d+ via InetAddressV4\|FIN$/)
    }))

  it.live("refuses a peer without a header, and one that is not believed, by a FIN", () =>
    Effect.gen(function*() {
      const listener = yield* listen({})
      assert.strictEqual(yield* tell(listener, "GET / HTTP/1.1\r\n\r\n"), "|FIN")
      assert.strictEqual(yield* tell(listener, headerV1("192.0.2.7", 70_000)), "|FIN")
      const strict = yield* listen({ from: ["10.0.0.0/8"] })
      assert.strictEqual(yield* tell(strict, headerV1("192.0.2.7", 1)), "|FIN")
      const plain = yield* listen({ from: ["10.0.0.0/8"], others: "plain" })
      assert.match(yield* tell(plain), /^127\.0\.0\.1:\d+ directly\|FIN$/)
      const believed = yield* listen({ from: ["10.0.0.0/8", "127.0.0.0/8"] })
      assert.match(yield* tell(believed, headerV1("192.0.2.7", 1)), /^192\.0\.2\.7:1 via/)
      assert.strictEqual((yield* listener.close()).refused, 0)
    }))

  it.live("cuts a header that does not come at its time-out, however slowly it drips", () =>
    Effect.gen(function*() {
      const listener = yield* listen({ timeout: "300 millis" })
      const peer = yield* connect(yield* listener.address)
      const dripping = yield* Effect.forkChild(
        Effect.forEach("PROXY TCP4 192.0.2.7 198.51.100.1 1 443", (letter) => Effect.delay(peer.send(letter), 50), {
          discard: true
        }).pipe(Effect.ignore)
      )
      assert.strictEqual(yield* text(peer), "|FIN")
      yield* Fiber.interrupt(dripping)
    }))

  it.live("limits the client that is named, not the proxy", () =>
    Effect.gen(function*() {
      const listener = yield* quiet(Effect.gen(function*() {
        const transport = NodeTcp.transport({ host: "127.0.0.1", port: 0, proxyProtocol: {} })
        const listener = yield* Listener.listen(transport, { admission: { maxPerRemote: 1 } })
        yield* Effect.forkScoped(Listener.serve(
          listener,
          (connection) => Effect.andThen(whoami(connection), Effect.never)
        ))
        return listener
      }))
      const address = yield* listener.address
      const first = yield* connect(address)
      yield* first.send(headerV1("192.0.2.7", 1))
      yield* first.received(1)
      const second = yield* connect(address)
      yield* second.send(headerV1("192.0.2.7", 2))
      assert.strictEqual(yield* text(second), "|FIN")
      const other = yield* connect(address)
      yield* other.send(headerV1("192.0.2.8", 1))
      yield* other.received(1)
      // the one that was refused lingers, because its client has not ended yet
      const served = (yield* listener.connections).filter(({ phase }) => phase === "Active")
      const remotes = served.map(({ remote }) => remote)
      assert.deepStrictEqual(remotes.sort(), ["192.0.2.7:1", "192.0.2.8:1"])
      yield* listener.abort
    }))

  it.live("closes within the grace while ten have not named their client, and counts them", () =>
    Effect.gen(function*() {
      const listener = yield* listen({ timeout: "1 minute" })
      const peers = yield* Effect.forEach(Array.from({ length: 10 }), () => Effect.flatMap(listener.address, connect))
      yield* Effect.repeat(Effect.andThen(Effect.yieldNow, listener.connections), {
        until: (connections) => connections.length === 10
      })
      const report = yield* listener.close({ deadline: "20 seconds" })
      assert.strictEqual(report.outcome, "Drained")
      assert.deepStrictEqual(
        { total: report.connections.total, neverAccepted: report.connections.neverAccepted },
        { total: 10, neverAccepted: 10 }
      )
      for (const peer of peers) assert.strictEqual(yield* text(peer), "|FIN")
    }))

  it.live("serves a client that is named within the grace of a close", () =>
    Effect.gen(function*() {
      const listener = yield* listen({})
      const peer = yield* connect(yield* listener.address)
      yield* Effect.repeat(Effect.andThen(Effect.yieldNow, listener.connections), {
        until: (connections) => connections.length === 1
      })
      const closing = yield* Effect.forkChild(listener.close({ idleGrace: "10 seconds" }), { startImmediately: true })
      yield* peer.send(headerV1("192.0.2.7", 1))
      assert.strictEqual(yield* text(peer), "192.0.2.7:1 via InetAddressV4|FIN")
      assert.strictEqual((yield* Fiber.join(closing)).connections.neverAccepted, 0)
    }))

  it.live("takes a health check that leaves without a byte for no failure", () =>
    Effect.gen(function*() {
      const listener = yield* listen({})
      assert.strictEqual(yield* tell(listener), "|FIN")
      assert.match(yield* tell(listener, v2), /^192/)
    }))

  it.live.each(
    [
      ["others", { others: "believe" as "plain" }],
      ["versions", { versions: [] }],
      ["versions", { versions: [3 as 2] }],
      ["timeout", { timeout: 0 }],
      ["timeout", { timeout: { seconds: NaN } }],
      ["longest", { longest: 15 }],
      ["from", { from: ["10.0.0.0/33"] }],
      ["from", { from: [] }]
    ] satisfies ReadonlyArray<readonly [string, Options]>
  )("refuses what cannot be used as %s", ([parameter, proxyProtocol]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(NodeTcp.transport({ port: 0, proxyProtocol }).bind)
      assert.deepInclude(error, { _tag: "InvalidArgument", parameter: `proxyProtocol.${parameter}` })
    }))
})

describe("NodeProxyProtocol before other protocols", () => {
  const pair = selfSigned()

  /** A TLS client that sends a header first, in the clear. */
  const overTls = (port: number, header: string | Uint8Array, options: Tls.ConnectionOptions = {}) =>
    Effect.acquireRelease(
      Effect.callback<Tls.TLSSocket, Error>((resume) => {
        const raw = Net.connect(port, "127.0.0.1")
        raw.on("error", (error) => resume(Effect.fail(error)))
        raw.write(header)
        const socket = Tls.connect({ socket: raw, rejectUnauthorized: false, ...options })
        socket.on("secureConnect", () => resume(Effect.succeed(socket)))
        socket.on("error", (error) => resume(Effect.fail(error)))
      }),
      (socket) => Effect.sync(() => socket.destroy())
    )

  it.live("TLS: the header comes in the clear, before the handshake", () =>
    quiet(Effect.gen(function*() {
      const transport = NodeTls.transport({ host: "127.0.0.1", port: 0, ...pair, proxyProtocol: {} })
      const listener = yield* Listener.listen(transport)
      yield* Effect.forkScoped(Listener.serve(listener, whoami))
      const socket = yield* overTls(portOf(yield* listener.address), headerV1("192.0.2.7", 1))
      const answer = yield* Effect.callback<string>((resume) => {
        socket.setEncoding("utf8").once("data", (data: string) => resume(Effect.succeed(data)))
      })
      assert.strictEqual(answer, "192.0.2.7:1 via InetAddressV4")
    })))

  it.live("Unix: the client has the named address, others none", () =>
    quiet(Effect.gen(function*() {
      const path = Path.join(yield* folder(), "s")
      const listener = yield* Listener.listen(NodeUnix.transport({ path, proxyProtocol: {} }))
      yield* Effect.forkScoped(Listener.serve(listener, whoami))
      assert.strictEqual(yield* tell(listener, headerV1("192.0.2.7", 1)), "192.0.2.7:1 via UnixPathAddress|FIN")
      const error = yield* Effect.flip(NodeUnix.transport({ path, proxyProtocol: { from: ["10.0.0.0/8"] } }).bind)
      assert.deepInclude(error, { _tag: "InvalidArgument", parameter: "proxyProtocol.from" })
    })))

  const routes = HttpRouter.add(
    "GET",
    "/",
    Effect.gen(function*() {
      const request = yield* HttpServerRequest.HttpServerRequest
      const header = Option.flatMap(yield* NodeHttp.connection, NodeProxyProtocol.header)
      const authority = Option.flatMap(header, ({ authority }) => authority)
      return HttpServerResponse.text(
        `${Option.getOrElse(request.remoteAddress, () => "unknown")} ${Option.getOrElse(authority, () => "-")}`
      )
    })
  )

  const serveHttp = (options: Omit<NodeHttp.ServerOptions, "port">) =>
    quiet(Effect.gen(function*() {
      const app = yield* HttpRouter.toHttpEffect(routes)
      const server = yield* NodeHttp.make({ host: "127.0.0.1", port: 0, proxyProtocol: {}, ...options })
      yield* server.serve(app)
      return server.address._tag === "InetAddressV4" ? server.address.port : -1
    }))

  const authority = headerV2(
    1,
    0x11,
    Buffer.from([192, 0, 2, 7, 198, 51, 100, 1, 0, 1, 0, 2]),
    tlv(2, Buffer.from("one.test"))
  )
  const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

  it.live("HTTP/1: requests have the client's address, in one segment with the header and apart", () =>
    Effect.gen(function*() {
      const port = yield* serveHttp({})
      for (const pieces of [[Buffer.concat([authority, Buffer.from(request)])], [authority, Buffer.from(request)]]) {
        const peer = yield* connect({ host: "127.0.0.1", port })
        for (const piece of pieces) yield* peer.send(piece)
        assert.match(yield* text(peer), /\r\n\r\n192\.0\.2\.7 one\.test\|FIN$/)
      }
    }))

  it.live.each([["tls", "h2"], ["tls", "http/1.1"], ["clear", "h2"]] as const)(
    "HTTP over %s, %s",
    ([scheme, alpn]) =>
      Effect.gen(function*() {
        const port = yield* serveHttp(scheme === "tls" ? { tls: pair } : {})
        const socket = scheme === "tls"
          ? yield* overTls(port, authority, { ALPNProtocols: [alpn] })
          : (yield* Effect.tap(connect({ host: "127.0.0.1", port }, { paused: true }), (peer) => peer.send(authority)))
            .socket
        const answer = yield* Effect.callback<string, Error>((resume) => {
          let body = ""
          if (alpn === "h2") {
            const session = Http2.connect("http://localhost", { createConnection: () => socket })
            session.on("error", (error) => resume(Effect.fail(error)))
            const stream = session.request({ ":path": "/" }).setEncoding("utf8")
            stream.on("data", (data: string) => body += data).on("end", () => resume(Effect.succeed(body)))
          } else {
            socket.setEncoding("utf8").on("data", (data: string) => body += data)
            socket.on("end", () => resume(Effect.succeed(body.split("\r\n\r\n")[1] ?? "")))
            socket.write(request)
          }
        })
        assert.strictEqual(answer, "192.0.2.7 one.test")
      })
  )
})
