/** Ways to hold a connection, as a table: a limit ends each, and none holds a close. */
import * as NodeWebSocket from "@effect-listener/node/NodeWebSocket"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import type * as Socket from "effect/socket/Socket"
import { selfSigned } from "./support/certificates.ts"
import { hold, pings, shapes } from "./support/hostile/holding.ts"
import * as Http2 from "./support/hostile/http2.ts"
import * as HttpServing from "./support/httpServing.ts"

const quiet = Effect.provideService(References.MinimumLogLevel, "None")

const echo = Effect.fnUntraced(function*(socket: Socket.Socket) {
  const { pull } = yield* socket.reader
  const { writeAll } = yield* socket.writer
  return yield* Effect.forever(Effect.flatMap(pull, writeAll))
})

const body = Effect.flatMap(
  HttpServerRequest.HttpServerRequest,
  (request) => Effect.map(request.text, HttpServerResponse.text)
)

const routes = Layer.mergeAll(
  HttpRouter.add("GET", "/", HttpServerResponse.text("ok")),
  HttpRouter.add("GET", "/large", HttpServerResponse.uint8Array(new Uint8Array(1 << 20))),
  HttpRouter.add("POST", "/echo", body),
  HttpRouter.add("POST", "/refused", HttpServerResponse.text("no", { status: 413 })),
  NodeWebSocket.route("/ws", echo, { ping: "500 millis" })
)

const limit = "500 millis"
const timeouts = {
  handshake: limit,
  firstByte: limit,
  head: limit,
  request: limit,
  inactivity: limit,
  send: limit
} as const

const serving = Effect.fnUntraced(function*() {
  const options = { timeouts, drain: { idleGrace: "100 millis" }, upgrades: ["chat"] } as const
  const clear = yield* HttpServing.routes(routes, options)
  const tls = yield* HttpServing.routes(routes, { ...options, tls: selfSigned() })
  return { listeners: [clear.listener, tls.listener], ports: { clear: clear.port, tls: tls.port } }
})

describe("a connection that is held", () => {
  it.live("is ended by a limit, in each of its shapes", () =>
    Effect.gen(function*() {
      const { ports } = yield* serving()
      const held = yield* Effect.forEach(
        shapes,
        (shape) => Effect.map(hold(shape, ports), (peer) => ({ shape, peer })),
        { concurrency: "unbounded" }
      )
      yield* Effect.forEach(held, ({ peer }) => peer.ended, { concurrency: "unbounded" }).pipe(
        Effect.timeoutOption("8 seconds")
      )
      assert.deepStrictEqual(held.filter(({ peer }) => !peer.over()).map(({ shape }) => shape.name), [])
    }).pipe(quiet))

  it.live("loses its answer when it takes nothing of it, though PINGs keep it", () =>
    Effect.gen(function*() {
      const { ports } = yield* serving()
      const peer = yield* hold(pings, ports)
      const cancelled = Http2.frame(3, 0, 1, Buffer.from([0, 0, 0, 8])).toString("latin1")
      yield* peer.until((text) => text.includes(cancelled))
      assert.isFalse(peer.over())
    }).pipe(quiet))

  it.live("holds no close", () =>
    Effect.gen(function*() {
      const { listeners, ports } = yield* serving()
      yield* Effect.forEach(shapes, (shape) => hold(shape, ports), { concurrency: "unbounded" })
      const reports = yield* Effect.forEach(
        listeners,
        (listener) =>
          Effect.match(listener.close({ deadline: "20 seconds" }), {
            onFailure: (error) => "report" in error ? error.report : undefined,
            onSuccess: (report) => report
          }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        reports.flatMap((report) => report?.cut.map(({ phase, exchanges }) => [phase, exchanges]) ?? []),
        []
      )
    }).pipe(quiet))
})
