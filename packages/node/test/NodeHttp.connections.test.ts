import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Http from "node:http"
import * as Https from "node:https"
import type * as Net from "node:net"
import * as Path from "node:path"
import type { Duplex } from "node:stream"
import { selfSigned } from "./support/certificates.ts"
import * as Http2Client from "./support/http2Client.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import * as HttpServing from "./support/httpServing.ts"
import {
  descriptors,
  folder,
  many,
  quiet,
  start,
  timed,
  until,
  untilDescriptors,
  untilStage
} from "./support/listening.ts"
import { turns } from "./support/resources.ts"
import { median } from "./support/smallWrites.ts"
import { alert, connectTls, wiretap } from "./support/tlsClient.ts"

const fin = { ending: "FIN", partial: false }
const ok = HttpServerResponse.text("ok")

/** Counts how its requests end. */
const makeWaiting = Effect.sync(() => {
  const ends: Array<"interrupted" | "answered"> = []
  const gate = Deferred.makeUnsafe<void>()
  let begun = 0
  const app = Effect.suspend(() => {
    begun++
    return Effect.interruptible(Deferred.await(gate))
  }).pipe(
    Effect.onExit((exit) => Effect.sync(() => ends.push(Exit.isSuccess(exit) ? "answered" : "interrupted"))),
    Effect.as(ok)
  )
  return { ends, app, begun: () => begun, release: Deferred.succeed(gate, undefined) }
})

describe("a client that goes away", () => {
  it.live.each(["reset", "destroy", "end"] as const)("by %s interrupts the handler", (how) =>
    Effect.gen(function*() {
      const waiting = yield* makeWaiting
      const serving = yield* HttpServing.app(waiting.app)
      const peer = yield* HttpPeer.connect(serving.port)
      yield* peer.send(HttpPeer.get("/"))
      yield* until("the handler runs", () => waiting.begun() === 1)
      if (how === "reset") peer.socket.resetAndDestroy()
      else peer.socket[how]()
      yield* until("the handler has ended", () => waiting.ends.length === 1)
      assert.deepStrictEqual(waiting.ends, ["interrupted"])
      yield* until("the connection is gone", () => Effect.runSync(serving.listener.connections).length === 0)
    }).pipe(quiet))

  it.live("by ending its side gets its answer, with halfOpen", () =>
    Effect.gen(function*() {
      const waiting = yield* makeWaiting
      let socket: Net.Socket | undefined
      const app = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        socket = NodeHttpServerRequest.toIncomingMessage(request).socket
        return waiting.app
      })
      const serving = yield* HttpServing.app(app, { halfOpen: true })
      const peer = yield* HttpPeer.connect(serving.port)
      yield* peer.send(HttpPeer.get("/"))
      yield* until("the handler runs", () => waiting.begun() === 1)
      peer.socket.end()
      yield* until("the server knows", () => socket?.readableEnded === true)
      yield* waiting.release
      assert.strictEqual((yield* peer.response).body, "ok")
      assert.deepStrictEqual(yield* peer.rest, fin)
    }).pipe(quiet))

  it.live("by ending its side gets the whole of an answer that has begun, with halfOpen", () =>
    Effect.gen(function*() {
      const size = 64 << 20
      let socket: Net.Socket | undefined
      const createServer = () =>
        Http.createServer().on("connection", (accepted) => {
          socket = accepted
        })
      const large = HttpServerResponse.uint8Array(Buffer.alloc(size, "x"))
      const serving = yield* HttpServing.given(createServer, Effect.succeed(large), { halfOpen: true })
      const peer = yield* HttpPeer.connect(serving.port)
      yield* peer.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
      yield* peer.head
      peer.socket.pause()
      peer.socket.end()
      yield* until("the server knows", () => socket?.readableEnded === true || socket?.destroyed === true)
      assert.isAbove(socket!.writableLength, 0)
      peer.socket.resume()
      assert.strictEqual((yield* peer.response).length, size)
      assert.deepStrictEqual(yield* peer.rest, fin)
    }).pipe(quiet))

  it.live("2,000 connections, half of them reset by the client, leave no descriptor behind", () =>
    Effect.gen(function*() {
      const before = descriptors()
      yield* Effect.scoped(Effect.gen(function*() {
        const serving = yield* HttpServing.app(Effect.succeed(ok))
        for (let round = 0; round < 10; round++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const peers = yield* many(200, HttpPeer.connect(serving.port))
            yield* Effect.forEach(peers, (peer) => peer.get("/"), { concurrency: "unbounded" })
            for (const [index, { socket }] of peers.entries()) {
              if (index % 2 === 0) socket.resetAndDestroy()
            }
          }))
        }
        yield* until("every connection is gone", () => Effect.runSync(serving.listener.connections).length === 0)
      }))
      yield* untilDescriptors(before)
    }).pipe(quiet))
})

describe("Expect: 100-continue", () => {
  const reading = Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    return request.url === "/read"
      ? HttpServerResponse.text(String((yield* Effect.orDie(request.text)).length))
      : HttpServerResponse.text("too large", { status: 413 })
  })
  const post = (path: string) =>
    `POST ${path} HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`

  it.live("is answered when the handler reads, and the connection stays", () =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.app(reading)
      const peer = yield* HttpPeer.connect(port)
      for (let round = 0; round < 2; round++) {
        yield* peer.send(post("/read"))
        assert.strictEqual((yield* peer.response).status, 100)
        yield* peer.send("hello")
        const { body, headers } = yield* peer.response
        assert.deepStrictEqual([body, headers["connection"]], ["5", "keep-alive"])
      }
    }).pipe(quiet))

  it.live("is not answered before an early answer, which ends the connection", () =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.app(reading)
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(post("/reject"))
      const { headers, status } = yield* peer.response
      assert.deepStrictEqual([status, headers["connection"]], [413, "close"])
      assert.deepStrictEqual(yield* peer.rest, fin)
    }).pipe(quiet))

  it.live("is answered over HTTP/2, and not before an early answer", () =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.app(reading)
      const client = yield* Http2Client.connect(port)
      const ask = (path: string) =>
        Effect.callback<ReadonlyArray<unknown>>((resume) => {
          const seen: Array<unknown> = []
          const stream = client.session.request({ ":path": path, ":method": "POST", expect: "100-continue" }, {
            endStream: false
          })
          stream.on("error", () => {})
          stream.on("continue", () => {
            seen.push(100)
            stream.end("hello")
          })
          stream.on("response", (headers) => {
            seen.push(headers[":status"])
            resume(Effect.succeed(seen))
          })
        })
      assert.deepStrictEqual([yield* ask("/read"), yield* ask("/reject")], [[100, 200], [413]])
    }).pipe(quiet))

  it.live("is answered in a drain", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const { listener, port } = yield* HttpServing.app(
        Effect.andThen(Deferred.succeed(begun, undefined), Effect.andThen(Deferred.await(gate), reading))
      )
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(post("/read"))
      yield* Deferred.await(begun)
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* peer.response).status, 100)
      yield* peer.send("hello")
      const { body, headers } = yield* peer.response
      assert.deepStrictEqual([body, headers["connection"]], ["5", "close"])
      yield* Fiber.join(closing)
    }).pipe(quiet))
})

describe("time-outs", () => {
  const limits = { firstByte: 300, head: 400, request: 900, inactivity: 300, handshake: 300 }
  const reading = Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    return HttpServerResponse.text(String((yield* Effect.orDie(request.text)).length))
  })
  const serve = HttpServing.app(reading, { timeouts: limits })
  const sending = (port: number, bytes: string | Uint8Array) =>
    Effect.tap(HttpPeer.connect(port), (peer) => peer.send(bytes))
  const answerTo = (port: number, bytes: string) => Effect.flatMap(sending(port, bytes), ({ response }) => response)
  const endAfter = (port: number, bytes: Uint8Array) => Effect.flatMap(sending(port, bytes), ({ ending }) => ending)

  const silence = { timeouts: { firstByte: 300 } }
  const silentServers = {
    "in the clear": serve,
    "over TLS": HttpServing.app(reading, { ...silence, tls: selfSigned() }),
    "without HTTP/2": HttpServing.app(reading, { ...silence, http2: false }),
    "with a server that is given": HttpServing.given(Http.createServer, reading, silence),
    "with a server that is given, over TLS": HttpServing.given(() => Https.createServer(selfSigned()), reading, silence)
  }

  it.live.each(Object.entries(silentServers))(
    "a client that says nothing is ended, %s",
    ([name, serve]) =>
      Effect.gen(function*() {
        const { port } = yield* serve
        const tls = name.includes("TLS")
        const silent = Effect.flatMap(HttpPeer.connect(port, { tls }), (peer) => peer.rest)
        const ending = yield* start(timed(silent))
        const busy = yield* HttpPeer.connect(port, { tls })
        yield* busy.get("/")
        const [how, millis] = yield* Fiber.join(ending)
        assert.deepStrictEqual(how, fin)
        assert.isAtLeast(millis, 299)
        assert.isBelow(millis, 300 + 2000)
        assert.strictEqual((yield* busy.get("/")).status, 200)
      }).pipe(quiet)
  )

  it.live("half a head is answered 408", () =>
    Effect.gen(function*() {
      const { port } = yield* serve
      const [{ status }, millis] = yield* timed(answerTo(port, "GET / HTTP/1.1\r\nHo"))
      assert.strictEqual(status, 408)
      assert.isAtLeast(millis, 399)
    }).pipe(quiet))

  it.live("half a body is answered 408", () =>
    Effect.gen(function*() {
      const { port } = yield* serve
      const half = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello"
      const [{ status }, millis] = yield* timed(answerTo(port, half))
      assert.strictEqual(status, 408)
      assert.isAtLeast(millis, 899)
    }).pipe(quiet))

  it.live("an idle connection is ended", () =>
    Effect.gen(function*() {
      const { port } = yield* serve
      const peer = yield* HttpPeer.connect(port)
      // not from its answer on: that may be heard late
      const [{ partial }, millis] = yield* timed(Effect.andThen(peer.get("/"), peer.rest))
      assert.isFalse(partial)
      assert.isAtLeast(millis, 299)
      // Node adds a second of its own
      assert.isBelow(millis, 1300 + 2000)
    }).pipe(quiet))

  it.live("half a handshake is ended", () =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.app(reading, { timeouts: limits, tls: selfSigned() })
      const [, millis] = yield* timed(endAfter(port, Buffer.from("16030102000100", "hex")))
      assert.isAtLeast(millis, 299)
    }).pipe(quiet))

  it.live("half a handshake with a server that is given is ended", () =>
    Effect.gen(function*() {
      const make = () => Https.createServer(selfSigned())
      const { port } = yield* HttpServing.given(make, reading, { timeouts: { handshake: 300 } })
      const [, millis] = yield* timed(endAfter(port, Buffer.from("16030102000100", "hex")))
      assert.isAtLeast(millis, 299)
    }).pipe(quiet))

  it.live("an HTTP/2 session without a stream is ended, and one that is idle, and a request that does not come", () =>
    Effect.gen(function*() {
      const { port } = yield* serve
      const silent = yield* Http2Client.connect(port)
      const idle = yield* Http2Client.connect(port)
      const late = yield* Http2Client.connect(port)
      assert.strictEqual((yield* idle.get("/")).status, 200)
      const request = yield* start(Effect.callback<number>((resume) => {
        const stream = late.session.request({ ":path": "/", ":method": "POST" }, { endStream: false })
        stream.on("error", () => {})
        stream.on("response", (headers) => resume(Effect.succeed(headers[":status"] ?? 0)))
      }))
      yield* Effect.all([silent.closed, idle.closed])
      assert.strictEqual(yield* Fiber.join(request), 408)
    }).pipe(quiet))

  it.live("are Node's own on a server that is given, but for what is said", () =>
    Effect.gen(function*() {
      let server: Http.Server | undefined
      const make = () => server = Http.createServer({ headersTimeout: 1234 })
      yield* NodeHttp.make(make, { port: 0, host: "127.0.0.1", timeouts: { inactivity: 700 } })
      assert.deepInclude(server, { headersTimeout: 1234, keepAliveTimeout: 700, requestTimeout: 300_000 })
    }).pipe(quiet))

  it.live("one that cannot be is an error of the layer", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(NodeHttp.make({ port: 0, timeouts: { head: -1 } }))
      assert.strictEqual(error._tag, "ServeError")
      assert.include(String(error.cause), "timeouts.head")
    }).pipe(quiet))
})

describe("a tunnel that an application accepts with a listener of its own", () => {
  const connectRequest = "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n"
  const accept = (_request: Http.IncomingMessage, socket: Duplex) => {
    socket.write("HTTP/1.1 200 OK\r\n\r\n")
    socket.pipe(socket)
  }
  const serve = (listens: "before" | "after" | "never", tls = false) =>
    Effect.gen(function*() {
      const server = tls ? Https.createServer(selfSigned()) : Http.createServer()
      if (listens === "before") server.on("connect", accept)
      const serving = yield* HttpServing.given(() => server, Effect.succeed(ok))
      if (listens === "after") server.on("connect", accept)
      const peer = yield* HttpPeer.connect(serving.port, { tls })
      assert.strictEqual((yield* peer.get("/")).body, "ok")
      yield* peer.send(connectRequest)
      return { ...serving, peer }
    })

  it.live.each([["before", false], ["after", false], ["before", true], ["after", true]] as const)(
    "is in flight to its end: added %s the server was given, TLS %s",
    ([listens, tls]) =>
      Effect.gen(function*() {
        const { listener, peer } = yield* serve(listens, tls)
        assert.strictEqual((yield* peer.head).status, 200)
        const closing = yield* start(listener.close({ idleGrace: 0 }))
        yield* untilStage(listener, "Draining")
        const [info] = yield* listener.connections
        assert.deepStrictEqual(
          [info?.phase, info?.protocol, info?.exchanges.map(({ label }) => label)],
          ["Active", "tunnel", ["CONNECT other.example:443"]]
        )
        yield* peer.sendAll("still here")
        yield* Effect.sleep(50)
        peer.socket.end(", and gone")
        assert.strictEqual((yield* peer.response).body, "still here, and gone")
        assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 1, drained: 1 })
      }).pipe(quiet)
  )

  it.live("hears the end of its client after its own", () =>
    Effect.gen(function*() {
      let heard = ""
      const hangUp = (_request: Http.IncomingMessage, socket: Duplex) => {
        socket.on("data", (chunk) => {
          heard += String(chunk)
        })
        socket.on("end", () => {
          heard += ", and its end"
        })
        socket.end("HTTP/1.1 200 OK\r\n\r\n")
      }
      const createServer = () => Http.createServer().on("connect", hangUp)
      const { port } = yield* HttpServing.given(createServer, Effect.succeed(ok))
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(connectRequest)
      assert.deepStrictEqual(yield* peer.rest, fin)
      peer.socket.end("a last word")
      yield* until("the server has heard all", () => heard === "a last word, and its end")
    }).pipe(quiet))

  it.live("is cut at the deadline, and named", () =>
    Effect.gen(function*() {
      const { listener, peer } = yield* serve("before")
      yield* peer.head
      const error = yield* Effect.flip(listener.close({ deadline: 200 }))
      const report = error._tag === "OperationTimedOut" ? error.report : undefined
      assert.deepStrictEqual(report?.cut.map(({ exchanges }) => exchanges[0]?.label), ["CONNECT other.example:443"])
      assert.strictEqual(yield* peer.ending, "ECONNRESET")
    }).pipe(quiet))

  it.live("is ended by Node where it has no listener", () =>
    Effect.gen(function*() {
      const { peer } = yield* serve("never")
      assert.isFalse((yield* peer.rest).partial)
    }).pipe(quiet))
})

describe("where it listens and which clients it serves", () => {
  it.live("small pieces of a body are sent at once, unless the transport is told not to", () =>
    Effect.gen(function*() {
      const pieces = Stream.mapEffect(Stream.make("a", "b", "c"), (piece) => Effect.as(turns(1), piece))
      const answer = Effect.fnUntraced(function*(options: Partial<NodeTcp.TransportOptions>) {
        const transport = NodeTcp.transport({ host: "127.0.0.1", port: 0, ...options })
        const body = Effect.sync(() => HttpServerResponse.stream(Stream.encodeText(pieces)))
        const { port } = yield* HttpServing.app(body, { transport })
        const peer = yield* HttpPeer.connect(port)
        return yield* median(peer.send(HttpPeer.get("/")), () => peer.response)
      })
      // the kernel holds back what follows the head until the client has acknowledged that, which it does after 40 ms
      assert.isBelow(2 * (yield* answer({})), yield* answer({ noDelay: false }))
    }).pipe(quiet))

  it.live("a Unix socket", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder(), "http")
      const { listener } = yield* HttpServing.app(Effect.succeed(ok), { path })
      const peer = yield* HttpPeer.connect(0, { path })
      assert.strictEqual((yield* peer.get("/")).body, "ok")
      const report = yield* listener.close({ idleGrace: 0 })
      assert.deepStrictEqual(yield* peer.rest, fin)
      assert.strictEqual(report.outcome, "Drained")
    }).pipe(quiet))

  it.live("a client that admission refuses gets a 503, and when to come again", () =>
    Effect.gen(function*() {
      const release = yield* Deferred.make<void>()
      const held = Effect.flatMap(
        HttpServerRequest.HttpServerRequest,
        ({ url }) => Effect.as(url === "/held" ? Deferred.await(release) : Effect.void, ok)
      )
      const { listener, port } = yield* HttpServing.app(held, { admission: { maxConnections: 1, overflow: "reject" } })
      const first = yield* HttpPeer.connect(port)
      // an idle one would make room
      yield* first.send(HttpPeer.get("/held"))
      yield* until("it is busy", () => Effect.runSync(listener.dryRun).active === 1)
      const second = yield* HttpPeer.connect(port)
      yield* second.send(HttpPeer.get("/"))
      const { headers, status } = yield* second.response
      assert.strictEqual(status, 503)
      assert.include(["1", "2", "3", "4", "5"], headers["retry-after"])
      assert.deepStrictEqual(yield* second.rest, fin)
      yield* Deferred.succeed(release, undefined)
      assert.strictEqual((yield* first.response).status, 200)
      yield* listener.close({ idleGrace: 0 })
    }).pipe(quiet))

  it.live("a client that waits for a place when it closes gets the same, before any other has ended, and none is reset", () =>
    Effect.gen(function*() {
      const waiting = yield* makeWaiting
      const { listener, port } = yield* HttpServing.app(waiting.app, { admission: { maxConnections: 1 } })
      const first = yield* HttpPeer.connect(port)
      yield* first.send(HttpPeer.get("/"))
      yield* until("the handler runs", () => waiting.begun() === 1)
      const others = yield* many(20, HttpPeer.connect(port))
      yield* Effect.forEach(others, (peer) => peer.send(HttpPeer.get("/")))
      yield* until("the others wait", () => Effect.runSync(listener.dryRun).queued === 20)
      const closing = yield* start(listener.close())
      for (const peer of others) {
        const { headers, status } = yield* peer.response
        assert.strictEqual(status, 503)
        assert.isDefined(headers["retry-after"])
        assert.deepStrictEqual(yield* peer.rest, fin)
      }
      assert.deepStrictEqual([waiting.begun(), waiting.ends.length, first.responses()], [1, 0, 0])
      yield* waiting.release
      assert.strictEqual((yield* first.response).status, 200)
      const { connections, outcome } = yield* Fiber.join(closing)
      assert.strictEqual(outcome, "Drained")
      assert.deepInclude(connections, { total: 21, drained: 1, neverAccepted: 20 })
    }).pipe(quiet))

  it.live("in a lame duck all clients, with the goodbye on each answer, and idle connections stay", () =>
    Effect.gen(function*() {
      const { listener, port } = yield* HttpServing.app(Effect.succeed(ok))
      const idle = yield* HttpPeer.connect(port)
      yield* idle.get("/")
      const closing = yield* start(listener.close({ lameDuck: 3000, idleGrace: 0 }))
      yield* untilStage(listener, "LameDuck")
      const fresh = yield* HttpPeer.connect(port)
      assert.strictEqual((yield* fresh.get("/")).headers["connection"], "close")
      assert.deepStrictEqual(yield* fresh.rest, fin)
      assert.isFalse(idle.socket.readableEnded)
      assert.strictEqual((yield* idle.get("/")).headers["connection"], "close")
      const h2 = yield* Http2Client.connect(port)
      assert.strictEqual((yield* h2.get("/")).status, 200)
      assert.strictEqual(yield* h2.goaway, 0)
      yield* Fiber.join(closing)
    }).pipe(quiet))

  it.live.each(["http/1.1", "h2"])(
    "over TLS, which says close_notify before the FIN: %s",
    (protocol) =>
      Effect.gen(function*() {
        const pair = selfSigned()
        const { listener } = yield* HttpServing.app(Effect.succeed(ok), { tls: pair })
        const tap = yield* wiretap(yield* listener.address)
        // up to TLS 1.2 a wiretap sees what is an alert
        const options = { ca: pair.cert, maxVersion: "TLSv1.2", socket: tap.stream, ALPNProtocols: [protocol] } as const
        const peer = yield* connectTls(yield* listener.address, options)
        assert.strictEqual(peer.socket.alpnProtocol, protocol)
        // nothing but a preface makes a session
        if (protocol === "h2") yield* peer.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        const closing = yield* start(listener.close({ idleGrace: 0 }))
        assert.strictEqual(yield* peer.ending, "FIN")
        yield* until("the TCP connection is over", () => typeof tap.records.at(-1) === "string")
        peer.socket.destroy()
        yield* Fiber.join(closing)
        const [notify, end] = tap.records.slice(-2)
        assert.deepInclude(notify, { type: alert })
        assert.strictEqual(end, "FIN")
      }).pipe(quiet)
  )

  it.live("an abort signal closes it", () =>
    Effect.gen(function*() {
      const controller = new AbortController()
      const { listener, port } = yield* HttpServing.app(Effect.succeed(ok), { signal: controller.signal })
      const peer = yield* HttpPeer.connect(port)
      yield* peer.get("/")
      controller.abort()
      assert.strictEqual((yield* listener.closed).outcome, "Drained")
    }).pipe(quiet))

  it.live("with disablePreemptiveShutdown, the end of serving interrupts its handlers and leaves the listener open", () =>
    Effect.gen(function*() {
      const waiting = yield* makeWaiting
      const scope = yield* Scope.make()
      const outer = yield* Effect.scope
      const server = yield* NodeHttp.make({ host: "127.0.0.1", port: 0, disablePreemptiveShutdown: true })
      yield* Scope.provide(server.serve(waiting.app), scope)
      const { address } = server
      const port = address._tag === "UnixPathAddress" ? 0 : address.port
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(HttpPeer.get("/"))
      yield* until("the handler runs", () => waiting.begun() === 1)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(waiting.ends, ["interrupted"])
      assert.strictEqual((yield* peer.response).status, 503)
      yield* Scope.provide(server.serve(Effect.succeed(ok)), outer)
      assert.strictEqual((yield* (yield* HttpPeer.connect(port)).get("/")).body, "ok")
    }).pipe(quiet))

  it.live("a request finds its connection; there is none outside of this package", () =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.app(Effect.map(NodeHttp.connection, (connection) =>
        HttpServerResponse.text(Option.match(connection, {
          onNone: () => "none",
          onSome: ({ listener }) => listener
        }))))
      assert.strictEqual((yield* (yield* HttpPeer.connect(port)).get("/")).body, "http")
      const client = yield* Http2Client.connect(port)
      assert.strictEqual((yield* client.get("/")).body, "http")
      const web = HttpServerRequest.fromWeb(new Request("http://test/"))
      const none = yield* Effect.provideService(NodeHttp.connection, HttpServerRequest.HttpServerRequest, web)
      assert.isTrue(Option.isNone(none))
    }).pipe(quiet))
})
