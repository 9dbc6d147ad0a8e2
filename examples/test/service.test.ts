import * as ListenerHost from "@effect-listener/core/ListenerHost"
import * as ListenerInspector from "@effect-listener/node/ListenerInspector"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs"
import * as HttpPeer from "../../packages/node/test/support/httpPeer.ts"
import * as NetClient from "../../packages/node/test/support/netClient.ts"
import { connect as connectTcp } from "../../packages/node/test/support/peer.ts"
import type * as Process from "../../packages/node/test/support/process.ts"
import { connectTls } from "../../packages/node/test/support/tlsClient.ts"
import * as WebSocketClient from "../../packages/node/test/support/webSocketClient.ts"
import { tlsFiles } from "./support/httpExample.ts"
import * as Service from "./support/serviceExample.ts"

const closedReport = (exit: Process.Exit) => {
  const last = exit.stdout.at(-1) ?? "{}"
  const { event, report } = Schema.decodeUnknownSync(
    Schema.Struct({ event: Schema.String, report: ListenerHost.HostReport })
  )(JSON.parse(last))
  assert.strictEqual(event, "closed")
  return report
}

const often = Schedule.spaced("20 millis")

/** Asks again until the answer is the expected one: nothing tells that a signal has arrived. */
const untilAnswer = (service: Service.Service, path: string, status: number) =>
  service.get(path).pipe(
    Effect.repeat({ schedule: often, until: (answer) => answer.status === status }),
    Effect.timeout("5 seconds")
  )

/** Waits until a request is being answered. */
const untilInFlight = (service: Service.Service) =>
  service.listeners.pipe(
    Effect.repeat({ schedule: often, until: ({ listeners }) => listeners[0]?.counts.phases.Active === 1 }),
    Effect.timeout("5 seconds")
  )

const inspections = (events: string): ReadonlyArray<ListenerInspector.Inspection> =>
  events.split("\n\n").filter((event) => event !== "").map((event) => {
    assert.match(event, /^data: /)
    return Schema.decodeUnknownSync(ListenerInspector.Inspection)(JSON.parse(event.slice("data: ".length)))
  })

const refused = (port: number) =>
  Effect.map(Effect.flip(HttpPeer.connect(port)), ({ message }) => assert.include(message, "ECONNREFUSED"))

/** Two listeners of a host stop in the same turn, and each looks for itself whether a client has come meanwhile. */
const untilRefused = (port: number) => refused(port).pipe(Effect.retry({ schedule: often, times: 100 }))

const fin = { ending: "FIN", partial: false }

describe("examples/service.ts", () => {
  it.live("a lame duck of 3 s: not ready at once, alive, serving with Connection: close, then refusing", () =>
    Effect.gen(function*() {
      const service = yield* Service.start({ LAME_DUCK_MS: "3000" })
      assert.deepStrictEqual(yield* service.get("/readyz"), { status: 200, body: "ok\n" })
      const busy = yield* HttpPeer.connect(service.http)
      yield* busy.send(HttpPeer.get("/slow?ms=6000"))
      yield* service.sigterm
      const notReady = yield* untilAnswer(service, "/readyz", 503)
      // none of the 3 s is over for it
      assert.strictEqual(notReady.body, "no\nhttp: LameDuck\ntcp: LameDuck\n")
      assert.strictEqual((yield* service.get("/livez")).status, 200)
      const late = yield* HttpPeer.connect(service.http)
      const readyz = yield* late.get("/readyz")
      assert.deepStrictEqual([readyz.status, readyz.headers["connection"]], [503, "close"])
      const line = yield* NetClient.connect(service.tcp)
      yield* line.send("hello\n")
      assert.strictEqual(yield* line.line, "hello")

      // all are served until none is let in
      let served = 0
      while (true) {
        const peer = yield* Effect.result(HttpPeer.connect(service.http))
        if (peer._tag === "Failure") {
          assert.include(peer.failure.message, "ECONNREFUSED")
          break
        }
        const { body, headers } = yield* peer.success.get("/")
        assert.deepStrictEqual([body, headers["connection"]], ["ok", "close"])
        served++
        // a client that connects in the very moment the socket is closed may be reset: no need to hit it
        yield* Effect.sleep("50 millis")
      }
      assert.isAtLeast(service.sinceSigterm(), 3000)
      assert.isBelow(service.sinceSigterm(), 3000 + 2000)
      assert.isAtLeast(served, 1)
      yield* untilRefused(service.tcp)
      assert.strictEqual((yield* service.get("/livez")).status, 200)
      assert.strictEqual((yield* service.get("/readyz")).status, 503)
      assert.strictEqual((yield* busy.response).body, "done")

      const exit = yield* service.exit
      assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
      assert.include(closedReport(exit), { host: "service", reason: "SIGTERM", outcome: "Drained" })
    }))

  it.live("one TCP client that never ends: the others end early, the whole takes one deadline, and it is named", () =>
    Effect.gen(function*() {
      const service = yield* Service.start({ DRAIN_DEADLINE_MS: "4000" })
      const stuck = yield* connectTcp({ host: "127.0.0.1", port: service.tcp })
      yield* stuck.send("sleep 60000\n")
      const idleTcp = yield* NetClient.connect(service.tcp)
      yield* idleTcp.send("hello\n")
      assert.strictEqual(yield* idleTcp.line, "hello")
      const idleHttp = yield* HttpPeer.connect(service.http)
      yield* idleHttp.get("/")
      const webSocket = yield* WebSocketClient.connect(`ws://127.0.0.1:${service.http}/ws`)
      yield* webSocket.send("hello")
      assert.strictEqual(yield* webSocket.message, "hello")
      const busyHttp = yield* HttpPeer.connect(service.http)
      yield* busyHttp.send(HttpPeer.get("/slow?ms=1500"))

      yield* service.sigterm
      assert.strictEqual((yield* webSocket.closed).code, 1001)
      assert.deepStrictEqual(yield* idleHttp.rest, fin)
      assert.deepStrictEqual(yield* idleTcp.rest, { lines: [], ending: "FIN" })
      // goodbyes come after the last listening socket is closed
      yield* refused(service.http)
      yield* refused(service.tcp)
      const { body, headers } = yield* busyHttp.response
      assert.deepStrictEqual([body, headers["connection"]], ["done", "close"])
      assert.isBelow(service.sinceSigterm(), 4000)

      const remote = `127.0.0.1:${stuck.socket.localPort}`
      const seen = yield* service.listeners.pipe(
        Effect.repeat({ schedule: often, until: ({ drain }) => drain?.remaining === 1 }),
        Effect.timeout("2 seconds")
      )
      assert.deepInclude(seen, { host: "service", ready: false, live: true })
      assert.deepInclude(seen.drain, { stage: "Draining", remaining: 1 })
      assert.deepInclude(seen.drain?.oldest, { remote, phase: "Active" })
      assert.isBelow(seen.drain?.timeLeft ?? Infinity, 4000)
      const [http, tcp, admin, ...others] = seen.listeners
      assert.deepStrictEqual(others, [])
      assert.deepInclude(http, { name: "http", state: "Closed", drain: null, connections: [] })
      assert.deepInclude(tcp, { name: "tcp", state: "Closing", address: `127.0.0.1:${service.tcp}` })
      assert.deepInclude(tcp?.connections[0], { remote, phase: "Active", protocol: "tcp" })
      assert.strictEqual(tcp?.connections[0]?.exchanges[0]?.label, "line")
      assert.deepInclude(admin, { name: "admin", state: "Open", ready: true })
      const metrics = (yield* service.get("/metrics")).body.split("\n")
      assert.includeMembers(metrics, [
        "# TYPE listener_connections_open gauge",
        "listener_connections_open{listener=\"tcp\"} 1",
        "listener_connections_open{listener=\"http\"} 0"
      ])

      assert.strictEqual(yield* stuck.ending, "ECONNRESET")
      const exit = yield* service.exit
      assert.isAtLeast(service.sinceSigterm(), 3000)
      assert.isBelow(service.sinceSigterm(), 4000 + 2000)
      assert.strictEqual(exit.code, 124)
      const stderr = exit.stderr.join("\n")
      assert.match(stderr, new RegExp(`tcp: cut #\\d+ ${remote} tcp Active, line [\\d.]+ s`, "m"))
      const report = closedReport(exit)
      assert.deepInclude(report, { host: "service", outcome: "DeadlineExceeded" })
      assert.deepStrictEqual(report.listeners.map(({ listener }) => listener), ["http", "tcp", "admin"])
      assert.deepStrictEqual(report.listeners.map(({ outcome }) => outcome), ["Drained", "DeadlineExceeded", "Drained"])
      assert.strictEqual(report.totals.cut, 1)
    }))

  it.live("a client that watches by the admin port, and keeps its side open, is told to the end and costs nothing", () =>
    Effect.gen(function*() {
      const service = yield* Service.start()
      const viewer = yield* HttpPeer.connect(service.admin)
      yield* viewer.send(HttpPeer.get("/listeners/events"))
      assert.strictEqual((yield* viewer.head).headers["content-type"], "text/event-stream")
      const busy = yield* HttpPeer.connect(service.http)
      yield* busy.send(HttpPeer.get("/slow?ms=1500"))
      yield* untilInFlight(service)
      yield* service.sigterm
      const { body, headers } = yield* viewer.response
      assert.strictEqual(headers["cache-control"], "no-store")
      const seen = inspections(body)
      assert.deepStrictEqual(seen[0]?.drain, null)
      assert.isTrue(seen.some(({ drain, ready }) => !ready && drain?.stage === "Draining" && drain.remaining === 1))
      const last = seen.at(-1)?.listeners.map(({ name, state }) => `${name} ${state}`)
      assert.deepStrictEqual(last, ["http Closed", "tcp Closed", "admin Closing"])
      assert.deepStrictEqual(yield* viewer.rest, fin)
      const exit = yield* service.exit
      assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
      assert.deepStrictEqual(closedReport(exit).listeners.map(({ outcome }) => outcome), [
        "Drained",
        "Drained",
        "Drained"
      ])
    }))

  it.live("TLS_KEY and TLS_CERT: HTTP and TCP over TLS, the admin port in the clear", () =>
    Effect.gen(function*() {
      const files = yield* tlsFiles
      const service = yield* Service.start(files)
      const https = yield* HttpPeer.connect(service.http, { tls: true })
      assert.strictEqual((yield* https.get("/")).body, "ok")
      const tls = yield* connectTls(service.tcp, { ca: Fs.readFileSync(files.TLS_CERT) })
      yield* tls.send("hello\n")
      yield* tls.received(6)
      assert.strictEqual((yield* service.get("/readyz")).status, 200)
      yield* service.sigterm
      const exit = yield* service.exit
      assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
    }))

  it.live("MAX_CONNECTIONS: probes are answered when the others are full", () =>
    Effect.gen(function*() {
      const service = yield* Service.start({ MAX_CONNECTIONS: "1" })
      const first = yield* HttpPeer.connect(service.http)
      yield* first.get("/")
      const held = yield* HttpPeer.connect(service.http)
      yield* held.send(HttpPeer.get("/"))
      const seen = yield* service.listeners.pipe(
        Effect.repeat({ schedule: often, until: ({ listeners }) => listeners[0]?.counts.phases.Queued === 1 }),
        Effect.timeout("5 seconds")
      )
      assert.strictEqual(seen.listeners[0]?.counts.total, 2)
      assert.strictEqual((yield* service.get("/livez")).status, 200)
      first.socket.destroy()
      assert.strictEqual((yield* held.response).body, "ok")
    }))

  it.live.each(["TCP_PORT", "ADMIN_PORT", "LAME_DUCK_MS"])(
    "%s=x: exit code 1, and it is named on stderr",
    (variable) =>
      Effect.gen(function*() {
        const exit = yield* (yield* Service.launch({ [variable]: "x" })).exit
        assert.strictEqual(exit.code, 1)
        assert.include(exit.stderr.join("\n"), variable)
        assert.deepStrictEqual(exit.stdout, [])
      })
  )

  it.live("an ADMIN_PORT that is taken: exit code 1, it is named, and nothing was announced", () =>
    Effect.gen(function*() {
      const other = yield* Service.start()
      const exit = yield* (yield* Service.launch({ ADMIN_PORT: String(other.admin) })).exit
      assert.strictEqual(exit.code, 1)
      assert.include(exit.stderr.join("\n"), `ADMIN_PORT ${other.admin}`)
      assert.deepStrictEqual(exit.stdout, [])
    }))
})
