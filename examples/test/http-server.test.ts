import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Http2Client from "../../packages/node/test/support/http2Client.ts"
import * as HttpPeer from "../../packages/node/test/support/httpPeer.ts"
import { until } from "../../packages/node/test/support/listening.ts"
import * as WebSocketClient from "../../packages/node/test/support/webSocketClient.ts"
import * as Example from "./httpExample.ts"

const times = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.all(Array.from({ length: count }, () => effect), { concurrency: "unbounded" })

/** A keep-alive connection that has had an answer. */
const used = (port: number, options?: HttpPeer.Options) =>
  Effect.tap(HttpPeer.connect(port, options), (peer) => peer.get("/"))

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkScoped(effect, { startImmediately: true })

/** Nothing tells that a process is busy, or that a request has reached it and is being slept on. */
const aMoment = Effect.sleep(150)

const fin = { how: "fin", partial: false }
const MiB = 1 << 20

const post = (path: string, length: number, headers = "") =>
  `POST ${path} HTTP/1.1\r\nHost: test\r\nContent-Length: ${length}\r\n${headers}\r\n`

describe("examples/http-server.ts", () => {
  it.live("200 requests in flight are answered, each with Connection: close", () =>
    Effect.gen(function*() {
      const server = yield* Example.start()
      const peers = yield* times(200, HttpPeer.connect(server.port))
      yield* Effect.forEach(peers, (peer) => peer.send(HttpPeer.get("/slow?ms=700")), { discard: true })
      yield* used(server.port)
      yield* server.sigterm
      const responses = yield* Effect.all(peers.map((peer) => peer.response), { concurrency: "unbounded" })
      for (const { body, headers, status } of responses) {
        assert.deepStrictEqual([status, body, headers["connection"]], [200, "done", "close"])
      }
      for (const peer of peers) assert.deepStrictEqual(yield* peer.ending, fin)
      const { report } = yield* server.exits(0)
      assert.strictEqual(report.connections["drained"], 200)
    }))

  it.live("1,000 idle connections, and 50 that never said a byte, end before a request in flight", () =>
    Effect.gen(function*() {
      const server = yield* Example.start()
      const idle = yield* times(1000, used(server.port))
      const silent = yield* times(50, HttpPeer.connect(server.port))
      const busy = yield* HttpPeer.connect(server.port)
      yield* busy.send(HttpPeer.get("/slow?ms=2000"))
      yield* used(server.port)
      yield* server.sigterm
      const answer = yield* fork(busy.response)
      for (const peer of [...idle, ...silent]) assert.deepStrictEqual(yield* peer.ending, fin)
      assert.isUndefined(answer.pollUnsafe(), "the request in flight was answered first")
      assert.strictEqual((yield* Fiber.join(answer)).status, 200)
      yield* server.exits(0)
    }))

  describe.each(["http", "https"] as const)("64 MiB to a client that pauses, over %s", (scheme) => {
    it.live.each(["keep-alive", "close"] as const)("Connection: %s", (connection) =>
      Effect.gen(function*() {
        const tls = scheme === "https"
        const server = yield* Example.start(tls ? yield* Example.tlsFiles : {})
        const peer = yield* HttpPeer.connect(server.port, { tls })
        yield* peer.send(HttpPeer.get(`/bytes?n=${64 * MiB}`, `Connection: ${connection}\r\n`))
        yield* peer.head
        yield* peer.pause
        yield* server.sigterm
        yield* Effect.sleep(500)
        yield* peer.resume
        assert.strictEqual((yield* peer.response).length, 64 * MiB)
        assert.deepStrictEqual(yield* peer.ending, fin)
        yield* server.exits(0)
      }))
  })

  it.live.each([false, true])("64 MiB to a client that pauses, over HTTP/2, TLS %s", (tls) =>
    Effect.gen(function*() {
      const server = yield* Example.start(tls ? yield* Example.tlsFiles : {})
      const client = yield* Http2Client.connect(server.port, { tls })
      const answer = yield* fork(client.request({ ":path": `/bytes?n=${64 * MiB}` }, { pause: 500 }))
      yield* aMoment
      yield* server.sigterm
      assert.strictEqual((yield* Fiber.join(answer)).length, 64 * MiB)
      yield* client.closed
      yield* server.exits(0)
    }))

  it.live("a 4 MiB upload sent slowly across the close is read whole and answered", () =>
    Effect.gen(function*() {
      const server = yield* Example.start()
      const peer = yield* HttpPeer.connect(server.port)
      yield* peer.send(post("/echo", 4 * MiB))
      const part = Buffer.alloc(MiB / 4)
      for (let sent = 0; sent < 16; sent++) {
        if (sent === 5) yield* server.sigterm
        yield* peer.sendAll(part)
        yield* Effect.sleep(60)
      }
      const { body, headers } = yield* peer.response
      assert.deepStrictEqual([body, headers["connection"]], [String(4 * MiB), "close"])
      yield* server.exits(0)
    }))

  /** Sends a body, part by part; answers the error that stopped it, if one did. */
  const upload = (peer: HttpPeer.HttpPeer, parts: number, part: Uint8Array, pause: number) =>
    Effect.result(Effect.forEach(
      Array.from({ length: parts }),
      () => Effect.andThen(peer.sendAll(part), Effect.sleep(pause)),
      { discard: true }
    ))

  it.live("a 413 reaches a client that still sends 8 MiB", () =>
    Effect.gen(function*() {
      const server = yield* Example.start()
      for (let run = 0; run < 20; run++) {
        const peer = yield* HttpPeer.connect(server.port)
        yield* peer.send(post("/reject", 8 * MiB))
        yield* fork(upload(peer, 64, Buffer.alloc(MiB / 8), 5))
        const { body, status } = yield* peer.response
        assert.deepStrictEqual([status, body], [413, "too large"])
      }
    }))

  it.live.each(["Content-Length: 8388608", "Transfer-Encoding: chunked"])(
    "a 413 reaches 50 clients that upload for 4 s and read only afterwards, with %s",
    (framing) =>
      Effect.gen(function*() {
        const server = yield* Example.start()
        const chunk = framing.startsWith("T")
          ? `${(MiB / 8).toString(16)}\r\n${"x".repeat(MiB / 8)}\r\n`
          : "x".repeat(MiB / 8)
        const run = Effect.gen(function*() {
          const peer = yield* HttpPeer.connect(server.port)
          yield* peer.pause
          yield* peer.send(`POST /reject HTTP/1.1\r\nHost: test\r\n${framing}\r\n\r\n`)
          const sent = yield* upload(peer, 64, Buffer.from(chunk), 62)
          assert.strictEqual(sent._tag, "Success")
          yield* peer.resume
          return yield* peer.response
        })
        const responses = yield* fork(times(50, run))
        yield* Effect.sleep(1000)
        yield* server.sigterm
        for (const { body, status } of yield* Fiber.join(responses)) {
          assert.deepStrictEqual([status, body], [413, "too large"])
        }
        yield* server.exits(0)
      })
  )

  it.live("100 connections made, and 100 requests sent on keep-alive connections, while the event loop is held", () =>
    Effect.gen(function*() {
      const server = yield* Example.start()
      const old = yield* times(100, used(server.port))
      yield* (yield* HttpPeer.connect(server.port)).send(HttpPeer.get("/block?ms=1500"))
      yield* aMoment
      const fresh = yield* times(100, HttpPeer.connect(server.port))
      const peers = [...old, ...fresh]
      yield* Effect.forEach(peers, (peer) => peer.sendAll(HttpPeer.get("/")), { discard: true })
      yield* server.sigterm
      for (const peer of peers) assert.strictEqual((yield* peer.response).body, "ok")
      const { report } = yield* server.exits(0)
      assert.isAtLeast(report.swept, 1)
    }))

  it.live("50 keep-alive clients whose grace ends while the event loop is held are served", () =>
    Effect.gen(function*() {
      const server = yield* Example.start()
      const holder = yield* HttpPeer.connect(server.port)
      yield* holder.send(HttpPeer.get("/slow?ms=1500"))
      const old = yield* times(50, used(server.port))
      // the close begins, and their grace with it; then the loop is held beyond its end
      const block = yield* used(server.port)
      yield* server.sigterm
      yield* block.send(HttpPeer.get("/block?ms=900"))
      yield* aMoment
      yield* Effect.forEach(old, (peer) => peer.sendAll(HttpPeer.get("/")), { discard: true })
      for (const peer of old) assert.strictEqual((yield* peer.response).body, "ok")
      yield* server.exits(0)
    }))

  it.live.each([false, true])(
    "20 HTTP/2 clients that connect and ask while the event loop is held, TLS %s",
    (tls) =>
      Effect.gen(function*() {
        const server = yield* Example.start(tls ? yield* Example.tlsFiles : {})
        yield* (yield* HttpPeer.connect(server.port, { tls })).send(HttpPeer.get("/block?ms=1000"))
        yield* aMoment
        const clients = yield* times(20, Http2Client.open(server.port, { tls }))
        const answers = yield* fork(Effect.all(clients.map((client) => client.get("/")), { concurrency: "unbounded" }))
        yield* aMoment
        yield* server.sigterm
        for (const { body } of yield* Fiber.join(answers)) assert.strictEqual(body, "ok")
        yield* server.exits(0)
      })
  )

  it.live.each([false, true])(
    "HTTP/2: 50 streams in flight finish, 100 idle sessions are told and end, TLS %s",
    (tls) =>
      Effect.gen(function*() {
        const server = yield* Example.start(tls ? yield* Example.tlsFiles : {})
        const busy = yield* Http2Client.connect(server.port, { tls })
        const idle = yield* times(100, Http2Client.connect(server.port, { tls }))
        yield* Effect.forEach(idle, (client) => client.get("/"), { concurrency: "unbounded" })
        const answers = yield* fork(times(50, busy.get("/slow?ms=2000")))
        yield* aMoment
        yield* server.sigterm
        for (const client of idle) {
          assert.strictEqual(yield* client.goaway, 0)
          yield* client.closed
        }
        assert.isUndefined(answers.pollUnsafe(), "the streams in flight were answered first")
        for (const { body } of yield* Fiber.join(answers)) assert.strictEqual(body, "done")
        yield* server.exits(0)
      })
  )

  describe.each([false, true])("WebSockets, TLS %s", (tls) => {
    const url = (port: number) => `${tls ? "wss" : "ws"}://127.0.0.1:${port}/ws`

    it.live("20 are told 1001, and the process ends at once", () =>
      Effect.gen(function*() {
        const server = yield* Example.start(tls ? yield* Example.tlsFiles : {})
        const clients = yield* times(20, WebSocketClient.connect(url(server.port)))
        for (const client of clients) {
          yield* client.send("hello")
          assert.strictEqual(yield* client.message, "hello")
        }
        yield* server.sigterm
        for (const client of clients) assert.deepStrictEqual(yield* client.closed, { code: 1001, messages: [] })
        const { report } = yield* server.exits(0)
        assert.isBelow(report.duration, 2000)
      }))

    it.live("ones that never answer hold it no longer than the bound, and an upgrade meanwhile gets 503", () =>
      Effect.gen(function*() {
        const server = yield* Example.start(tls ? yield* Example.tlsFiles : {})
        const silent = yield* times(5, HttpPeer.connect(server.port, { tls }))
        for (const peer of silent) {
          yield* peer.send(WebSocketClient.upgrade("/ws"))
          assert.strictEqual((yield* peer.head).status, 101)
        }
        // half a head has the grace: time enough to see that the close has come
        const late = yield* used(server.port, { tls })
        const request = WebSocketClient.upgrade("/ws")
        yield* late.send(request.slice(0, 20))
        const told = silent[0]!.socket.bytesRead + 1
        yield* server.sigterm
        yield* until("a goodbye has come", () => silent[0]!.socket.bytesRead >= told)
        yield* late.send(request.slice(20))
        const { headers, status } = yield* late.response
        assert.deepStrictEqual([status, headers["connection"]], [503, "close"])
        const { report } = yield* server.exits(0)
        assert.isBelow(report.duration, 2000 + 2000)
        assert.isAtLeast(report.duration, 1900)
      }))
  })

  it.live("at the deadline: a handler that never answers and a client that never reads are cut and named", () =>
    Effect.gen(function*() {
      const server = yield* Example.start({ DRAIN_DEADLINE_MS: "1500" })
      const never = yield* HttpPeer.connect(server.port)
      yield* never.send(HttpPeer.get("/never?token=secret"))
      const deaf = yield* HttpPeer.connect(server.port)
      yield* deaf.send(HttpPeer.get(`/bytes?n=${64 * MiB}`))
      yield* deaf.head
      yield* deaf.pause
      yield* server.sigterm
      const { report, stderr } = yield* server.exits(124)
      assert.strictEqual(report.outcome, "DeadlineExceeded")
      assert.match(stderr, /cut #\d+ 127\.0\.0\.1:\d+ http\/1\.1 Active, GET \/never /)
      assert.match(stderr, /cut #\d+ 127\.0\.0\.1:\d+ http\/1\.1 Active, GET \/bytes .*unsent/)
      assert.notInclude(stderr, "secret")
      assert.deepStrictEqual(report.handlersLeftBehind, [])
    }))

  it.live("half a head, and half a ClientHello, hold nothing longer than the idle grace", () =>
    Effect.gen(function*() {
      for (const tls of [false, true]) {
        const server = yield* Example.start(tls ? yield* Example.tlsFiles : {})
        const peer = yield* HttpPeer.connect(server.port)
        yield* peer.sendAll(tls ? Buffer.from("16030102000100", "hex") : "GET / HTTP/1.1\r\nHo")
        yield* used(server.port, { tls })
        yield* server.sigterm
        assert.strictEqual((yield* peer.ending).partial, false)
        const { report } = yield* server.exits(0)
        assert.isBelow(report.duration, 250 + 2000)
        assert.strictEqual(report.connections["drained"], 0)
      }
    }))

  it.live("half a head whose rest comes within the grace is served, with the goodbye", () =>
    Effect.gen(function*() {
      const server = yield* Example.start()
      const peer = yield* used(server.port)
      // a request in flight shows when the close has begun
      const busy = yield* HttpPeer.connect(server.port)
      yield* busy.send(HttpPeer.get("/slow?ms=400"))
      yield* peer.sendAll("GET / HTTP/1.1\r\nHo")
      yield* Effect.sleep(400)
      yield* server.sigterm
      yield* Effect.sleep(80)
      yield* peer.send("st: test\r\n\r\n")
      const { headers, status } = yield* peer.response
      assert.deepStrictEqual([status, headers["connection"]], [200, "close"])
      yield* server.exits(0)
    }))

  it.live("a second SIGTERM exits at once, with 143", () =>
    Effect.gen(function*() {
      const server = yield* Example.start()
      const peer = yield* HttpPeer.connect(server.port)
      yield* peer.send(HttpPeer.get("/never"))
      yield* used(server.port)
      yield* server.sigterm
      yield* server.stderr((line) => line.startsWith("draining ") ? line : undefined)
      yield* server.sigterm
      const exit = yield* server.exit
      assert.strictEqual(exit.code, 143)
      assert.strictEqual(exit.stdout.length, 1)
    }))

  it.live.each(
    [["PORT", "http"], ["HOST", "256.1.1.1"], ["TLS_KEY", "/nowhere/key.pem"], [
      "TLS_CERT",
      "/nowhere/cert.pem"
    ]] as const
  )("%s=%s: exit code 1, and the variable is named on stderr", ([variable, value]) =>
    Effect.gen(function*() {
      const exit = yield* (yield* Example.launch({ [variable]: value })).exit
      assert.strictEqual(exit.code, 1)
      assert.include(exit.stderr.join("\n"), variable)
      assert.deepStrictEqual(exit.stdout, [])
    }))
})
