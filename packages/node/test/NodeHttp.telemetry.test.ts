import * as ListenerMetrics from "@effect-listener/core/ListenerMetrics"
import * as NodeWebSocket from "@effect-listener/node/NodeWebSocket"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { selfSigned } from "./support/certificates.ts"
import * as Http2Client from "./support/http2Client.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import * as HttpServing from "./support/httpServing.ts"
import { many, quiet, start, until, untilStage } from "./support/listening.ts"
import * as WebSocketClient from "./support/webSocketClient.ts"

/** Each test with a registry of its own. */
const metered = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => quiet(Effect.provideService(effect, Metric.MetricRegistry, new Map())))

/** Exchanges of the HTTP listener: how many began, are open, and have been timed. */
const exchanges = Effect.gen(function*() {
  const of = { listener: "http" }
  const begun = yield* Metric.value(Metric.withAttributes(ListenerMetrics.exchanges, of))
  const open = yield* Metric.value(Metric.withAttributes(ListenerMetrics.exchangesOpen, of))
  const { count, max, min } = yield* Metric.value(Metric.withAttributes(ListenerMetrics.exchangeDuration, of))
  return { counts: { begun: begun.count, open: open.value, timed: count }, min: min * 1000, max: max * 1000 }
})

const counts = Effect.map(exchanges, ({ counts }) => counts)

/** A stopwatch that has been started: milliseconds. What it sees from outside bounds what a metric says, on any machine. */
const watch = (): () => number => {
  const began = performance.now()
  return () => performance.now() - began
}

const untilTimed = (timed: number) =>
  Effect.flatMap(
    Effect.context<never>(),
    (context) =>
      until(`${timed} exchanges are timed`, () => Effect.runSyncWith(context)(exchanges).counts.timed === timed)
  )

/** Answers `/held` when it is let, `/body` with a body that is whole then, and everything else at once. */
const makeHeld = Effect.sync(() => {
  const gate = Deferred.makeUnsafe<void>()
  const wait = Effect.interruptible(Deferred.await(gate))
  let begun = 0
  return {
    begun: () => begun,
    release: Deferred.succeed(gate, undefined),
    app: Effect.flatMap(HttpServerRequest, ({ url }) => {
      begun++
      if (url === "/body") {
        const body = Stream.concat(Stream.make("a"), Stream.fromEffect(Effect.as(wait, "b")))
        return Effect.succeed(HttpServerResponse.stream(Stream.encodeText(body)))
      }
      return Effect.as(url === "/held" ? wait : Effect.void, HttpServerResponse.text("ok"))
    })
  }
})

/** Echoes, and holds `held` until it is released. */
const echoWith = (released: Effect.Effect<unknown>) =>
  Effect.fnUntraced(function*(socket: Socket.Socket) {
    const pull = yield* Socket.readerString(socket)
    const { write } = yield* socket.writer
    while (true) {
      for (const message of yield* pull) {
        if (message === "held") yield* released
        yield* write(message)
      }
    }
  })

const echo = echoWith(Effect.void)

describe("exchanges in the metrics", () => {
  it.live("HTTP/1: each request from its head to its answer's last byte", () =>
    metered(Effect.gen(function*() {
      const held = yield* makeHeld
      const serving = yield* HttpServing.app(held.app)
      const peer = yield* HttpPeer.connect(serving.port)
      const asked = watch()
      for (let i = 0; i < 3; i++) yield* peer.get("/")
      yield* untilTimed(3)
      const quick = asked()
      assert.deepStrictEqual(yield* counts, { begun: 3, open: 0, timed: 3 })
      yield* peer.send(HttpPeer.get("/held"))
      yield* until("it is being handled", () => held.begun() === 4)
      const handled = watch()
      assert.deepStrictEqual(yield* counts, { begun: 4, open: 1, timed: 3 })
      yield* Effect.sleep("150 millis")
      const slow = handled()
      yield* held.release
      yield* peer.response
      yield* untilTimed(4)
      const { max, min } = yield* exchanges
      assert.isAtLeast(max, slow - 1)
      assert.isBelow(min, quick)
    })))

  it.live("HTTP/1: pipelined ones are in flight together, and each is timed from its own head", () =>
    metered(Effect.gen(function*() {
      const held = yield* makeHeld
      const serving = yield* HttpServing.app(held.app)
      const peer = yield* HttpPeer.connect(serving.port)
      yield* peer.send(HttpPeer.get("/held") + HttpPeer.get("/"))
      yield* until("both are being handled", () => held.begun() === 2)
      const handled = watch()
      yield* Effect.sleep("150 millis")
      const asked = watch()
      yield* peer.send(HttpPeer.get("/"))
      yield* until("so is the third", () => held.begun() === 3)
      assert.deepStrictEqual(yield* counts, { begun: 3, open: 3, timed: 0 })
      const slow = handled()
      yield* held.release
      for (let i = 0; i < 3; i++) yield* peer.response
      yield* untilTimed(3)
      const quick = asked()
      const { max, min } = yield* exchanges
      assert.isAtLeast(max, slow - 1)
      assert.isBelow(min, quick)
      assert.strictEqual((yield* counts).open, 0)
    })))

  it.live("HTTP/1: those of a client that goes end with it, answered or not; those refused never began", () =>
    metered(Effect.gen(function*() {
      const held = yield* makeHeld
      const serving = yield* HttpServing.app(held.app)
      const gone = yield* HttpPeer.connect(serving.port)
      yield* gone.send(HttpPeer.get("/held") + HttpPeer.get("/held"))
      yield* until("both are being handled", () => held.begun() === 2)
      gone.socket.resetAndDestroy()
      yield* untilTimed(2)
      const asked = yield* HttpPeer.connect(serving.port)
      const closing = yield* start(serving.listener.close())
      yield* untilStage(serving.listener, "Draining")
      // within the grace, and told to go by its head
      yield* asked.send(HttpPeer.get("/body"))
      assert.strictEqual((yield* asked.head).headers["connection"], "close")
      yield* asked.sendAll(HttpPeer.get("/"))
      const sent = HttpPeer.get("/body").length + HttpPeer.get("/").length
      yield* until("it was read", () => Effect.runSync(serving.listener.connections)[0]?.bytesIn === sent)
      yield* Effect.andThen(held.release, asked.response)
      assert.strictEqual((yield* Fiber.join(closing)).refused, 1)
      assert.deepStrictEqual(yield* counts, { begun: 3, open: 0, timed: 3 })
    })))

  it.live.each([false, true])(
    "HTTP/2, TLS %s: each stream, those of a session that breaks off included",
    (tls) =>
      metered(Effect.gen(function*() {
        const held = yield* makeHeld
        const serving = yield* HttpServing.app(held.app, tls ? { tls: selfSigned() } : {})
        const client = yield* Http2Client.connect(serving.port, { tls })
        yield* many(5, client.get("/"))
        yield* untilTimed(5)
        const answers = yield* start(many(3, client.get("/held")))
        yield* until("they are being handled", () => held.begun() === 8)
        assert.deepStrictEqual(yield* counts, { begun: 8, open: 3, timed: 5 })
        const gone = yield* Http2Client.connect(serving.port, { tls })
        yield* start(Effect.ignore(gone.get("/held")))
        yield* until("it is being handled", () => held.begun() === 9)
        gone.session.destroy()
        yield* untilTimed(6)
        yield* held.release
        yield* Fiber.join(answers)
        yield* untilTimed(9)
        assert.deepStrictEqual(yield* counts, { begun: 9, open: 0, timed: 9 })
      }))
  )

  it.live("WebSockets: the request, then what is worked on from one pull to the next", () =>
    metered(Effect.gen(function*() {
      const gate = yield* Latch.make()
      const serving = yield* HttpServing.routes(NodeWebSocket.route("/ws", echoWith(gate.await)))
      const client = yield* WebSocketClient.connect(`ws://127.0.0.1:${serving.port}/ws`)
      assert.deepStrictEqual(yield* counts, { begun: 1, open: 0, timed: 1 })
      yield* client.send("held")
      yield* until("it is being handled", () => Effect.runSync(serving.listener.dryRun).active === 1)
      const handled = watch()
      assert.deepStrictEqual(yield* counts, { begun: 2, open: 1, timed: 1 })
      yield* Effect.sleep("100 millis")
      const slow = handled()
      yield* gate.open
      yield* client.message
      yield* untilTimed(2)
      assert.isAtLeast((yield* exchanges).max, slow - 1)
      yield* gate.close
      yield* client.send("held")
      yield* until("it is being handled", () => Effect.runSync(serving.listener.dryRun).active === 1)
      client.socket.terminate()
      yield* until("it has gone", () => client.socket.readyState === WebSocket.CLOSED)
      yield* gate.open
      yield* untilTimed(3)
      assert.deepStrictEqual(yield* counts, { begun: 3, open: 0, timed: 3 })
    })))
})

describe("spans", () => {
  const tracing = () => {
    const spans: Array<Tracer.NativeSpan> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    return { named: (name: string) => spans.filter((span) => span.name === name), traced: Effect.withTracer(tracer) }
  }
  const seen = (span: Tracer.NativeSpan) => ({
    label: span.attributes.get("label"),
    parent: Option.getOrUndefined(span.parent)?.spanId,
    ended: span.status._tag === "Ended" && Exit.isSuccess(span.status.exit)
  })

  it.live("none unless asked for", () => {
    const { named, traced } = tracing()
    return traced(metered(Effect.gen(function*() {
      const serving = yield* HttpServing.app(Effect.succeed(HttpServerResponse.text("ok")))
      yield* (yield* HttpPeer.connect(serving.port)).get("/")
      yield* untilTimed(1)
      assert.deepStrictEqual([...named("Listener.connection"), ...named("Listener.exchange")], [])
    })))
  })

  it.live("a connection's from accept to end, and below it one for each request, stream and message", () => {
    const { named, traced } = tracing()
    return traced(metered(Effect.gen(function*() {
      const held = yield* makeHeld
      const options = { tracing: { connections: true, exchanges: true }, maskRemote: true }
      const serving = yield* HttpServing.app(held.app, options)
      const peer = yield* HttpPeer.connect(serving.port)
      yield* peer.get("/one?token=secret")
      yield* peer.send(HttpPeer.get("/held") + HttpPeer.get("/two"))
      yield* until("they are being handled", () => held.begun() === 3)
      assert.deepStrictEqual(named("Listener.exchange").map((span) => seen(span).ended), [true, false, false])
      peer.socket.destroy()
      yield* untilTimed(3)
      const client = yield* Http2Client.connect(serving.port)
      yield* client.get("/three")
      const upgrading = yield* HttpServing.routes(NodeWebSocket.route("/ws", echo), { ...options, name: "http" })
      const webSocket = yield* WebSocketClient.connect(`ws://127.0.0.1:${upgrading.port}/ws`)
      yield* webSocket.send("hi")
      yield* webSocket.message
      yield* untilTimed(6)
      const [http1, http2, upgraded] = named("Listener.connection").map((span) => span.spanId)
      assert.deepStrictEqual(named("Listener.exchange").map(seen), [
        { label: "GET /one", parent: http1, ended: true },
        { label: "GET /held", parent: http1, ended: true },
        { label: "GET /two", parent: http1, ended: true },
        { label: "GET /three", parent: http2, ended: true },
        { label: "GET /ws", parent: upgraded, ended: true },
        { label: "GET /ws", parent: upgraded, ended: true }
      ])
      const [first] = named("Listener.connection")
      assert.deepInclude(Object.fromEntries(first?.attributes ?? []), { listener: "http", remote: "masked" })
      assert.strictEqual(first?.attributes.get("reason"), "endedByPeer")
      assert.strictEqual((yield* serving.listener.connections)[0]?.remote, "masked")
    })))
  })
})

describe("the log", () => {
  it.live("one line for a close that was not clean when serving ended: a warning, with the report", () => {
    const lines: Array<{ readonly level: string; readonly event: unknown; readonly text: string }> = []
    const logger = Logger.make<unknown, void>(({ fiber, logLevel, message }) => {
      const { event } = fiber.getRef(References.CurrentLogAnnotations)
      lines.push({ level: logLevel, event, text: [message].flat().map(String).join(" ") })
    })
    return Effect.gen(function*() {
      const held = yield* makeHeld
      const scope = yield* Scope.make()
      const serving = yield* Scope.provide(
        HttpServing.app(held.app, { drain: { deadline: "50 millis", abortGrace: "1 second" } }),
        scope
      )
      yield* Effect.flatMap(HttpPeer.connect(serving.port), (peer) => peer.send(HttpPeer.get("/held")))
      yield* until("it is being handled", () => held.begun() === 1)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(lines.map(({ event, level }) => [level, event]), [["Info", "open"], ["Warn", "close"]])
      assert.include(lines[1]?.text, "GET /held")
      assert.include(lines[1]?.text, "serving ended")
    }).pipe(Effect.provide(Logger.layer([logger])))
  })
})
