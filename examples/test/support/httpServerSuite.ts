import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Http2Client from "../../../packages/node/test/support/http2Client.ts"
import * as HttpPeer from "../../../packages/node/test/support/httpPeer.ts"
import { many, until } from "../../../packages/node/test/support/listening.ts"
import * as WebSocketClient from "../../../packages/node/test/support/webSocketClient.ts"
import * as Example from "./httpExample.ts"

/** Longer than a client of these tests takes, on a machine that has other work as well. */
const longDeadline = { DRAIN_DEADLINE_MS: "60000" }
const longGrace = { ...longDeadline, IDLE_GRACE_MS: "15000" }

const fin = { ending: "FIN", partial: false }
const MiB = 1 << 20

const post = (path: string, length: number, headers = "") =>
  `POST ${path} HTTP/1.1\r\nHost: test\r\nContent-Length: ${length}\r\n${headers}\r\n`

/** What `http-server.ts` promises, over one of its protocols: a file of tests each, which run side by side. */
export const httpServerSuite = (scheme: "http" | "https") =>
  describe(`examples/http-server.ts over ${scheme}`, () => {
    const tls = scheme === "https"
    const start = (env: Record<string, string> = {}) =>
      Effect.gen(function*() {
        return yield* Example.start(tls ? { ...env, ...yield* Example.tlsFiles } : env)
      })
    const connect = (server: Example.Example) => HttpPeer.connect(server.port, { tls })

    /** Waits until the event loop of the server is held. */
    const blocked = (server: Example.Example) => server.stderr((line) => line.startsWith("blocking for") || undefined)

    /** A keep-alive connection that has had an answer. */
    const used = (server: Example.Example) => Effect.tap(connect(server), (peer) => peer.get("/"))

    it.live("200 requests in flight are answered, each with Connection: close", () =>
      Effect.gen(function*() {
        const server = yield* start(longDeadline)
        const peers = yield* many(200, connect(server))
        yield* Effect.forEach(peers, (peer) => peer.send(HttpPeer.get("/slow?ms=3000")), { discard: true })
        yield* used(server)
        yield* server.sigterm
        const responses = yield* Effect.all(peers.map((peer) => peer.response), { concurrency: "unbounded" })
        const answered = server.sinceSigterm()
        for (const { body, headers, status } of responses) {
          assert.deepStrictEqual([status, body, headers["connection"]], [200, "done", "close"])
        }
        for (const peer of peers) assert.deepStrictEqual(yield* peer.rest, fin)
        const { report } = yield* server.exits(0)
        assert.strictEqual(report.connections["drained"], 200)
        // the clients keep their side open: the linger is waited for
        assert.isBelow(server.sinceSigterm() - answered, 500 + 2000)
      }))

    it.live("1,000 idle connections, and 50 that never said a byte, end before a request in flight", () =>
      Effect.gen(function*() {
        const server = yield* start()
        // of more handshakes than `maxQueued` at the same time, those that take longest would be given up
        const idle = yield* Effect.all(Array.from({ length: 1000 }, () => used(server)), { concurrency: 200 })
        // over TLS: not even the beginning of a handshake
        const silent = yield* many(50, HttpPeer.connect(server.port))
        const busy = yield* connect(server)
        yield* busy.send(HttpPeer.get("/slow?ms=4000"))
        yield* used(server)
        yield* server.sigterm
        const answer = yield* Example.fork(busy.response)
        for (const peer of [...idle, ...silent]) assert.strictEqual((yield* peer.rest).partial, false)
        assert.isUndefined(answer.pollUnsafe(), "the request in flight was answered first")
        assert.strictEqual((yield* Fiber.join(answer)).status, 200)
        const { report } = yield* server.exits(0)
        assert.deepInclude(report.connections, { drained: 1, failed: 0, cut: 0, endedByPeer: 0 })
      }))

    it.live.each(["keep-alive", "close"] as const)(
      "64 MiB to a client that pauses, Connection: %s",
      (connection) =>
        Effect.gen(function*() {
          const server = yield* start()
          const peer = yield* connect(server)
          yield* peer.send(HttpPeer.get(`/bytes?n=${64 * MiB}`, `Connection: ${connection}\r\n`))
          yield* peer.head
          yield* peer.pause
          yield* server.sigterm
          yield* Effect.sleep(500)
          yield* peer.resume
          assert.strictEqual((yield* peer.response).length, 64 * MiB)
          assert.deepStrictEqual(yield* peer.rest, fin)
          yield* server.exits(0)
        })
    )

    it.live("64 MiB to a client that pauses, HTTP/2", () =>
      Effect.gen(function*() {
        const server = yield* start()
        const client = yield* Http2Client.connect(server.port, { tls })
        const answer = yield* Example.fork(client.request({ ":path": `/bytes?n=${64 * MiB}` }, { pause: 500 }))
        // the session brings it later: the other has been read
        yield* client.get("/")
        yield* server.sigterm
        assert.strictEqual((yield* Fiber.join(answer)).length, 64 * MiB)
        yield* client.closed
        yield* server.exits(0)
      }))

    it.live("a 4 MiB upload sent slowly across the close is read whole and answered", () =>
      Effect.gen(function*() {
        const server = yield* start()
        const peer = yield* connect(server)
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

    it.live("a 413 reaches 50 clients that still send 8 MiB", () =>
      Effect.gen(function*() {
        const server = yield* start()
        const run = Effect.gen(function*() {
          const peer = yield* connect(server)
          yield* peer.send(post("/reject", 8 * MiB))
          yield* Example.fork(upload(peer, 64, Buffer.alloc(MiB / 8), 5))
          return yield* peer.response
        })
        for (const { body, status } of yield* many(50, run)) {
          assert.deepStrictEqual([status, body], [413, "too large"])
        }
      }))

    // one framing each: what the server reads of the body is the same
    const framing = tls ? "Transfer-Encoding: chunked" : `Content-Length: ${8 * MiB}`

    it.live(`a 413 reaches 50 clients that upload for 4 s and read only afterwards, with ${framing}`, () =>
      Effect.gen(function*() {
        const server = yield* start({ ...longDeadline, LINGER_MS: "10000" })
        const part = "x".repeat(MiB / 8)
        const chunk = tls ? `${part.length.toString(16)}\r\n${part}\r\n` : part
        const run = Effect.gen(function*() {
          const peer = yield* connect(server)
          yield* peer.pause
          yield* peer.send(`POST /reject HTTP/1.1\r\nHost: test\r\n${framing}\r\n\r\n`)
          const sent = yield* upload(peer, 64, Buffer.from(chunk), 62)
          assert.strictEqual(sent._tag, "Success")
          yield* peer.resume
          return yield* peer.response
        })
        const responses = yield* Example.fork(many(50, run))
        yield* Effect.sleep(1000)
        yield* server.sigterm
        for (const { body, status } of yield* Fiber.join(responses)) {
          assert.deepStrictEqual([status, body], [413, "too large"])
        }
        yield* server.exits(0)
      }))

    it.live("100 connections made, and 100 requests sent on keep-alive connections, while the event loop is held", () =>
      Effect.gen(function*() {
        // time enough to shake hands
        const server = yield* start({ ...longDeadline, IDLE_GRACE_MS: "2000" })
        const old = yield* many(100, used(server))
        yield* (yield* connect(server)).send(HttpPeer.get("/block?ms=1500"))
        yield* blocked(server)
        yield* Effect.forEach(old, (peer) => peer.sendAll(HttpPeer.get("/")), { discard: true })
        // over TLS the handshake comes afterwards
        let connected = 0
        const connecting = HttpPeer.connect(server.port, { tls, onTcpConnect: () => connected++ })
        const fresh = yield* Example.fork(many(100, Effect.flatMap(connecting, (peer) => peer.get("/"))))
        yield* until("all are with the kernel", () => connected === 100)
        yield* server.sigterm
        for (const peer of old) assert.strictEqual((yield* peer.response).body, "ok")
        for (const { body } of yield* Fiber.join(fresh)) assert.strictEqual(body, "ok")
        const { report } = yield* server.exits(0)
        assert.isAtLeast(report.swept, 1)
        assert.strictEqual(report.connections["total"], 201)
      }))

    it.live("50 keep-alive clients whose grace ends while the event loop is held are served", () =>
      Effect.gen(function*() {
        const server = yield* start({ IDLE_GRACE_MS: "2000" })
        const holder = yield* connect(server)
        yield* holder.send(HttpPeer.get("/slow?ms=3500"))
        const old = yield* many(50, used(server))
        // the close begins, and their grace with it; then the loop is held beyond its end
        const block = yield* used(server)
        yield* server.sigterm
        yield* block.send(HttpPeer.get("/block?ms=3000"))
        yield* blocked(server)
        yield* Effect.forEach(old, (peer) => peer.sendAll(HttpPeer.get("/")), { discard: true })
        for (const peer of old) assert.strictEqual((yield* peer.response).body, "ok")
        yield* server.exits(0)
      }))

    it.live("20 HTTP/2 clients that connect and ask while the event loop is held", () =>
      Effect.gen(function*() {
        const server = yield* start(longGrace)
        const block = yield* connect(server)
        yield* block.send(HttpPeer.get("/block?ms=1000"))
        yield* blocked(server)
        const clients = yield* many(20, Http2Client.open(server.port, { tls }))
        const answers = yield* Example.fork(
          Effect.all(clients.map((client) => client.get("/")), { concurrency: "unbounded" })
        )
        const withKernel = ({ session }: Http2Client.Client): boolean => session.socket?.connecting === false
        yield* until("all are with the kernel", () => clients.every(withKernel))
        yield* server.sigterm
        block.socket.end()
        for (const { body } of yield* Fiber.join(answers)) assert.strictEqual(body, "ok")
        yield* server.exits(0)
      }))

    it.live("HTTP/2: 50 streams in flight finish, 100 idle sessions are told and end", () =>
      Effect.gen(function*() {
        const server = yield* start()
        const busy = yield* Http2Client.connect(server.port, { tls })
        const idle = yield* many(100, Http2Client.connect(server.port, { tls }))
        yield* Effect.forEach(idle, (client) => client.get("/"), { concurrency: "unbounded" })
        const answers = yield* Example.fork(many(50, busy.get("/slow?ms=4000")))
        // the session brings it later: the others have been read
        yield* busy.get("/")
        yield* server.sigterm
        for (const client of idle) {
          assert.strictEqual(yield* client.goaway, 0)
          yield* client.closed
        }
        assert.isUndefined(answers.pollUnsafe(), "the streams in flight were answered first")
        for (const { body } of yield* Fiber.join(answers)) assert.strictEqual(body, "done")
        yield* server.exits(0)
      }))

    it.live("HTTP/2: streams opened during the drain are served or refused, never half, and none unanswered is executed", () =>
      Effect.gen(function*() {
        const server = yield* start()
        const busy = yield* Http2Client.connect(server.port, { tls })
        const held = yield* Example.fork(busy.get("/slow?ms=1000"))
        // the session brings it later: the other has been read
        yield* busy.get("/")
        yield* server.sigterm
        const later: Array<Fiber.Fiber<Result.Result<Http2Client.Answer, Error>>> = []
        // from before the GOAWAY has come to after it
        while (server.sinceSigterm() < 300) {
          later.push(yield* Example.fork(Effect.result(busy.get("/stream?chunks=3&ms=30"))))
          yield* Effect.sleep(1)
        }
        assert.strictEqual((yield* Fiber.join(held)).body, "done")
        let served = 0
        for (const fiber of later) {
          const answer = yield* Fiber.join(fiber)
          if (Result.isFailure(answer)) assert.match(answer.failure.message, /after 0 bytes|GOAWAY|destroyed|closed/)
          else {
            assert.strictEqual(answer.success.body, "chunk 1\nchunk 2\nchunk 3\n")
            served++
          }
        }
        const { stderr } = yield* server.exits(0)
        assert.include(stderr, `executed ${served + 2} requests`)
      }))

    it.live("20 WebSockets are told 1001, and the process ends at once", () =>
      Effect.gen(function*() {
        const server = yield* start()
        const url = `${tls ? "wss" : "ws"}://127.0.0.1:${server.port}/ws`
        const clients = yield* many(20, WebSocketClient.connect(url))
        for (const client of clients) {
          yield* client.send("hello")
          assert.strictEqual(yield* client.message, "hello")
        }
        yield* server.sigterm
        for (const client of clients) assert.deepStrictEqual(yield* client.closed, { code: 1001, messages: [] })
        yield* server.exits(0)
        assert.isBelow(server.sinceSigterm(), 2000)
      }))

    it.live("WebSockets that never answer hold it no longer than the bound, and an upgrade meanwhile gets 503", () =>
      Effect.gen(function*() {
        const server = yield* start(longGrace)
        const silent = yield* many(5, connect(server))
        for (const peer of silent) {
          yield* peer.send(WebSocketClient.upgrade("/ws"))
          assert.strictEqual((yield* peer.head).status, 101)
        }
        // half a head has the grace: time enough to see that the close has come
        const late = yield* used(server)
        const request = WebSocketClient.upgrade("/ws")
        yield* late.send(request.slice(0, 20))
        const told = silent[0]!.socket.bytesRead + 1
        yield* server.sigterm
        yield* until("a goodbye has come", () => silent[0]!.socket.bytesRead >= told)
        yield* late.send(request.slice(20))
        const { headers, status } = yield* late.response
        assert.deepStrictEqual([status, headers["connection"]], [503, "close"])
        const { report } = yield* server.exits(0)
        // of two seconds, where the deadline is a minute
        assert.isBelow(report.duration, 30_000)
        assert.isAtLeast(report.duration, 1900)
      }))

    it.live("at the deadline: a handler that never answers and a client that never reads are cut and named", () =>
      Effect.gen(function*() {
        const server = yield* start({ DRAIN_DEADLINE_MS: "1500" })
        const never = yield* connect(server)
        yield* never.send(HttpPeer.get("/never?token=secret"))
        const deaf = yield* connect(server)
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

    it.live("half a head, and half a handshake, hold nothing longer than the idle grace", () =>
      Effect.gen(function*() {
        const server = yield* start()
        const peer = yield* connect(server)
        yield* peer.sendAll("GET / HTTP/1.1\r\nHo")
        const half = yield* HttpPeer.connect(server.port)
        // of a ClientHello, or of the preface of HTTP/2
        yield* half.sendAll(tls ? Buffer.from("16030102000100", "hex") : "PR")
        yield* used(server)
        yield* server.sigterm
        for (const { rest } of [peer, half]) assert.isFalse((yield* rest).partial)
        const { report } = yield* server.exits(0)
        assert.isBelow(report.duration, 250 + 2000)
        assert.deepInclude(report.connections, { total: 3, drained: 0, idle: 3 })
      }))

    it.live("half a head whose rest comes within the grace is served, with the goodbye", () =>
      Effect.gen(function*() {
        const server = yield* start(longGrace)
        const peer = yield* used(server)
        const told = yield* WebSocketClient.connect(`${tls ? "wss" : "ws"}://127.0.0.1:${server.port}/ws`)
        yield* peer.sendAll("GET / HTTP/1.1\r\nHo")
        yield* server.sigterm
        assert.strictEqual((yield* told.closed).code, 1001)
        yield* peer.send("st: test\r\n\r\n")
        const { headers, status } = yield* peer.response
        assert.deepStrictEqual([status, headers["connection"]], [200, "close"])
        yield* server.exits(0)
      }))

    it.live("three pipelined requests are answered, the last with the goodbye; HTTP/1.0, HEAD and a chunked upload, too", () =>
      Effect.gen(function*() {
        const server = yield* start()
        const [pipelined, old, chunked] = [yield* connect(server), yield* connect(server), yield* connect(server)]
        const head = yield* HttpPeer.connect(server.port, { tls, headOnly: true })
        const slow = HttpPeer.get("/slow?ms=3000")
        yield* pipelined.send(slow + slow + slow)
        yield* old.send("GET /slow?ms=3000 HTTP/1.0\r\n\r\n")
        yield* head.send("HEAD /slow?ms=3000 HTTP/1.1\r\nHost: test\r\n\r\n")
        yield* chunked.send(
          "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n"
        )
        const idle = yield* used(server)
        yield* server.sigterm
        // the close has begun when an idle one ends
        assert.deepStrictEqual(yield* idle.rest, fin)
        yield* chunked.send("3\r\ndef\r\n0\r\nX-Sum: 42\r\n\r\n")
        const answer = Effect.map(pipelined.response, ({ body, headers }) => [body, headers["connection"]])
        assert.deepStrictEqual(
          [yield* answer, yield* answer, yield* answer],
          [["done", "keep-alive"], ["done", "keep-alive"], ["done", "close"]]
        )
        // later ones are never executed
        yield* pipelined.send(HttpPeer.get("/"))
        for (const [peer, body] of [[old, "done"], [head, ""], [chunked, "6"]] as const) {
          const response = yield* peer.response
          assert.deepStrictEqual([response.status, response.body, response.headers["connection"]], [200, body, "close"])
        }
        const { report, stderr } = yield* server.exits(0)
        assert.deepStrictEqual([report.refused, report.connections["drained"]], [1, 4])
        assert.include(stderr, "executed 7 requests")
      }))

    it.live("2,000 connections, half of them reset by the client, leave no descriptor behind", () =>
      Effect.gen(function*() {
        const server = yield* start()
        const open = () => Fs.readdirSync(`/proc/${server.pid}/fd`).length
        const before = open()
        for (let round = 0; round < 10; round++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const peers = yield* many(200, used(server))
            for (const peer of peers.slice(100)) yield* peer.reset
            // the scope ends the others
          }))
        }
        yield* until("nothing is left", () => open() <= before)
        yield* server.sigterm
        yield* server.exits(0)
      }))

    it.live("a later SIGTERM exits at once, with 143", () =>
      Effect.gen(function*() {
        const server = yield* start()
        const peer = yield* connect(server)
        yield* peer.send(HttpPeer.get("/never"))
        yield* used(server)
        yield* server.sigterm
        let lines = 0
        // the second line: no copy of the first signal can come after it
        yield* server.stderr((line) => line.includes("draining 1 of 2") && ++lines === 2 ? line : undefined)
        yield* server.sigterm
        const exit = yield* server.exit
        assert.strictEqual(exit.code, 143)
        assert.isBelow(server.sinceSigterm(), 2000)
        assert.strictEqual(exit.stdout.length, 1)
      }))
  })
