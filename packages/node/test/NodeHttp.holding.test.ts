/** Ways to hold a connection, as a table: a limit ends each, and none holds a close. */
import type * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeWebSocket from "@effect-listener/node/NodeWebSocket"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import type * as Socket from "effect/socket/Socket"
import * as NodeHttp2 from "node:http2"
import { selfSigned } from "./support/certificates.ts"
import { hold, pings, shapes } from "./support/hostile/holding.ts"
import * as Http2 from "./support/hostile/http2.ts"
import * as Http2Client from "./support/http2Client.ts"
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

const large = Effect.map(
  HttpServerRequest.HttpServerRequest,
  ({ url }) => HttpServerResponse.uint8Array(new Uint8Array(Number(url.slice(1))))
)

const createServer = () => NodeHttp2.createServer()

type Timed = Pick<NodeHttp.Options, "timeouts">

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

  it.live.each(
    [
      ["a server of our own making", HttpServing.app, 1 << 20],
      [
        "an application's own server",
        (app: typeof large, options: Timed) => HttpServing.given(createServer, app, options),
        100_000
      ]
    ] as const
  )(
    "by one stream without a window, beside others that flow, loses that stream's answer only: %s",
    ([, serve, length]) =>
      Effect.gen(function*() {
        const { port } = yield* serve(large, { timeouts })
        const client = yield* Http2Client.connect(port)
        // the window of the session is not what holds it
        client.session.setLocalWindowSize(64 << 20)
        const held = client.session.request({ ":path": `/${length}` })
        held.on("error", () => {})
        const lengths = new Set<number>()
        while (!held.destroyed) lengths.add((yield* client.get(`/${length}`)).length)
        assert.strictEqual(held.rstCode, NodeHttp2.constants.NGHTTP2_CANCEL)
        assert.deepStrictEqual(Array.from(lengths), [length])
        assert.strictEqual((yield* client.get("/1")).length, 1)
      }).pipe(quiet, Effect.timeout("15 seconds"))
  )

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
