import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Http2 from "node:http2"
import * as Https from "node:https"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { selfSigned } from "./support/certificates.ts"
import * as Http2Client from "./support/http2Client.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import * as HttpServing from "./support/httpServing.ts"
import { many, quiet, start, until, untilStage } from "./support/listening.ts"

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

  it.live("an upload that nobody reads does not hold the drain when its answer is out", () =>
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
      assert.deepStrictEqual(yield* peer.ending, { how: "fin", partial: false })
    }).pipe(quiet))

  it.live("an https server of one's own", () =>
    Effect.gen(function*() {
      const { listener, port } = yield* HttpServing.given(() => Https.createServer(selfSigned()), Effect.succeed(ok))
      const peer = yield* HttpPeer.connect(port, { tls: true })
      assert.strictEqual((yield* peer.get("/")).body, "ok")
      const half = yield* HttpPeer.connect(port)
      yield* half.sendAll(Buffer.from("16030102000100", "hex"))
      yield* listener.close({ deadline: 5000 })
      assert.deepStrictEqual(yield* peer.ending, { how: "fin", partial: false })
    }).pipe(quiet))
})
