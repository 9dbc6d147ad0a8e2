/** What is asked on connections in service while the accept queue is swept. */
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Http2Client from "./support/http2Client.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import * as HttpServing from "./support/httpServing.ts"
import { quiet, start, until, untilStage } from "./support/listening.ts"
import { sweepingUntil } from "./support/sweepingUntil.ts"

const serving = Effect.gen(function*() {
  const gate = yield* Deferred.make<void>()
  const executed: Array<string> = []
  const { listener, port } = yield* HttpServing.app(
    Effect.gen(function*() {
      const { url } = yield* HttpServerRequest
      executed.push(url)
      return HttpServerResponse.text(url)
    }),
    { transport: sweepingUntil(gate, NodeTcp.transport({ host: "127.0.0.1", port: 0 })) }
  )
  /** Waits until this is in flight. */
  const inFlight = (label: string) =>
    until(
      `${label} is in flight`,
      () => Effect.runSync(listener.connections).some(({ exchanges }) => exchanges.some((one) => one.label === label))
    )
  const sweeping = (deadline: number) =>
    Effect.tap(start(listener.close({ deadline })), untilStage(listener, "Sweeping"))
  return { endSweep: Deferred.succeed(gate, undefined), executed, inFlight, listener, port, sweeping }
})

describe("a request that comes while the accept queue is swept", () => {
  it.live("over HTTP/1 is in flight, and executed when the sweep is over", () =>
    Effect.gen(function*() {
      const { endSweep, executed, inFlight, port, sweeping } = yield* serving
      const peer = yield* HttpPeer.connect(port)
      yield* peer.get("/before")
      const closing = yield* sweeping(60_000)
      yield* peer.send(HttpPeer.get("/first") + HttpPeer.get("/second"))
      yield* inFlight("GET /second")
      assert.deepStrictEqual(executed, ["/before"])
      yield* endSweep
      assert.strictEqual((yield* peer.response).body, "/first")
      assert.strictEqual((yield* peer.response).headers["connection"], "close")
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual(executed, ["/before", "/first", "/second"])
      assert.deepInclude(report, { outcome: "Drained", refused: 0 })
      assert.deepInclude(report.connections, { total: 1, drained: 1 })
    }).pipe(quiet))

  it.live("over HTTP/2, likewise", () =>
    Effect.gen(function*() {
      const { endSweep, executed, inFlight, port, sweeping } = yield* serving
      const client = yield* Http2Client.connect(port)
      yield* client.get("/before")
      const closing = yield* sweeping(60_000)
      const answers = yield* start(Effect.all([client.get("/first"), client.get("/second")], { concurrency: 2 }))
      yield* inFlight("GET /second")
      assert.deepStrictEqual(executed, ["/before"])
      yield* endSweep
      assert.deepStrictEqual((yield* Fiber.join(answers)).map(({ body }) => body), ["/first", "/second"])
      assert.strictEqual((yield* Fiber.join(closing)).connections.drained, 1)
    }).pipe(quiet))

  it.live("waits no longer than a tenth of the deadline", () =>
    Effect.gen(function*() {
      const { endSweep, executed, port, sweeping } = yield* serving
      const [one, other] = [yield* HttpPeer.connect(port), yield* HttpPeer.connect(port)]
      yield* one.get("/before")
      yield* other.get("/before")
      const closing = yield* sweeping(5000)
      assert.strictEqual((yield* one.get("/held")).body, "/held")
      assert.strictEqual((yield* other.get("/late")).body, "/late")
      yield* endSweep
      assert.deepInclude(yield* Fiber.join(closing), { outcome: "Drained", sweepCut: false })
      assert.deepStrictEqual(executed, ["/before", "/before", "/held", "/late"])
    }).pipe(quiet))

  it.live("is not executed when its client has gone meanwhile", () =>
    Effect.gen(function*() {
      const { endSweep, executed, inFlight, listener, port, sweeping } = yield* serving
      const peer = yield* HttpPeer.connect(port)
      const client = yield* Http2Client.connect(port)
      yield* peer.get("/before")
      yield* client.get("/before")
      const closing = yield* sweeping(60_000)
      yield* peer.send(HttpPeer.get("/left"))
      yield* inFlight("GET /left")
      yield* peer.reset
      const stream = client.session.request({ ":path": "/reset" })
      stream.on("error", () => {})
      yield* inFlight("GET /reset")
      stream.close(8)
      yield* until("both have gone", () => {
        const [left, ...more] = Effect.runSync(listener.connections)
        return more.length === 0 && left?.protocol === "h2" && left.exchanges.length === 0
      })
      yield* endSweep
      const { connections, outcome } = yield* Fiber.join(closing)
      assert.deepStrictEqual(executed, ["/before", "/before"])
      assert.strictEqual(outcome, "Drained")
      assert.deepInclude(connections, { total: 2, endedByPeer: 1, cut: 0 })
    }).pipe(quiet))
})
