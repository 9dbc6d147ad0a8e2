import { Listener } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import { echo } from "./support/handlers.ts"
import { listen, listening, quick, serving, start } from "./support/listening.ts"

describe("admission", () => {
  it.effect("wait: a client beyond the limit is held unread, and served with its early bytes when there is room", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo, { admission: { maxConnections: 1 }, idle: "pull" })
      const first = yield* transport.connect
      const second = yield* transport.connect
      yield* second.write("early")
      yield* first.write("a")
      assert.strictEqual(yield* first.readText(5), "got a")
      assert.strictEqual(yield* second.receivedText, "")
      assert.deepStrictEqual((yield* listener.connections).map((info) => info.phase), ["Idle", "Queued"])
      yield* first.end
      assert.strictEqual(yield* first.ended, "Fin")
      assert.strictEqual(yield* second.readText(9), "got early")
    }))

  it.effect("wait: beyond maxQueued connections are refused with a FIN", () =>
    Effect.gen(function*() {
      const { transport } = yield* serving(echo, { admission: { maxConnections: 1, maxQueued: 2 } })
      const clients = yield* Effect.forEach([1, 2, 3, 4, 5], () => transport.connect)
      yield* TestClock.adjust("10 millis")
      const states = yield* Effect.forEach(clients, (client) => client.state)
      assert.deepStrictEqual(states, ["Open", "Open", "Open", "Fin", "Fin"])
    }))

  it.effect("wait: a client that waits when the listener closes gets a FIN and is counted neverAccepted", () =>
    Effect.gen(function*() {
      const release = yield* Deferred.make<void>()
      const { listener, transport } = yield* serving(() => Deferred.await(release), {
        admission: { maxConnections: 2 }
      })
      const clients = yield* Effect.forEach([1, 2, 3, 4, 5], () => transport.connect)
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(
        yield* Effect.forEach(clients, (client) => client.state),
        ["Open", "Open", "Fin", "Fin", "Fin"]
      )
      yield* Deferred.succeed(release, undefined)
      yield* TestClock.adjust("10 millis")
      const { connections } = yield* Fiber.join(closing)
      assert.deepStrictEqual([connections.total, connections.drained, connections.neverAccepted], [5, 2, 3])
    }))

  it.effect("reject: refused in the protocol's words, counted refused while closing, and never part of the total", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const listener = yield* listen(transport, {
        drain: { ...quick, lameDuck: "1 second" },
        admission: { maxConnections: 1, overflow: "reject" }
      })
      yield* start(Listener.serve(listener, echo, {
        idle: "pull",
        refuse: (connection) =>
          Effect.ignore(Effect.scoped(Effect.flatMap(connection.socket.writer, (writer) => writer.write("busy"))))
      }))
      yield* transport.connect
      const early = yield* transport.connect
      assert.strictEqual(yield* early.readAllText, "busy")
      const closing = yield* start(listener.close())
      const late = yield* transport.connect
      assert.strictEqual(yield* late.readAllText, "busy")
      yield* TestClock.adjust("2 seconds")
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual([report.refused, report.connections.total], [1, 1])
    }))

  it.effect("never more handlers than the limit, under a hundred clients that come and go", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening({ admission: { maxConnections: 7 } })
      let open = 0
      let most = 0
      let served = 0
      yield* start(Listener.serve(listener, () =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            open++
            most = Math.max(most, open)
          }),
          () => Effect.sleep("10 millis"),
          () =>
            Effect.sync(() => {
              open--
              served++
            })
        )))
      yield* Effect.forEach(Array.from({ length: 100 }), () => transport.connect)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([most, served], [7, 100])
    }))

  it.effect("setAdmission: a lower limit ends no connection, a higher one lets the waiting in at once", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo, { admission: { maxConnections: 2 } })
      const clients = yield* Effect.forEach([1, 2, 3, 4], () => transport.connect)
      yield* listener.setAdmission({ maxConnections: 1 })
      assert.strictEqual((yield* listener.dryRun).active, 2)
      yield* clients[0]!.end
      assert.strictEqual(yield* clients[0]!.ended, "Fin")
      assert.strictEqual((yield* listener.dryRun).queued, 2)
      yield* listener.setAdmission({ maxConnections: 10 })
      assert.strictEqual((yield* listener.dryRun).queued, 0)
      const error = yield* Effect.flip(listener.setAdmission({ maxConnections: 1.5 }))
      assert.deepStrictEqual([error.parameter, error.operation], ["admission.maxConnections", "setAdmission"])
    }))
})

describe("time-outs", () => {
  const endings = Effect.fnUntraced(function*(timeouts: Listener.ListenerOptions["timeouts"]) {
    const ended: Array<string> = []
    const { transport } = yield* serving(
      Effect.fnUntraced(function*(connection) {
        const pull = yield* Socket.readerString(connection.socket)
        const writer = yield* connection.socket.writer
        const echo = Effect.forever(Effect.flatMap(pull, (text) => writer.write(`got ${text.join("")}`)))
        const error = yield* Effect.flip(echo)
        if (error.reason._tag === "SocketCloseError") ended.push(`${error.reason.code} ${error.reason.closeReason}`)
      }),
      { timeouts }
    )
    return { ended, client: yield* transport.connect }
  })

  it.effect("firstByte ends a silent connection, exactly then, and no other", () =>
    Effect.gen(function*() {
      const { client, ended } = yield* endings({ firstByte: "5 seconds" })
      yield* TestClock.adjust("4999 millis")
      assert.deepStrictEqual(ended, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(ended, ["1001 first byte timeout"])
      assert.strictEqual(yield* client.ended, "Fin")
      const talker = yield* endings({ firstByte: "5 seconds" })
      yield* talker.client.write("x")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(talker.ended, [])
    }))

  it.effect("inactivity is counted from the last byte", () =>
    Effect.gen(function*() {
      const { client, ended } = yield* endings({ inactivity: "5 seconds" })
      yield* TestClock.adjust("3 seconds")
      yield* client.write("x")
      yield* TestClock.adjust("4999 millis")
      assert.deepStrictEqual(ended, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(ended, ["1001 inactivity timeout"])
    }))

  it.effect("handshake: the connection is ended, its place is free, no other is held up", () =>
    Effect.gen(function*() {
      let handshakes = 0
      const transport = yield* MemoryTransport.make({
        handshake: Effect.suspend(() => handshakes++ === 0 ? Effect.never : Effect.void)
      })
      const listener = yield* listen(transport, {
        drain: quick,
        admission: { maxConnections: 1 },
        timeouts: { handshake: "2 seconds" }
      })
      yield* start(Listener.serve(listener, echo))
      const silent = yield* transport.connect
      const next = yield* transport.connect
      yield* next.write("hi")
      assert.deepStrictEqual((yield* listener.connections).map((info) => info.phase), ["Handshake", "Queued"])
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* silent.ended, "Fin")
      assert.strictEqual(yield* next.readText(6), "got hi")
    }))

  it.effect("handshake: an accept goes on to the next connection", () =>
    Effect.gen(function*() {
      let handshakes = 0
      const transport = yield* MemoryTransport.make({
        handshake: Effect.suspend(() => handshakes++ === 0 ? Effect.never : Effect.void)
      })
      const listener = yield* listen(transport, { drain: quick, timeouts: { handshake: "2 seconds" } })
      const accepting = yield* start(Effect.scoped(Effect.map(listener.accept, (connection) => connection.id)))
      yield* transport.connect
      yield* transport.connect
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(accepting), 2)
    }))

  it.effect("open: fails OperationTimedOut and leads back to Created", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make({ bindLatency: "1 minute" })
      const listener = yield* Listener.make(transport, { timeouts: { open: "3 seconds" } })
      const opening = yield* start(Effect.flip(listener.open))
      yield* TestClock.adjust("3 seconds")
      const error = yield* Fiber.join(opening)
      assert.deepStrictEqual([error._tag, yield* listener.state], ["OperationTimedOut", "Created"])
    }))
})
