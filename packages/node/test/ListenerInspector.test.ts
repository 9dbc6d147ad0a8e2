import * as Listener from "@effect-listener/core/Listener"
import * as ListenerHost from "@effect-listener/core/ListenerHost"
import * as ListenerInspector from "@effect-listener/node/ListenerInspector"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as HttpPeer from "./support/httpPeer.ts"
import * as HttpServing from "./support/httpServing.ts"
import { many, quiet, start, untilStage } from "./support/listening.ts"
import * as Listening from "./support/listening.ts"

const transport = NodeTcp.transport({ host: "127.0.0.1", port: 0 })

/** A port for operators: what it answers to a GET. */
const admin = Effect.fnUntraced(function*(source: ListenerInspector.Source, options?: ListenerInspector.Options) {
  const serving = yield* HttpServing.routes(ListenerInspector.routes(source, options))
  const get = (path: string) =>
    Effect.flatMap(HttpPeer.connect(serving.port), (peer) => peer.get(path)).pipe(
      Effect.scoped,
      Effect.tap(({ headers, status }) =>
        Effect.sync(() => status !== 404 && assert.strictEqual(headers["cache-control"], "no-store"))
      ),
      Effect.map(({ body, headers, status }) => ({ status, body, type: headers["content-type"] }))
    )
  const answer = (path: string) => Effect.map(get(path), ({ body, status }) => [status, body] as const)
  const listeners = Effect.map(get("/listeners"), ({ body }) => decode(body))
  return { serving, get, answer, listeners }
})

const decode = (json: string): ListenerInspector.Inspection =>
  Schema.decodeUnknownSync(ListenerInspector.Inspection)(JSON.parse(json))

/** Serves until it is told to drain: each connection has one exchange for as long as it is there. */
const serveForEver = (listener: Listener.Listener) =>
  start(Effect.ignore(Listener.serve(listener, (connection) => connection.exchange("work", Effect.never))))

const untilConnections = (listener: Listener.Listener, count: number) =>
  Listening.until(`${count} connections`, () => Effect.runSync(listener.connections).length === count)

describe("probes", () => {
  it.live("of a host: ready while it is open, alive while it drains, with the reasons where it says no", () =>
    Effect.gen(function*() {
      const api = yield* Listener.make(transport, { name: "api" })
      const rpc = yield* Listener.make(transport, { name: "rpc" })
      const host = yield* ListenerHost.make([api, rpc], { drain: { deadline: 0, abortGrace: 0 } })
      const { answer } = yield* admin(host)
      assert.deepStrictEqual(yield* answer("/readyz"), [200, "ok\n"])
      assert.deepStrictEqual(yield* answer("/livez"), [200, "ok\n"])
      yield* rpc.close()
      assert.deepStrictEqual(yield* answer("/readyz"), [503, "no\nrpc: Closed\n"])
      assert.deepStrictEqual(yield* answer("/livez"), [200, "ok\n"])
      const closing = yield* start(host.close({ lameDuck: "20 seconds" }))
      assert.deepStrictEqual(yield* answer("/readyz"), [503, "no\napi: LameDuck\nrpc: Closed\n"])
      assert.deepStrictEqual(yield* answer("/livez"), [200, "ok\n"])
      yield* host.close()
      assert.isDefined(closing.pollUnsafe())
      assert.strictEqual((yield* answer("/readyz"))[0], 503)
      assert.strictEqual((yield* answer("/livez"))[0], 200)
    }).pipe(quiet))

  it.live("a listener that failed: not live, and it is named; with a host and without", () =>
    Effect.gen(function*() {
      const api = yield* Listener.make(transport, { name: "api" })
      const rpc = yield* Listener.make(transport, { name: "rpc" })
      const ofHost = yield* admin(yield* ListenerHost.make([api, rpc]))
      const ofListeners = yield* admin([api, rpc])
      for (const { answer } of [ofHost, ofListeners]) assert.deepStrictEqual(yield* answer("/livez"), [200, "ok\n"])
      yield* rpc.abort
      for (const { answer } of [ofHost, ofListeners]) {
        assert.deepStrictEqual(yield* answer("/livez"), [503, "no\nrpc: Faulted\n"])
        assert.deepStrictEqual(yield* answer("/readyz"), [503, "no\nrpc: Faulted\n"])
      }
    }).pipe(quiet))

  it.live("without a host: ready when all are, and there is one", () =>
    Effect.gen(function*() {
      const api = yield* Listener.make(transport, { name: "api" })
      const rpc = yield* Listener.listen(transport, { name: "rpc" })
      const { answer, listeners } = yield* admin([api, rpc])
      assert.deepStrictEqual(yield* answer("/readyz"), [503, "no\napi: Created\n"])
      yield* api.open
      assert.deepStrictEqual(yield* answer("/readyz"), [200, "ok\n"])
      assert.deepInclude(yield* listeners, { host: null, ready: true, live: true, drain: null })
      assert.deepStrictEqual(yield* (yield* admin([])).answer("/readyz"), [503, "no\n"])
    }).pipe(quiet))
})

describe("/listeners", () => {
  it.live("counts all connections, lists the oldest work first, no more than the limit", () =>
    Effect.gen(function*() {
      const listener = yield* Listener.listen(transport, { name: "api", drain: { deadline: 0, abortGrace: 0 } })
      yield* serveForEver(listener)
      const { get } = yield* admin([listener], { limit: 2 })
      yield* Listening.connect(listener)
      yield* untilConnections(listener, 1)
      yield* many(4, Listening.connect(listener))
      yield* untilConnections(listener, 5)
      const { body, status, type } = yield* get("/listeners")
      assert.deepStrictEqual([status, type], [200, "application/json"])
      const [seen] = decode(body).listeners
      assert.deepInclude(seen, { name: "api", state: "Open", ready: true, drain: null })
      assert.match(seen?.address ?? "", /^127\.0\.0\.1:\d+$/)
      assert.deepInclude(seen?.counts, { total: 5 })
      assert.deepInclude(seen?.counts.phases, { Active: 5, Idle: 0, Queued: 0 })
      assert.strictEqual(seen?.connections.length, 2)
      assert.strictEqual(seen?.connections[0]?.id, 1)
      assert.strictEqual(seen?.connections[0]?.exchanges[0]?.label, "work")
      assert.notMatch(body, /"age":\d*\.\d/)
      assert.strictEqual((yield* ListenerInspector.inspect([listener])).listeners[0]?.connections.length, 5)
    }).pipe(quiet))

  it.live("a drain as it runs, without a deadline as well", () =>
    Effect.gen(function*() {
      const listener = yield* Listener.listen(transport, { name: "api" })
      yield* serveForEver(listener)
      const { listeners } = yield* admin([listener])
      yield* Listening.connect(listener)
      yield* untilConnections(listener, 1)
      yield* start(Effect.exit(listener.close({ deadline: "Infinity" })))
      yield* untilStage(listener, "Draining")
      const [seen] = (yield* listeners).listeners
      assert.deepInclude(seen, { state: "Closing", ready: false })
      assert.deepInclude(seen?.drain, { stage: "Draining", remaining: 1, connections: 1, timeLeft: null })
      assert.strictEqual(seen?.drain?.oldest?.exchanges[0]?.label, "work")
      yield* listener.abort
      yield* listener.closed
      assert.deepInclude((yield* listeners).listeners[0], { state: "Closed", address: null, drain: null })
    }).pipe(quiet))

  it.live("remote addresses are masked where the listener masks them", () =>
    Effect.gen(function*() {
      const listener = yield* Listener.listen(transport, { maskRemote: true, drain: { deadline: 0, abortGrace: 0 } })
      yield* serveForEver(listener)
      const { get } = yield* admin([listener])
      const client = yield* Listening.connect(listener)
      yield* untilConnections(listener, 1)
      yield* start(Effect.exit(listener.close({ deadline: "Infinity" })))
      yield* untilStage(listener, "Draining")
      const { body } = yield* get("/listeners")
      assert.include(body, "\"remote\":\"masked\"")
      assert.notInclude(body, `:${client.socket.localPort}`)
      yield* listener.abort
    }).pipe(quiet))
})

describe("/listeners/events", () => {
  it.live("an inspection now and at every interval, a last one when the own listener drains, which costs no time", () =>
    Effect.gen(function*() {
      const api = yield* Listener.listen(transport, { name: "api" })
      const { serving } = yield* admin([api], { interval: "50 millis" })
      const peer = yield* HttpPeer.connect(serving.port)
      yield* peer.send(HttpPeer.get("/listeners/events"))
      assert.strictEqual((yield* peer.head).headers["content-type"], "text/event-stream")
      const before = peer.socket.bytesRead
      yield* api.close()
      yield* Listening.until("two more events have come", () => peer.socket.bytesRead > before + 400)
      const report = yield* serving.listener.close({ deadline: "20 seconds" })
      assert.deepInclude(report.connections, { total: 1, drained: 1 })
      assert.isBelow(report.duration, 2000)
      const events = (yield* peer.response).body.split("\n\n").filter((event) => event !== "")
      const states = events.map((event) => decode(event.replace(/^data: /, "")).listeners[0]?.state)
      assert.isAtLeast(states.length, 3)
      assert.deepStrictEqual([states[0], states.at(-1)], ["Open", "Closed"])
    }).pipe(quiet))
})

describe("a viewer that does not read", () => {
  it.live("is not looked for any more, and holds no close: it is dropped, and counted endedByPeer", () =>
    Effect.gen(function*() {
      const api = yield* Listener.listen(transport, { name: "api", drain: { deadline: 0, abortGrace: 0 } })
      yield* serveForEver(api)
      yield* many(300, Listening.connect(api))
      yield* untilConnections(api, 300)
      let looks = 0
      const counted: Listener.Listener = Object.create(api, {
        connections: { value: Effect.tap(api.connections, () => Effect.sync(() => looks++)) }
      })
      const { serving } = yield* admin([counted], { interval: "1 millis" })
      const peer = yield* HttpPeer.connect(serving.port)
      yield* peer.send(HttpPeer.get("/listeners/events"))
      yield* peer.head
      yield* peer.pause
      const pending = () => Effect.runSync(serving.listener.connections)[0]?.bytesPending ?? 0
      yield* Listening.until("what it was sent fits nowhere", () => pending() > 0)
      yield* Effect.sleep("200 millis")
      const before = looks
      yield* Effect.sleep("300 millis")
      assert.deepStrictEqual([looks, pending() > 0], [before, true])
      const report = yield* serving.listener.close({ deadline: "20 seconds" })
      assert.strictEqual(report.outcome, "Drained")
      assert.deepInclude(report.connections, { total: 1, endedByPeer: 1, cut: 0 })
      assert.isBelow(report.duration, 1000 + 2000)
    }).pipe(quiet))
})

describe("routes", () => {
  it.live("/metrics: Effect's metrics as Prometheus reads them, named as the options say", () =>
    Effect.gen(function*() {
      yield* Metric.update(Metric.counter("orders", { description: "Orders taken" }), 3)
      const { get } = yield* admin([], { metrics: { prefix: "shop" } })
      const { body, type } = yield* get("/metrics")
      assert.strictEqual(type, "text/plain; version=0.0.4; charset=utf-8")
      assert.include(body, "# HELP shop_orders Orders taken\n# TYPE shop_orders counter\nshop_orders 3\n")
    }).pipe(quiet, Effect.provideService(Metric.MetricRegistry, new Map())))

  it.live("prefix goes before every path, and the page finds its events beside it", () =>
    Effect.gen(function*() {
      const { get } = yield* admin([], { prefix: "/admin" })
      for (const path of ["/livez", "/metrics", "/listeners", "/listeners/page"]) {
        assert.strictEqual((yield* get(path)).status, 404)
        assert.strictEqual((yield* get(`/admin${path}`)).status, 200)
      }
      const { body, type } = yield* get("/admin/listeners/page")
      assert.match(type ?? "", /^text\/html/)
      assert.include(body, `new EventSource("events")`)
      assert.notMatch(body, /https?:|\/\/[a-z]+\./)
    }).pipe(quiet))
})
