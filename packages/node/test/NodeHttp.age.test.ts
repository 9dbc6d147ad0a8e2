import * as NodeWebSocket from "@effect-listener/node/NodeWebSocket"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Socket from "effect/socket/Socket"
import * as Http2Client from "./support/http2Client.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import * as HttpServing from "./support/httpServing.ts"
import { quiet, start, until, untilStage } from "./support/listening.ts"
import * as WebSocketClient from "./support/webSocketClient.ts"

const age = { max: "300 millis", jitter: 0 } as const
const options = { timeouts: { age, inactivity: "1 minute" } } as const

const makeApp = Effect.sync(() => {
  let executed = 0
  return {
    executed: () => executed,
    app: Effect.sync(() => HttpServerResponse.text(String(++executed)))
  }
})

describe("a connection that has lived long", () => {
  it.live("over HTTP/1, is told between two requests, and no request of a busy client is lost", () =>
    Effect.gen(function*() {
      const { app, executed } = yield* makeApp
      const { listener, port } = yield* HttpServing.app(app, options)
      const connections = yield* Effect.all(
        Array.from({ length: 8 }, () =>
          Effect.gen(function*() {
            let answered = 0
            let told = 0
            // a connection at a time, until four have been told to go
            while (told < 4) {
              const peer = yield* HttpPeer.connect(port)
              while (true) {
                const { headers, status } = yield* peer.get("/")
                assert.strictEqual(status, 200)
                answered++
                if (headers["connection"] === "close") break
              }
              assert.deepStrictEqual(yield* peer.rest, { ending: "FIN", partial: false })
              told++
            }
            return answered
          })),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(connections.reduce((sum, answered) => sum + answered, 0), executed())
      assert.strictEqual(yield* listener.state, "Open")
    }).pipe(quiet))

  it.live("over HTTP/1, is ended when it is idle", () =>
    Effect.gen(function*() {
      const { app } = yield* makeApp
      // the first answer comes in time
      const { port } = yield* HttpServing.app(app, {
        timeouts: { ...options.timeouts, age: { ...age, max: "2 seconds" } }
      })
      const peer = yield* HttpPeer.connect(port)
      assert.strictEqual((yield* peer.get("/")).headers["connection"], "keep-alive")
      assert.deepStrictEqual(yield* peer.rest, { ending: "FIN", partial: false })
    }).pipe(quiet))

  it.live("over HTTP/2, has a GOAWAY when its streams have ended, and another takes its place", () =>
    Effect.gen(function*() {
      const { app } = yield* makeApp
      const { listener, port } = yield* HttpServing.app(
        Effect.andThen(Effect.sleep("600 millis"), app),
        options
      )
      const client = yield* Http2Client.connect(port)
      const answer = yield* start(client.get("/"))
      assert.strictEqual(yield* client.goaway, 0)
      assert.strictEqual((yield* Fiber.join(answer)).status, 200)
      yield* client.closed
      const next = yield* Http2Client.connect(port)
      assert.strictEqual((yield* next.get("/")).status, 200)
      assert.strictEqual(yield* listener.state, "Open")
    }).pipe(quiet))

  it.live("of a WebSocket, has its message answered and is told 1001", () =>
    Effect.gen(function*() {
      const slowEcho = Effect.fnUntraced(function*(socket: Socket.Socket) {
        const pull = yield* Socket.readerString(socket)
        const { write } = yield* socket.writer
        while (true) {
          for (const message of yield* pull) {
            yield* Effect.sleep("600 millis")
            yield* write(message)
          }
        }
      })
      const { port } = yield* HttpServing.routes(NodeWebSocket.route("/echo", slowEcho), options)
      const client = yield* WebSocketClient.connect(`ws://127.0.0.1:${port}/echo`)
      yield* client.send("hello")
      assert.deepStrictEqual(yield* client.closed, { code: 1001, messages: ["hello"] })
    }).pipe(quiet))
})

describe("a drain that is spread over a time", () => {
  it.live("serves a client until its turn, then answers with the goodbye; nothing is lost", () =>
    Effect.gen(function*() {
      const { app, executed } = yield* makeApp
      const { listener, port } = yield* HttpServing.app(app, {
        drain: { spread: "1 second", idleGrace: "5 seconds" },
        timeouts: { inactivity: "1 minute" }
      })
      const peers = yield* Effect.all(Array.from({ length: 20 }, () => HttpPeer.connect(port)))
      for (const peer of peers) yield* peer.get("/")
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      const order: Array<number> = []
      const answered = yield* Effect.forEach(peers, (peer, index) =>
        Effect.gen(function*() {
          let answered = 1
          while (true) {
            const { headers } = yield* peer.get("/")
            answered++
            if (headers["connection"] === "close") break
            yield* Effect.sleep("5 millis")
          }
          order.push(index)
          yield* peer.ending
          peer.socket.end()
          return answered
        }), { concurrency: "unbounded" })
      const report = yield* Fiber.join(closing)
      assert.strictEqual(answered.reduce((sum, count) => sum + count, 0), executed())
      assert.deepInclude(report, { outcome: "Drained", refused: 0 })
      // the last has been served while the first had gone
      assert.isAbove(answered[19]!, answered[0]!)
      assert.isBelow(order.indexOf(0), order.indexOf(19))
    }).pipe(quiet))

  it.live("ends as soon as all have gone", () =>
    Effect.gen(function*() {
      const { app } = yield* makeApp
      const { listener, port } = yield* HttpServing.app(app, { drain: { spread: "10 seconds" } })
      const peers = yield* Effect.all(Array.from({ length: 10 }, () => HttpPeer.connect(port)))
      for (const peer of peers) yield* peer.get("/")
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      for (const peer of peers) peer.socket.end()
      yield* until("all have gone", () => Effect.runSync(listener.connections).length === 0)
      assert.isBelow((yield* Fiber.join(closing)).duration, 7000)
    }).pipe(quiet))
})
