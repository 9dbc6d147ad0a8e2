import * as NodeHttp from "@effect-listener/node/NodeHttp"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Http2 from "node:http2"
import * as Https from "node:https"
import * as Net from "node:net"
import { performance } from "node:perf_hooks"
import * as Tls from "node:tls"
import { selfSigned } from "./support/certificates.ts"
import * as Http2Client from "./support/http2Client.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import * as HttpServing from "./support/httpServing.ts"
import { many, quiet, start, until, untilStage } from "./support/listening.ts"
import { connect } from "./support/peer.ts"

const ok = HttpServerResponse.text("ok")

/** Answers when it is let, and counts what it has executed. */
const makeHeld = Effect.sync(() => {
  const gate = Deferred.makeUnsafe<void>()
  let executed = 0
  return {
    executed: () => executed,
    release: Deferred.succeed(gate, undefined),
    app: Effect.suspend(() => {
      executed++
      return Effect.as(Effect.interruptible(Deferred.await(gate)), ok)
    })
  }
})

describe.each([{ tls: false }, { tls: true }])("HTTP/2, TLS $tls", ({ tls }) => {
  const options = tls ? { tls: selfSigned() } : {}

  it.live("a stream that closes its own listener waits for the others of its session, and not for itself", () =>
    Effect.gen(function*() {
      const held = yield* makeHeld
      const serving: HttpServing.Serving = yield* HttpServing.app(
        Effect.gen(function*() {
          const { url } = yield* HttpServerRequest.HttpServerRequest
          if (url !== "/shutdown") return yield* held.app
          const { connections } = yield* Effect.orDie(serving.listener.close())
          return HttpServerResponse.text(`closer ${connections.closer}`)
        }),
        options
      )
      const client = yield* Http2Client.connect(serving.port, { tls })
      const others = yield* start(Effect.all([client.get("/"), client.get("/")], { concurrency: "unbounded" }))
      yield* until("they are executed", () => held.executed() === 2)
      const closer = yield* start(client.get("/shutdown"))
      yield* untilStage(serving.listener, "Draining")
      yield* held.release
      assert.deepStrictEqual((yield* Fiber.join(others)).map(({ body }) => body), ["ok", "ok"])
      assert.strictEqual((yield* Fiber.join(closer)).body, "closer 1")
    }))

  it.live("50 streams in flight finish, on one session and on many", () =>
    Effect.gen(function*() {
      const held = yield* makeHeld
      const { listener, port } = yield* HttpServing.app(held.app, options)
      const one = yield* Http2Client.connect(port, { tls })
      const more = yield* many(25, Http2Client.connect(port, { tls }))
      const answers = yield* start(Effect.all(
        [...Array.from({ length: 25 }, () => one.get("/")), ...more.map((client) => client.get("/"))],
        { concurrency: "unbounded" }
      ))
      yield* until("50 are executed", () => held.executed() === 50)
      const closing = yield* start(listener.close())
      yield* Effect.forEach([one, ...more], (client) => client.goaway)
      yield* held.release
      for (const { body, status } of yield* Fiber.join(answers)) assert.deepStrictEqual([status, body], [200, "ok"])
      const { connections, outcome } = yield* Fiber.join(closing)
      assert.strictEqual(outcome, "Drained")
      assert.deepInclude(connections, { total: 26, drained: 26 })
    }).pipe(quiet))

  it.live.each([{ order: "123456" }, { order: "654321" }, { order: "316254" }])(
    "what is in flight on a session is told oldest first, whichever ends first: $order",
    ({ order }) =>
      Effect.gen(function*() {
        const gates = new Map(Array.from(order, (name) => [`/${name}`, Deferred.makeUnsafe<void>()]))
        const app = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) =>
          Effect.as(Effect.interruptible(Deferred.await(gates.get(url)!)), ok))
        const { listener, port } = yield* HttpServing.app(app, options)
        const client = yield* Http2Client.connect(port, { tls })
        const told = () =>
          Effect.runSync(listener.connections)
            .flatMap(({ exchanges }) =>
              exchanges.map(({ label }) => label)
            )
            .join(" ")
        const left = ["GET /1", "GET /2", "GET /3", "GET /4", "GET /5", "GET /6"]
        for (const path of ["/1", "/2", "/3", "/4", "/5", "/6"]) {
          const before = told()
          yield* start(client.get(path))
          yield* until(`${path} is told`, () => told() !== before)
        }
        for (const name of order) {
          assert.strictEqual(told(), left.join(" "))
          yield* Deferred.succeed(gates.get(`/${name}`)!, undefined)
          left.splice(left.indexOf(`GET /${name}`), 1)
          yield* until(`${name} has ended`, () => !told().includes(`/${name}`))
        }
        assert.strictEqual(told(), "")
        assert.deepInclude((yield* listener.close()).connections, { total: 1, idle: 1 })
      }).pipe(quiet)
  )

  it.live("100 idle sessions are told, and end", () =>
    Effect.gen(function*() {
      const { listener, port } = yield* HttpServing.app(Effect.succeed(ok), options)
      const clients = yield* many(100, Http2Client.connect(port, { tls }))
      yield* Effect.forEach(clients, (client) => client.get("/"), { concurrency: "unbounded" })
      const { connections, duration } = yield* listener.close()
      assert.deepInclude(connections, { total: 100, idle: 100 })
      assert.isBelow(duration, 2250)
      for (const client of clients) {
        assert.strictEqual(yield* client.goaway, 0)
        yield* client.closed
      }
    }).pipe(quiet))

  it.live("a stream opened during the drain is served or refused, never half", () =>
    Effect.gen(function*() {
      const held = yield* makeHeld
      const { listener, port } = yield* HttpServing.app(held.app, options)
      const client = yield* Http2Client.connect(port, { tls })
      const first = yield* start(client.get("/"))
      yield* until("the first is executed", () => held.executed() === 1)
      const closing = yield* start(listener.close())
      // from before the GOAWAY has come to after it
      const later = yield* start(Effect.forEach(
        Array.from({ length: 20 }),
        () =>
          Effect.tap(
            Effect.forkScoped(Effect.result(client.get("/")), { startImmediately: true }),
            () => Effect.sleep(1)
          )
      ))
      yield* untilStage(listener, "Draining")
      const fibers = yield* Fiber.join(later)
      yield* held.release
      assert.strictEqual((yield* Fiber.join(first)).status, 200)
      let served = 1
      for (const fiber of fibers) {
        const answer = yield* Fiber.join(fiber)
        if (Result.isSuccess(answer)) served++
        // refused, or not even sent
        else assert.match(answer.failure.message, /after 0 bytes|GOAWAY|destroyed|closed/)
      }
      assert.strictEqual(held.executed(), served)
      assert.strictEqual((yield* Fiber.join(closing)).outcome, "Drained")
    }).pipe(quiet))

  it.live("an upload that is not read does not hold the drain when its answer is out", () =>
    Effect.gen(function*() {
      const answering = Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        yield* Stream.runDrain(Stream.take(request.stream, 1))
        yield* Effect.sleep(200)
        return HttpServerResponse.text("enough", { status: 413 })
      })
      const { listener, port } = yield* HttpServing.app(Effect.orDie(answering), options)
      const client = yield* Http2Client.connect(port, { tls })
      const request = { ":path": "/", ":method": "POST" }
      const answer = yield* start(client.request(request, { body: Buffer.alloc(8 << 20) }))
      yield* until("the request is there", () => Effect.runSync(listener.connections)[0]?.exchanges.length === 1)
      const { duration, outcome } = yield* listener.close({ deadline: 5000 })
      assert.strictEqual(outcome, "Drained")
      assert.isBelow(duration, 4000)
      assert.strictEqual((yield* Fiber.join(answer)).status, 413)
    }).pipe(quiet))

  it.live("a client that leaves without a word leaves nothing behind", () =>
    Effect.gen(function*() {
      const { listener, port } = yield* HttpServing.app(Effect.succeed(ok), options)
      // under TLS Node's clients have no reset
      for (const leave of tls ? ["end", "destroy"] as const : ["end", "destroy", "resetAndDestroy"] as const) {
        const socket = yield* Effect.acquireRelease(
          Effect.sync(() =>
            tls
              ? Tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"] })
              : Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
          ),
          (socket) => Effect.sync(() => socket.destroy())
        )
        socket.on("error", () => {})
        socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        yield* until("the server has spoken", () => socket.bytesRead > 0)
        socket[leave]()
        yield* until(`nothing is left after ${leave}`, () => Effect.runSync(listener.connections).length === 0)
      }
    }).pipe(quiet))

  it.live("a client that resets its stream interrupts the handler", () =>
    Effect.gen(function*() {
      let interrupted = false
      const begun = yield* Deferred.make<void>()
      const { port } = yield* HttpServing.app(
        Effect.andThen(Deferred.succeed(begun, undefined), Effect.interruptible(Effect.never)).pipe(
          Effect.onInterrupt(() =>
            Effect.sync(() => {
              interrupted = true
            })
          )
        ),
        options
      )
      const client = yield* Http2Client.connect(port, { tls })
      const stream = client.session.request({ ":path": "/" })
      stream.on("error", () => {})
      yield* Deferred.await(begun)
      stream.close(Http2.constants.NGHTTP2_CANCEL)
      yield* until("it was interrupted", () => interrupted)
    }).pipe(quiet))
})

/** A client of bytes: it can write at any moment, and its kernel has it at once. */
const connectRaw = (port: number) =>
  Effect.gen(function*() {
    const peer = yield* connect({ host: "127.0.0.1", port })
    // what is written is with the server's kernel at once, not only when it has acknowledged what came before
    peer.socket.setNoDelay(true)
    let bytes = Buffer.alloc(0)
    peer.socket.on("data", (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
    })
    yield* peer.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
    yield* peer.received(9)
    /** A GET of `/` from the authority `x`: a HEADERS frame of indices of the static table. */
    const get = (stream: number) => {
      peer.socket.write(Buffer.from([0, 0, 6, 1, 5, 0, 0, 0, stream, 0x82, 0x86, 0x84, 0x41, 1, 0x78]))
    }
    return { get, ending: peer.ending, frames: () => framesOf(bytes) }
  })

/** Frames by their type and their stream, of GOAWAY the last stream that was taken, and nothing of the settings. */
const framesOf = (bytes: Buffer): ReadonlyArray<readonly [type: number, stream: number]> => {
  const frames: Array<readonly [number, number]> = []
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    const type = bytes[at + 3]!
    if (type !== 4) frames.push([type, bytes.readUInt32BE(type === 7 ? at + 9 : at + 5)])
  }
  return frames
}

const goaway = 7
const headers = 1

describe("a stream that had arrived when its HTTP/2 session is told to go is served", () => {
  it.live("while others are in flight", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      let executed = 0
      let onDraining = () => {}
      const { listener, port } = yield* HttpServing.app(Effect.gen(function*() {
        executed++
        const { draining } = Option.getOrThrow(yield* NodeHttp.connection)
        if (executed > 1) return ok
        yield* Effect.andThen(draining, Effect.sync(() => onDraining()))
        yield* Deferred.await(gate)
        return ok
      }))
      const client = yield* connectRaw(port)
      onDraining = () => client.get(3)
      client.get(1)
      yield* until("the first is executed", () => executed === 1)
      const closing = yield* start(listener.close())
      yield* until("the second is executed", () => executed === 2)
      yield* Deferred.succeed(gate, undefined)
      yield* client.ending
      const frames = client.frames()
      assert.deepStrictEqual(frames.filter(([type]) => type === headers).map(([, stream]) => stream), [3, 1])
      assert.deepStrictEqual(frames.findLast(([type]) => type === goaway), [goaway, 3])
      assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 1, drained: 1 })
    }).pipe(quiet))

  it.live("with the first of a late session", () =>
    Effect.gen(function*() {
      const server = Http2.createServer()
      const { listener, port } = yield* HttpServing.given(() => server, Effect.succeed(ok), {
        drain: { idleGrace: "10 seconds" }
      })
      const client = yield* connectRaw(port)
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      // the kernel has the second while the first is being read
      server.once("request", () => client.get(3))
      client.get(1)
      yield* client.ending
      const frames = client.frames()
      assert.deepStrictEqual(frames.filter(([type]) => type === headers).map(([, stream]) => stream), [1, 3])
      assert.deepStrictEqual(frames.findLast(([type]) => type === goaway), [goaway, 3])
      yield* Fiber.join(closing)
    }).pipe(quiet))

  it.live("and one that comes after the goodbye is not, and not counted: Node does not tell of it", () =>
    Effect.gen(function*() {
      const held = yield* makeHeld
      const { listener, port } = yield* HttpServing.app(held.app)
      const client = yield* connectRaw(port)
      client.get(1)
      yield* until("it is executed", () => held.executed() === 1)
      const closing = yield* start(listener.close())
      yield* until("it is told to go", () => client.frames().some(([type]) => type === goaway))
      const asked = Effect.runSync(listener.connections)[0]!.bytesIn
      client.get(3)
      yield* until("it was read", () => Effect.runSync(listener.connections)[0]!.bytesIn > asked)
      yield* held.release
      yield* client.ending
      const frames = client.frames()
      assert.deepStrictEqual(frames.find(([type]) => type === goaway), [goaway, 1])
      assert.deepStrictEqual(frames.filter(([type]) => type === headers), [[headers, 1]])
      const { connections, refused } = yield* Fiber.join(closing)
      assert.deepStrictEqual([held.executed(), connections.drained, refused], [1, 1, 0])
    }).pipe(quiet))
})

describe("the goodbyes of a close", () => {
  it.live("20 sessions with 100 streams under way on each, and 20 idle ones, are all told within two turns", () =>
    Effect.gen(function*() {
      const turn = () => performance.nodeTiming.uvMetricsInfo.loopCount
      const told: Array<number> = []
      // the frame is submitted in this call
      const server = Http2.createServer().on("session", (session) => {
        const goaway = session.goaway.bind(session)
        session.goaway = (...args) => {
          told.push(turn())
          goaway(...args)
        }
      })
      const held = yield* makeHeld
      const app = Effect.flatMap(
        HttpServerRequest.HttpServerRequest,
        ({ url }) => url === "/idle" ? Effect.succeed(ok) : held.app
      )
      const { listener, port } = yield* HttpServing.given(() => server, app, { drain: { idleGrace: 0 } })
      const idle = yield* many(20, Http2Client.connect(port))
      yield* Effect.forEach(idle, (client) => client.get("/idle"), { concurrency: "unbounded" })
      const busy = yield* many(20, Http2Client.connect(port))
      const answers = yield* start(
        Effect.forEach(
          busy,
          (client) => Effect.all(Array.from({ length: 100 }, () => client.get("/")), { concurrency: "unbounded" }),
          { concurrency: "unbounded" }
        )
      )
      yield* until("all are executed", () => held.executed() === 2000)
      const asked = turn()
      const closing = yield* start(listener.close())
      yield* Effect.forEach([...idle, ...busy], (client) => client.goaway)
      // in a test the close itself begins anywhere in a turn
      assert.strictEqual(told.length, 40)
      assert.isAtMost(Math.max(...told) - asked, 2)
      yield* held.release
      yield* Fiber.join(answers)
      assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 40, drained: 20, idle: 20 })
    }).pipe(quiet))
})

describe("HTTP/2 beside HTTP/1", () => {
  it.live("a server of one's own, in the clear", () =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.given(() => Http2.createServer(), Effect.succeed(ok))
      const client = yield* Http2Client.connect(port)
      assert.strictEqual((yield* client.get("/")).body, "ok")
    }).pipe(quiet))

  it.live("a server of one's own, over TLS, with both", () =>
    Effect.gen(function*() {
      const make = () => Http2.createSecureServer({ ...selfSigned(), allowHTTP1: true })
      const { listener, port } = yield* HttpServing.given(make, Effect.succeed(ok))
      const client = yield* Http2Client.connect(port, { tls: true })
      assert.strictEqual((yield* client.get("/")).body, "ok")
      const peer = yield* HttpPeer.connect(port, { tls: true })
      assert.strictEqual((yield* peer.get("/")).body, "ok")
      const { connections } = yield* listener.close({ idleGrace: 0 })
      assert.deepInclude(connections, { total: 2, idle: 2 })
      assert.deepStrictEqual(yield* peer.rest, { ending: "FIN", partial: false })
    }).pipe(quiet))

  it.live("an https server of one's own", () =>
    Effect.gen(function*() {
      const { listener, port } = yield* HttpServing.given(() => Https.createServer(selfSigned()), Effect.succeed(ok))
      const peer = yield* HttpPeer.connect(port, { tls: true })
      assert.strictEqual((yield* peer.get("/")).body, "ok")
      const half = yield* HttpPeer.connect(port)
      yield* half.sendAll(Buffer.from("16030102000100", "hex"))
      yield* listener.close({ deadline: 5000 })
      assert.deepStrictEqual(yield* peer.rest, { ending: "FIN", partial: false })
    }).pipe(quiet))
})
