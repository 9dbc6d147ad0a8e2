/**
 * What clients send that is wrong, as tables: each row is answered or ended, is
 * not executed, and holds no close.
 */
import * as NodeWebSocket from "@effect-listener/node/NodeWebSocket"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import type * as Socket from "effect/socket/Socket"
import * as Http1 from "./support/hostile/http1.ts"
import * as Http2 from "./support/hostile/http2.ts"
import * as Hostile from "./support/hostile/peer.ts"
import * as WebSocket from "./support/hostile/webSocket.ts"
import * as HttpServing from "./support/httpServing.ts"

const quiet = Effect.provideService(References.MinimumLogLevel, "None")

const echoMessages = Effect.fnUntraced(function*(socket: Socket.Socket) {
  const { pull } = yield* socket.reader
  const { writeAll } = yield* socket.writer
  return yield* Effect.forever(Effect.flatMap(pull, writeAll))
})

/** Counts what is executed to its end. */
const makeApp = () => {
  let executed = 0
  const count = Effect.sync(() => {
    executed++
    return HttpServerResponse.text("ok")
  })
  const echo = Effect.gen(function*() {
    const { text: body } = yield* HttpServerRequest.HttpServerRequest
    const text = yield* body
    executed++
    return HttpServerResponse.text(text)
  })
  const webSocket = Effect.gen(function*() {
    const socket = yield* (yield* HttpServerRequest.HttpServerRequest).upgrade
    return yield* echoMessages(socket)
  }).pipe(Effect.scoped, Effect.catchTag("SocketError", () => Effect.succeed(HttpServerResponse.empty())))
  return {
    executed: () => executed,
    routes: Layer.mergeAll(
      HttpRouter.add("GET", "/", count),
      HttpRouter.add("POST", "/echo", echo),
      HttpRouter.add("GET", "/wait", Effect.never),
      HttpRouter.add("GET", "/ws", webSocket)
    )
  }
}

const timeouts = { firstByte: "1 second", head: "1 second", request: "1 second", inactivity: "1 second" } as const

describe("HTTP/1 that is none", () => {
  it.live.each(Object.entries(Http1.tables))("%s", ([, rows]) => isRefused(rows))

  it.live("too many headers", () => isRefused(Http1.tooManyHeaders), { tags: ["hardened-http"] })

  const isRefused = (rows: ReadonlyArray<Http1.Row>) =>
    Effect.gen(function*() {
      const app = makeApp()
      const { listener, port } = yield* HttpServing.routes(app.routes, { timeouts, drain: { idleGrace: 0 } })
      const peers = yield* Effect.forEach(rows, ([, bytes]) => Hostile.connect(port, bytes), {
        concurrency: "unbounded"
      })
      yield* Effect.forEach(
        peers.map((peer, i) => ({ peer, expected: rows[i]![2] })),
        ({ expected, peer }) => expected.endsWith("end") ? peer.ended : peer.until((text) => text.includes("\r\n\r\n")),
        { concurrency: "unbounded" }
      )
      const seen = rows.map(([name], i) => [name, Hostile.outcome(peers[i]!)])
      assert.deepStrictEqual(seen, rows.map(([name, , outcome]) => [name, outcome]))
      assert.strictEqual(app.executed(), 0)
      const { cut, outcome } = yield* listener.close({ deadline: "10 seconds" })
      assert.deepStrictEqual([outcome, cut], ["Drained", []])
    }).pipe(quiet)
})

describe("HTTP/2 that is none", () => {
  it.live("each ends its stream or its session", () =>
    Effect.gen(function*() {
      const app = makeApp()
      const { listener, port } = yield* HttpServing.routes(app.routes, { timeouts, drain: { idleGrace: 0 } })
      const rows = Http2.malformed
      const peers = yield* Effect.forEach(rows, ([, bytes]) => Hostile.connect(port, bytes), {
        concurrency: "unbounded"
      })
      yield* Effect.forEach(peers, ({ ended }) => ended, { concurrency: "unbounded" })
      const seen = rows.map(([name], i) => {
        const frames = Http2.framesOf(peers[i]!.bytes())
        const failed = frames.some(({ payload, type }) => type === 7 && payload.readUInt32BE(4) !== 0)
        const refused = frames.some(({ stream, type }) => type === 3 && stream === 1)
        const answered = frames.some(({ stream, type }) => type === 1 && stream === 1)
        return [
          name,
          answered ? "answered" : failed ? "session" : refused ? "stream" : frames.map(({ type }) => type).join(" ")
        ]
      })
      assert.deepStrictEqual(seen, rows.map(([name, , ends]) => [name, ends]))
      const { cut, outcome } = yield* listener.close({ deadline: "10 seconds" })
      assert.deepStrictEqual([outcome, cut], ["Drained", []])
    }).pipe(quiet))
})

describe("HTTP/2 that is too much", { tags: ["hardened-http"] }, () => {
  it.live.each(Http2.floods)("a flood: %s", ([, frames]) =>
    Effect.gen(function*() {
      const app = makeApp()
      const { listener, port } = yield* HttpServing.routes(app.routes, {
        timeouts: { ...timeouts, inactivity: "1 minute" }
      })
      const peer = yield* Hostile.connect(port, Http2.begin)
      yield* Effect.forkChild(flood(peer, frames))
      yield* peer.ended
      assert.isAtMost(app.executed(), 250)
      const { cut, outcome } = yield* listener.close({ deadline: "10 seconds" })
      assert.deepStrictEqual([outcome, cut], ["Drained", []])
    }).pipe(Effect.scoped, quiet))
})

describe("a WebSocket that is none", () => {
  it.live.each(["upgrade", "route"] as const)(
    "each frame ends it with its code, by %s",
    (by) =>
      Effect.gen(function*() {
        const { routes } = makeApp()
        const route = NodeWebSocket.route("/ws", echoMessages)
        const { listener, port } = yield* HttpServing.routes(by === "route" ? route : routes, {
          timeouts,
          drain: { idleGrace: 0 },
          websocket: { maxPayload: 1 << 20 }
        })
        const rows = WebSocket.frames
        const peers = yield* Effect.forEach(rows, () => Hostile.connect(port, WebSocket.handshake), {
          concurrency: "unbounded"
        })
        yield* Effect.forEach(peers, ({ until }) => until((text) => text.includes("\r\n\r\n")))
        peers.forEach((peer, i) => peer.socket.write(rows[i]![1]))
        yield* Effect.forEach(peers, ({ ended }) => ended, { concurrency: "unbounded" })
        const seen = rows.map(([name], i) => [name, WebSocket.closeCode(peers[i]!.bytes())])
        assert.deepStrictEqual(seen, rows.map(([name, , code]) => [name, code]))
        const { cut, outcome } = yield* listener.close({ deadline: "10 seconds" })
        assert.deepStrictEqual([outcome, cut], ["Drained", []])
      }).pipe(quiet)
  )
})

/** Sends frames, as fast as the server takes them, until it has had enough. */
const flood = (peer: Hostile.Hostile, frames: (index: number) => Buffer): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let i = 0; !peer.over(); i += 100) {
      const taken = peer.socket.write(Buffer.concat(Array.from({ length: 100 }, (_, j) => frames(i + j))))
      yield* taken ? Effect.sleep(1) : Effect.race(
        peer.ended,
        Effect.callback<void>((resume) => {
          peer.socket.once("drain", () => resume(Effect.void))
        })
      )
    }
  })
