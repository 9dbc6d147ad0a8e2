import { type Connection, Listener, ListenerError } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Logger, References } from "effect"
import { TestClock } from "effect/testing"
import { echo } from "./support/handlers.ts"
import { listen, start } from "./support/listening.ts"

const drain = { idleGrace: "250 millis", deadline: "20 seconds", linger: { idle: 0 } } as const

const refused = new ListenerError.SecurityFailure({
  operation: "handshake",
  listener: "memory",
  trail: [],
  detail: "no certificate"
})

describe("a handshake while the listener drains", () => {
  it.effect("that does not go on is ended after the idle grace, and counted idle", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make({ handshake: Effect.never })
      const listener = yield* listen(transport, { drain, timeouts: { handshake: "15 seconds" } })
      yield* start(Listener.serve(listener, echo))
      const client = yield* transport.connect
      yield* TestClock.adjust("10 seconds")
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("249 millis")
      assert.strictEqual(yield* client.state, "Open")
      yield* TestClock.adjust("1 millis")
      const report = yield* Fiber.join(closing)
      assert.strictEqual(yield* client.ended, "Fin")
      assert.deepInclude(report.connections, { total: 1, idle: 1 })
      assert.strictEqual(report.outcome, "Drained")
    }))

  it.effect("that is done within the grace is served: told at once, with a grace of its own", () =>
    Effect.gen(function*() {
      const done = yield* Deferred.make<void>()
      const transport = yield* MemoryTransport.make({ handshake: Deferred.await(done) })
      const listener = yield* listen(transport, { drain })
      const told: Array<string> = []
      const handler = (connection: Connection.Connection) =>
        Effect.andThen(
          Effect.forkChild(Effect.andThen(connection.draining, Effect.sync(() => told.push("draining")))),
          echo(connection)
        )
      yield* start(Listener.serve(listener, handler, { idle: "pull" }))
      const client = yield* transport.connect
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("240 millis")
      yield* Deferred.succeed(done, undefined)
      yield* TestClock.adjust("240 millis")
      assert.deepStrictEqual(told, ["draining"])
      yield* client.write("hi")
      assert.strictEqual(yield* client.readText(6), "got hi")
      yield* TestClock.adjust("250 millis")
      const report = yield* Fiber.join(closing)
      assert.deepInclude(report.connections, { total: 1, cut: 0, failed: 0 })
    }))

  it.effect("that fails is counted failed, and delays nothing", () =>
    Effect.gen(function*() {
      const fail = yield* Deferred.make<void, ListenerError.SecurityFailure>()
      const transport = yield* MemoryTransport.make({ handshake: Deferred.await(fail) })
      const listener = yield* listen(transport, { drain })
      yield* start(Listener.serve(listener, echo))
      yield* transport.connect
      const closing = yield* start(listener.close())
      yield* Deferred.fail(fail, refused)
      const report = yield* Fiber.join(closing)
      assert.deepInclude(report.connections, { total: 1, failed: 1 })
    }))

  it.effect("of a pending accept ends that accept with OperationAborted", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make({ handshake: Effect.never })
      const listener = yield* listen(transport, { drain })
      const accepting = yield* start(Effect.flip(Effect.scoped(listener.accept)))
      yield* transport.connect
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("250 millis")
      assert.strictEqual((yield* Fiber.join(accepting))._tag, "OperationAborted")
      assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 1, idle: 1 })
    }))
})

describe("a handshake before a refusal", () => {
  it.effect("is waited for within its bound when there are words to say, and only then", () =>
    Effect.gen(function*() {
      let handshakes = 0
      const transport = yield* MemoryTransport.make({
        handshake: Effect.suspend(() => ++handshakes === 2 ? Effect.never : Effect.sleep("100 millis"))
      })
      const listener = yield* listen(transport, {
        drain,
        admission: { maxConnections: 1, overflow: "reject" },
        timeouts: { handshake: "2 seconds" }
      })
      const serving = yield* start(Listener.serve(listener, () => Effect.never, {
        refuse: (connection) =>
          Effect.scoped(Effect.flatMap(connection.socket.writer, (writer) => Effect.orDie(writer.write("busy"))))
      }))
      yield* transport.connect
      const silent = yield* transport.connect
      const client = yield* transport.connect
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* client.readText(4), "busy")
      assert.strictEqual(yield* silent.state, "Open")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* silent.ended, "Fin")
      assert.strictEqual(yield* silent.receivedText, "")
      yield* Fiber.interrupt(serving)
      yield* start(Listener.serve(listener, () => Effect.never))
      const unspoken = yield* transport.connect
      assert.strictEqual(yield* unspoken.ended, "Fin")
      assert.strictEqual(handshakes, 3)
    }))

  it.effect("is ended after the idle grace while the listener drains", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make({ handshake: Effect.never })
      const listener = yield* listen(transport, { drain, admission: { maxConnections: 1, overflow: "reject" } })
      yield* start(Listener.serve(listener, () => Effect.never, { refuse: () => Effect.die("no client to talk to") }))
      yield* transport.connect
      const client = yield* transport.connect
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("249 millis")
      assert.strictEqual(yield* client.state, "Open")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* client.ended, "Fin")
      assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 1, idle: 1 })
    }))
})

describe("the bound of a handshake", () => {
  it.effect("is each connection's own, to the millisecond, whatever became of those before it", () =>
    Effect.gen(function*() {
      const done = yield* Deferred.make<void>()
      let handshakes = 0
      const transport = yield* MemoryTransport.make({
        handshake: Effect.suspend(() => ++handshakes === 1 ? Deferred.await(done) : Effect.never)
      })
      const listener = yield* listen(transport, { drain, timeouts: { handshake: "2 seconds" } })
      yield* start(Listener.serve(listener, echo))
      const first = yield* transport.connect
      yield* TestClock.adjust("500 millis")
      const second = yield* transport.connect
      yield* TestClock.adjust("1 second")
      const third = yield* transport.connect
      yield* Deferred.succeed(done, undefined)
      // what the first was given ends
      yield* TestClock.adjust("500 millis")
      const states = Effect.all([first.state, second.state, third.state])
      assert.deepStrictEqual(yield* states, ["Open", "Open", "Open"])
      yield* TestClock.adjust("499 millis")
      assert.strictEqual(yield* second.state, "Open")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* second.ended, "Fin")
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(yield* third.state, "Open")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* third.ended, "Fin")
      // no time passes while no connection is there, and then one is
      yield* TestClock.adjust("10 seconds")
      const fourth = yield* transport.connect
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* fourth.ended, "Fin")
      assert.strictEqual(yield* first.state, "Open")
    }))
})

describe("a handshake that fails", () => {
  it.effect("is logged in one line that is no error, and concerns no other connection", () =>
    Effect.gen(function*() {
      let handshakes = 0
      const lines: Array<string> = []
      const logger = Logger.make(({ fiber, logLevel, message }) => {
        if (fiber.getRef(References.CurrentLogAnnotations)["event"] === "open") return
        lines.push(`${logLevel} ${[message].flat().join(" ")}`)
      })
      const transport = yield* MemoryTransport.make({
        handshake: Effect.suspend(() => handshakes++ === 0 ? Effect.fail(refused) : Effect.void)
      })
      const listener = yield* listen(transport, { drain }).pipe(Effect.provide(Logger.layer([logger])))
      yield* start(Listener.serve(listener, echo).pipe(Effect.provide(Logger.layer([logger]))))
      const first = yield* transport.connect
      assert.strictEqual(yield* first.ended, "Fin")
      assert.deepStrictEqual(lines, [
        "Info handshake failed on listener \"memory\" no certificate"
      ])
      const second = yield* transport.connect
      yield* second.write("hi")
      assert.strictEqual(yield* second.readText(6), "got hi")
    }))

  it.effect("by a defect of its transport is logged as an error, also where a protocol drives the connection", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ fiber, logLevel, message }) => {
        if (fiber.getRef(References.CurrentLogAnnotations)["event"] === "open") return
        lines.push(`${logLevel} ${String([message].flat()[0])}`)
      })
      const logged = Effect.provide(Logger.layer([logger]))
      const transport = yield* MemoryTransport.make({ handshake: Effect.die("no such thing") })
      const listener = yield* listen(transport, { drain }).pipe(logged)
      const serving = yield* start(Listener.serve(listener, echo).pipe(logged))
      yield* (yield* transport.connect).ended
      yield* Fiber.interrupt(serving)
      const unreachable = () => {
        throw new Error("attached before its handshake")
      }
      yield* start(Listener.serveDriver(listener, unreachable).pipe(logged))
      yield* (yield* transport.connect).ended
      const failed = "Error connection handler failed on listener \"memory\""
      assert.deepStrictEqual(lines, [failed, failed])
    }))
})

describe("handshakes of connections that accept waits for", () => {
  it.effect("run side by side: a silent client holds up none but itself", () =>
    Effect.gen(function*() {
      let first = true
      const handshake = Effect.suspend(() => {
        const silent = first
        first = false
        return silent ? Effect.never : Effect.void
      })
      const transport = yield* MemoryTransport.make({ handshake })
      const listener = yield* listen(transport, { drain, timeouts: { handshake: "15 seconds" } })
      const accepted: Array<number> = []
      yield* start(Effect.forever(Effect.scoped(Effect.map(listener.accept, ({ id }) => accepted.push(id)))))
      const silent = yield* transport.connect
      yield* transport.connect
      yield* transport.connect
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(accepted, [2, 3])
      assert.deepStrictEqual((yield* listener.connections).map(({ phase }) => phase), ["Handshake"])
      yield* TestClock.adjust("14 seconds")
      assert.include(["Fin", "Reset"], yield* silent.ended)
    }))

  it.effect("a close keeps the accept that one of them will serve, and fails the others", () =>
    Effect.gen(function*() {
      const done = yield* Deferred.make<void>()
      const transport = yield* MemoryTransport.make({ handshake: Deferred.await(done) })
      const listener = yield* listen(transport, { drain })
      const one = yield* start(Effect.scoped(Effect.map(listener.accept, ({ id }) => id)))
      const other = yield* start(Effect.flip(Effect.scoped(listener.accept)))
      yield* transport.connect
      yield* TestClock.adjust("1 millis")
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(other))._tag, "OperationAborted")
      assert.isUndefined(one.pollUnsafe())
      yield* Deferred.succeed(done, undefined)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(one), 1)
      assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 1, neverAccepted: 0, cut: 0 })
    }))

  it.effect("an accept whose connection fails its handshake during a close is told that it is over", () =>
    Effect.gen(function*() {
      const done = yield* Deferred.make<void, ListenerError.SecurityFailure>()
      const transport = yield* MemoryTransport.make({ handshake: Deferred.await(done) })
      const listener = yield* listen(transport, { drain })
      const one = yield* start(Effect.flip(Effect.scoped(listener.accept)))
      yield* transport.connect
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("1 millis")
      yield* Deferred.fail(done, refused)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(one))._tag, "OperationAborted")
      assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 1, failed: 1 })
    }))
})
