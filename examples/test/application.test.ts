import * as RpcListener from "@effect-listener/core/RpcListener"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as RpcClient from "effect/rpc/RpcClient"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import * as HttpPeer from "../../packages/node/test/support/httpPeer.ts"
import { until } from "../../packages/node/test/support/listening.ts"
import { Api, Calls } from "../support/applicationApi.ts"
import * as Example from "./support/httpExample.ts"

const start = Example.start({}, "application.ts")

/** The client `HttpApi` makes of the schemas. */
const apiClient = (port: number) =>
  Effect.provide(HttpApiClient.make(Api, { baseUrl: `http://127.0.0.1:${port}` }), FetchHttpClient.layer)

/** Effect's own client of calls, on a WebSocket. */
const rpcClient = (port: number) =>
  Effect.flatMap(
    Layer.build(
      RpcClient.layerProtocolSocket().pipe(
        Layer.provide(Socket.layerWebSocket(`ws://127.0.0.1:${port}/rpc`)),
        Layer.provide([RpcSerialization.layerJson, NodeSocket.layerWebSocketConstructor])
      )
    ),
    (protocol) => Effect.provideContext(RpcClient.make(Calls), protocol)
  )

/** A client of events that has had its first one. */
const listening = Effect.fnUntraced(function*(port: number) {
  const peer = yield* HttpPeer.connect(port)
  yield* peer.send(HttpPeer.get("/events"))
  const { headers } = yield* peer.head
  assert.strictEqual(headers["content-type"], "text/event-stream")
  return peer
})

const eventsOf = (body: string) => body.split("\n\n").filter((event) => event !== "")

describe("examples/application.ts", () => {
  it.live("SIGTERM: an HttpApi answer, a call, a stream of calls and one of events all end whole, and the process with 0", () =>
    Effect.gen(function*() {
      const server = yield* start
      const api = yield* apiClient(server.port)
      const calls = yield* rpcClient(server.port)
      assert.deepStrictEqual(
        yield* api.reports.make({ params: { name: "first" }, query: { millis: 0 } }),
        { report: "first" }
      )
      const home = yield* HttpPeer.connect(server.port)
      assert.strictEqual((yield* home.get("/")).body, "ok")
      assert.strictEqual(yield* calls.work({ id: 1, millis: 0 }), 1)

      const events = yield* listening(server.port)
      const report = yield* Example.fork(api.reports.make({ params: { name: "late" }, query: { millis: 1500 } }))
      const call = yield* Example.fork(calls.work({ id: 2, millis: 1500 }))
      const arrived: Array<number> = []
      const stream = yield* Example.fork(
        Stream.runForEach(calls.count({ to: 15, millis: 100 }), (number) => Effect.sync(() => arrived.push(number)))
      )
      // the first two are in flight when the answer to one asked after them is there
      yield* calls.work({ id: 3, millis: 0 })
      yield* until("the stream has begun", () => arrived.length > 0)

      yield* server.sigterm
      const last = eventsOf((yield* events.response).body)
      assert.deepStrictEqual([last[0], last.at(-1)], ["event: tick\ndata: 1", "event: bye\ndata: reconnect"])
      assert.deepStrictEqual(yield* events.rest, { ending: "FIN", partial: false })
      assert.deepStrictEqual(yield* home.rest, { ending: "FIN", partial: false })
      // a client that listens to draining is not waited for, one that works is
      assert.isUndefined(call.pollUnsafe())
      const refused = yield* Effect.exit(calls.work({ id: 4, millis: 0 }))
      assert.isTrue(Exit.isFailure(refused) && RpcListener.isCallRefused(Cause.squash(refused.cause)))
      assert.deepStrictEqual(yield* Fiber.join(report), { report: "late" })
      assert.strictEqual(yield* Fiber.join(call), 2)
      yield* Fiber.join(stream)
      assert.deepStrictEqual(arrived, Array.from({ length: 15 }, (_, i) => i + 1))
      const { report: closed } = yield* server.exits(0)
      assert.strictEqual(closed.outcome, "Drained")
      assert.strictEqual(closed.refused, 1)
      assert.strictEqual(closed.connections["drained"], 3)
    }))

  it.live("answers in the words of the API what does not fit its schema", () =>
    Effect.gen(function*() {
      const server = yield* start
      const peer = yield* HttpPeer.connect(server.port)
      assert.strictEqual((yield* peer.get("/api/reports/a?millis=-1")).status, 400)
      assert.strictEqual((yield* peer.get("/api/reports")).status, 404)
      yield* server.sigterm
      yield* server.exits(0)
    }))
})
