import * as DrainReport from "@effect-listener/core/DrainReport"
import * as Listener from "@effect-listener/core/Listener"
import type { CloseError } from "@effect-listener/core/ListenerError"
import * as ListenerHost from "@effect-listener/core/ListenerHost"
import * as ListenerInspector from "@effect-listener/node/ListenerInspector"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { hostname } from "node:os"
import { isAllowed } from "../src/internal/inspector/hostCheck.ts"
import * as Summary from "../src/internal/inspector/summary.ts"
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

describe("options", () => {
  it.effect("an interval or a limit that cannot be used is InvalidArgument", () =>
    Effect.gen(function*() {
      const bad: ReadonlyArray<ListenerInspector.Options> = [
        { interval: NaN },
        { interval: { seconds: NaN } },
        { interval: Infinity },
        { interval: 0 },
        { interval: -1 },
        { interval: "soon" as Duration.Input },
        { limit: NaN },
        { limit: -1 },
        { limit: 0.5 }
      ]
      for (const options of bad) {
        const error = yield* Effect.flip(
          Layer.build(Layer.provide(ListenerInspector.routes([], options), HttpRouter.layer))
        )
        assert.strictEqual(error._tag, "InvalidArgument")
        assert.deepStrictEqual([error.parameter], Object.keys(options))
      }
      const good: ReadonlyArray<ListenerInspector.Options> = [{ interval: 0.5, limit: 0 }, { limit: Infinity }]
      for (const options of good) {
        yield* Layer.build(Layer.provide(ListenerInspector.routes([], options), HttpRouter.layer))
      }
    }))
})

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
      const [lame] = (yield* ListenerInspector.inspect(host)).listeners
      assert.strictEqual(lame?.drain?.stage, "LameDuck")
      assert.isAtMost(lame?.drain?.timeLeft ?? Infinity, 20_000)
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
      yield* Listening.until("the first has worked for a while", () => {
        const [first] = Effect.runSync(listener.connections)
        return (first?.exchanges[0]?.age ?? 0) > 5
      })
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

describe("many viewers", () => {
  it.live("share one look an interval, and beyond 64 they are told to come later", () =>
    Effect.gen(function*() {
      const api = yield* Listener.listen(transport, { name: "api" })
      let looks = 0
      const counted: Listener.Listener = Object.create(api, {
        connections: { value: Effect.tap(api.connections, () => Effect.sync(() => looks++)) }
      })
      const { serving } = yield* admin([counted], { interval: "200 millis" })
      const view = Effect.gen(function*() {
        const peer = yield* HttpPeer.connect(serving.port)
        yield* peer.send(HttpPeer.get("/listeners/events"))
        return { peer, head: yield* peer.head }
      })
      const viewers = yield* many(64, view)
      assert.deepStrictEqual(new Set(viewers.map(({ head }) => head.status)), new Set([200]))
      const tooMany = yield* view
      assert.deepStrictEqual([tooMany.head.status, tooMany.head.headers["retry-after"]], [503, "10"])
      const before = viewers.map(({ peer }) => peer.socket.bytesRead)
      const looked = looks
      const began = performance.now()
      yield* Listening.until(
        "every viewer has been told more",
        () => viewers.every(({ peer }, index) => peer.socket.bytesRead > before[index]!)
      )
      // one for each interval that has begun, and not one for each viewer
      assert.isAtMost(looks - looked, Math.ceil((performance.now() - began) / 200) + 1)
      // one that leaves makes room
      yield* viewers[0]!.peer.reset
      yield* Effect.repeat(Effect.scoped(view), {
        schedule: Schedule.spaced("20 millis"),
        until: ({ head }) => head.status === 200
      })
    }).pipe(quiet))
})

describe("the name that a request asks by", () => {
  it.live("is refused on every path where it is not one of the inspector's, and every answer has nosniff", () =>
    Effect.gen(function*() {
      const { serving } = yield* admin([], { hosts: ["admin.example", "*.internal"] })
      const ask = (path: string, host: string) =>
        Effect.gen(function*() {
          const peer = yield* HttpPeer.connect(serving.port)
          yield* peer.send(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
          const { headers, status } = yield* peer.head
          assert.strictEqual(headers["x-content-type-options"], "nosniff")
          assert.strictEqual(headers["cache-control"], "no-store")
          return status
        }).pipe(Effect.scoped)
      for (
        const path of ["/livez", "/readyz", "/metrics", "/listeners", "/listeners/page", "/listeners/events"]
      ) {
        assert.strictEqual(yield* ask(path, "attacker.example"), 421)
        assert.notStrictEqual(yield* ask(path, "admin.example:9090"), 421)
      }
    }).pipe(quiet))

  it.each<[host: string | undefined, allowed: boolean]>([
    [undefined, true],
    ["", true],
    ["127.0.0.1", true],
    ["127.0.0.1:9090", true],
    ["[::1]:9090", true],
    ["10.1.2.3", true],
    ["localhost:9090", true],
    ["LOCALHOST.", true],
    ["app.localhost", true],
    // that of a container, or of a machine
    ["admin:9090", true],
    [hostname(), true],
    ["admin.example", true],
    ["ADMIN.example:80", true],
    ["a.internal", true],
    ["a.b.internal:9090", true],
    ["internal.example", false],
    [".internal", false],
    ["notinternal.x", false],
    ["attacker.example", false],
    ["attacker.example.", false],
    ["127.0.0.1.attacker.example", false],
    ["localhost.attacker.example", false],
    ["admin.example.attacker.example", false],
    ["attacker.example@127.0.0.1", false],
    ["127.0.0.1, attacker.example", false],
    ["[attacker.example]", false]
  ])("%j: %s", (host, allowed) => {
    assert.strictEqual(isAllowed(host, ["admin.example", "*.internal"]), allowed)
    assert.isTrue(isAllowed(host, "any"))
  })
})

describe("what many connections are summed up to", () => {
  it.each([
    ["10.0.0.7:50112", "10.0.0.0/24"],
    ["[2001:db8:0:1:2:3:4:5]:80", "2001:db8:0:1::/64"],
    ["[2001:DB8::5]:80", "2001:db8:0:0::/64"],
    ["[::1]:80", "0:0:0:0::/64"],
    ["[fe80::1%eth0]:80", "fe80:0:0:0::/64"],
    ["[::ffff:10.0.0.7]:80", "10.0.0.0/24"],
    ["masked", "masked"],
    ["/run/app.sock", "/run/app.sock"],
    ["", "unnamed"]
  ])("a client at %j is in %s", (remote, network) => {
    assert.strictEqual(Summary.networkOf(remote), network)
  })

  it.each([
    ["GET /orders/4711?page=2", "GET /orders/#"],
    ["GET /f/0190a3b2-7c1d-7e2f-8a3b-4c5d6e7f8091/x", "GET /f/#/x"],
    ["line", "line"]
  ])("%s is one of %s", (label, group) => {
    assert.strictEqual(Summary.group(label), group)
  })

  it("the largest groups first, with the age of the oldest, and how many more there are", () => {
    const connection = (remote: string, label: string, age: number) => ({
      id: 1,
      remote,
      protocol: "tcp",
      phase: "Active" as const,
      exchanges: [{ label, age }],
      age: age + 1,
      bytesIn: 0,
      bytesOut: 0,
      bytesPending: 0
    })
    const connections = [
      connection("10.0.0.1:1", "GET /a/1", 5),
      connection("10.0.0.2:1", "GET /a/2", 9),
      ...Array.from({ length: 20 }, (_, n) => connection(`10.1.${n}.1:1`, `GET /${String.fromCharCode(97 + n)}`, n))
    ]
    const labels = Summary.byLabel(connections)
    assert.deepStrictEqual(labels.groups[0], { name: "GET /a/#", count: 2, oldest: 9 })
    assert.deepStrictEqual([labels.groups.length, labels.more], [12, 9])
    assert.deepStrictEqual(Summary.byNetwork(connections).groups[0], { name: "10.0.0.0/24", count: 2, oldest: 10 })
  })
})

describe("what a client sends", () => {
  it.live("is bounded: labels end with a mark, and a session's streams with how many more there are", () =>
    Effect.gen(function*() {
      const listener = yield* Listener.listen(transport, { name: "api", drain: { deadline: 0, abortGrace: 0 } })
      yield* start(Effect.ignore(Listener.serve(listener, (connection) =>
        Effect.sync(() => {
          for (let n = 0; n < 300; n++) connection.beginExchange(`GET /${n}/${"x".repeat(15_000)}`)
        }).pipe(Effect.andThen(Effect.never)))))
      const { get } = yield* admin([listener])
      yield* many(20, Listening.connect(listener))
      yield* untilConnections(listener, 20)
      const { body } = yield* get("/listeners")
      assert.isBelow(body.length, 100_000)
      const [connection] = decode(body).listeners[0]?.connections ?? []
      assert.deepStrictEqual([connection?.exchanges.length, connection?.moreExchanges], [8, 292])
      for (const { label } of connection?.exchanges ?? []) assert.match(label, /^GET \/\d+\/x+…$/)
      const [line = ""] = DrainReport.format(yield* Effect.map(Effect.flip(listener.close()), reportOf)).split("\n")
        .filter((line) => line.includes("cut #"))
      assert.isBelow(line.length, 3000)
      assert.include(line, "and 292 more")
    }).pipe(quiet))
})

const reportOf = (error: CloseError): DrainReport.DrainReport => {
  if ("report" in error && error.report !== undefined) return error.report
  throw error
}

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
      // at an interval of 1 ms: no look in 300 ms is none ever, which nothing but time would show
      const looked = Effect.suspend(() => {
        const before = looks
        return Effect.map(Effect.sleep("300 millis"), () => looks > before)
      })
      assert.deepStrictEqual([yield* Effect.repeat(looked, { while: (looks) => looks, times: 20 }), pending() > 0], [
        false,
        true
      ])
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
