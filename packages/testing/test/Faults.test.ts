import { Listener } from "@effect-listener/core"
import { Faults, MemoryTransport } from "@effect-listener/testing"
import * as TransportLaws from "@effect-listener/testing/TransportLaws"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, References, Scope } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import { echo } from "./support/handlers.ts"

const { Fault } = Faults

const text = (chunks: ReadonlyArray<Uint8Array | string>): string =>
  chunks.map((chunk) => typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk)).join("")

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const reason = (error: Socket.SocketError): string =>
  error.reason._tag === "SocketCloseError"
    ? `closed ${error.reason.code}`
    : error.reason._tag === "SocketReadError" || error.reason._tag === "SocketWriteError"
    ? String((error.reason.cause as NodeJS.ErrnoException).code)
    : error.reason._tag

/** A connection with these faults, and its client. */
const pair = Effect.fnUntraced(function*(...faults: ReadonlyArray<Faults.Fault>) {
  const memory = yield* MemoryTransport.make({ bufferSize: 64 })
  const transport = Faults.wrap(memory, Faults.plan({ 0: faults }))
  const bound = yield* transport.bind
  const client = yield* memory.connect
  const connection = yield* bound.accept
  const reader = yield* connection.socket.reader
  const scope = yield* Scope.make()
  const writer = yield* Scope.provide(connection.socket.writer, scope)
  return {
    memory,
    client,
    connection,
    writer,
    pull: Effect.map(reader.pull, text),
    endWriter: Scope.close(scope, Exit.void),
    injected: Effect.map(transport.injected, (injected) => injected.map(({ fault }) => fault._tag))
  }
})

const draining = new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1001 }) })

describe("Faults", () => {
  describe("accept errors", () => {
    for (
      const [code, tag] of [
        ["ECONNABORTED", "transient"],
        ["EPROTO", "transient"],
        ["EINTR", "transient"],
        ["EMFILE", "exhausted"],
        ["ENFILE", "exhausted"],
        ["ENOBUFS", "exhausted"],
        ["ENOMEM", "exhausted"]
      ] as const
    ) {
      it.effect(`${code} is ${tag}, and the connection comes afterwards`, () =>
        Effect.gen(function*() {
          const memory = yield* MemoryTransport.make()
          const transport = Faults.wrap(memory, Faults.plan({ 1: [Fault.AcceptError({ code, times: 2 })] }))
          const bound = yield* transport.bind
          yield* memory.connect
          yield* memory.connect
          const client = yield* Effect.andThen(bound.accept, Effect.flip(bound.accept))
          assert.deepStrictEqual([client.code, client.class], [code, tag])
          yield* Effect.flip(bound.accept)
          const second = yield* bound.accept
          assert.strictEqual(second.protocol, "memory")
          assert.strictEqual((yield* transport.injected).length, 2)
        }))
    }

    for (const code of ["EBADF", "EINVAL", "ENOTSOCK"]) {
      it.effect(`${code} is fatal: it faults the listener, and queued clients are reset`, () =>
        Effect.gen(function*() {
          const memory = yield* MemoryTransport.make()
          const transport = Faults.wrap(memory, Faults.plan({ 0: [Fault.AcceptError({ code, times: 1 })] }))
          const listener = yield* Listener.listen(transport)
          const accepting = yield* start(Effect.flip(Effect.scoped(listener.accept)))
          const client = yield* memory.connect
          assert.strictEqual((yield* Fiber.join(accepting))._tag, "ListenerFaulted")
          assert.strictEqual(yield* client.ended, "Reset")
          assert.strictEqual(yield* memory.open, 0)
        }))
    }
  })

  describe("what comes in", () => {
    it.effect("Reset: the bytes before it, then ECONNRESET; the client sees a reset", () =>
      Effect.gen(function*() {
        const { client, injected, memory, pull, writer } = yield* pair(Fault.Reset({ direction: "in", after: 3 }))
        yield* client.write("hello")
        assert.strictEqual(yield* pull, "hel")
        assert.deepStrictEqual(yield* injected, [])
        assert.strictEqual(reason(yield* Effect.flip(pull)), "ECONNRESET")
        assert.strictEqual(reason(yield* Effect.flip(writer.write("x"))), "EPIPE")
        assert.strictEqual(yield* client.ended, "Reset")
        assert.strictEqual(yield* memory.open, 0)
        assert.deepStrictEqual(yield* injected, ["Reset"])
      }))

    it.effect("Silence: nothing comes any more, not even the end, until reading is ended", () =>
      Effect.gen(function*() {
        const { client, connection, injected, pull } = yield* pair(Fault.Silence({ after: 3 }))
        yield* client.write("hello")
        assert.strictEqual(yield* pull, "hel")
        const pulling = yield* start(Effect.flip(pull))
        yield* client.write("more")
        yield* client.end
        yield* connection.settled
        assert.isUndefined(pulling.pollUnsafe())
        assert.isTrue(connection.endReading(draining))
        assert.strictEqual(yield* Fiber.join(pulling), draining)
        assert.deepStrictEqual(yield* injected, ["Silence"])
      }))

    it.effect("Silence: destroying the connection ends a pull", () =>
      Effect.gen(function*() {
        const { connection, memory, pull } = yield* pair(Fault.Silence({ after: 0 }))
        const pulling = yield* start(Effect.flip(pull))
        yield* connection.destroy
        assert.strictEqual(reason(yield* Fiber.join(pulling)), "closed 1006")
        assert.strictEqual(yield* memory.open, 0)
      }))

    it.effect("Silence: so does closing the reader, and a goodbye", () =>
      Effect.gen(function*() {
        const { client, connection, pull } = yield* pair(Fault.Silence({ after: 0 }))
        const scope = yield* Scope.make()
        const other = yield* Scope.provide(connection.socket.reader, scope)
        const closed = yield* start(Effect.flip(other.pull))
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(reason(yield* Fiber.join(closed)), "closed 1006")
        const pulling = yield* start(Effect.flip(pull))
        yield* connection.goodbye("none")
        assert.strictEqual(reason(yield* Fiber.join(pulling)), "closed 1006")
        assert.strictEqual(yield* client.ended, "Fin")
      }))

    it.effect("HalfOpen: the client's end comes early, and it still reads", () =>
      Effect.gen(function*() {
        const { client, injected, pull, writer } = yield* pair(Fault.HalfOpen({ after: 3 }))
        yield* client.write("hello")
        assert.strictEqual(yield* pull, "hel")
        assert.strictEqual(reason(yield* Effect.flip(pull)), "closed 1000")
        assert.strictEqual(reason(yield* Effect.flip(pull)), "closed 1000")
        yield* writer.write("answer")
        assert.strictEqual(yield* client.readText(), "answer")
        assert.deepStrictEqual(yield* injected, ["HalfOpen"])
      }))

    it.effect("SlowLoris: a byte at a time, and none is lost to an interruption", () =>
      Effect.gen(function*() {
        const { client, connection, injected, pull } = yield* pair(Fault.SlowLoris({ interval: 1000 }))
        yield* client.write("abc")
        const first = yield* start(pull)
        yield* TestClock.adjust(999)
        assert.isUndefined(first.pollUnsafe())
        assert.isFalse(connection.endReading(draining))
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* Fiber.join(first), "a")
        const second = yield* start(pull)
        yield* TestClock.adjust(500)
        yield* Fiber.interrupt(second)
        const rest = yield* start(Effect.all([pull, pull]))
        yield* TestClock.adjust(2000)
        assert.deepStrictEqual(yield* Fiber.join(rest), ["b", "c"])
        assert.isTrue(connection.endReading(draining))
        assert.deepStrictEqual(yield* injected, ["SlowLoris"])
      }))
  })

  describe("what goes out", () => {
    it.effect("Reset: the bytes before it reach the client, the write fails", () =>
      Effect.gen(function*() {
        const { client, injected, memory, pull, writer } = yield* pair(Fault.Reset({ direction: "out", after: 3 }))
        const reading = yield* start(client.readText(3))
        assert.strictEqual(reason(yield* Effect.flip(writer.write("hello"))), "EPIPE")
        assert.strictEqual(yield* Fiber.join(reading), "hel")
        assert.strictEqual(reason(yield* Effect.flip(pull)), "ECONNRESET")
        assert.strictEqual(yield* client.ended, "Reset")
        assert.strictEqual(yield* memory.open, 0)
        assert.deepStrictEqual(yield* injected, ["Reset"])
      }))

    it.effect("SlowFlush: a number of bytes a second, counted as pending until then", () =>
      Effect.gen(function*() {
        const { client, connection, writer } = yield* pair(Fault.SlowFlush({ bytesPerSecond: 20 }))
        const writing = yield* start(writer.writeAll(["0123456789", "0123456789"]))
        const goodbye = yield* start(connection.goodbye("none"))
        assert.strictEqual(connection.bytesPending(), 20)
        yield* TestClock.adjust(500)
        assert.strictEqual(yield* client.receivedText, "0123456789")
        assert.strictEqual(connection.bytesPending(), 10)
        assert.isUndefined(goodbye.pollUnsafe())
        yield* TestClock.adjust(500)
        assert.strictEqual(yield* client.readAllText, "01234567890123456789")
        assert.strictEqual(yield* client.ended, "Fin")
        yield* Fiber.join(goodbye)
        yield* Fiber.join(writing)
        assert.strictEqual(connection.fast?.bytesOut(), 20)
      }))

    it.effect("SlowFlush: releasing the writer ends the writing side after the last byte", () =>
      Effect.gen(function*() {
        const { client, endWriter, writer } = yield* pair(Fault.SlowFlush({ bytesPerSecond: 20 }))
        yield* start(writer.write("abc"))
        yield* endWriter
        assert.strictEqual(reason(yield* Effect.flip(writer.write("more"))), "EPIPE")
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* client.state, "Open")
        yield* TestClock.adjust(50)
        assert.strictEqual(yield* client.readAllText, "abc")
      }))

    it.effect("StuckFlush: the rest stays pending, and only destroying ends a goodbye", () =>
      Effect.gen(function*() {
        const { client, connection, injected, memory, writer } = yield* pair(Fault.StuckFlush({ after: 3 }))
        const writing = yield* start(Effect.flip(writer.write("hello")))
        const goodbye = yield* start(connection.goodbye("none"))
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(yield* client.receivedText, "hel")
        assert.strictEqual(connection.bytesPending(), 2)
        assert.isUndefined(goodbye.pollUnsafe())
        yield* connection.destroy
        yield* Fiber.join(goodbye)
        assert.strictEqual(reason(yield* Fiber.join(writing)), "EPIPE")
        assert.strictEqual(yield* client.ended, "Reset")
        assert.strictEqual(yield* memory.open, 0)
        assert.deepStrictEqual(yield* injected, ["StuckFlush"])
      }))

    it.effect("StuckFlush: a goodbye that is interrupted releases the connection", () =>
      Effect.gen(function*() {
        const { connection, memory, writer } = yield* pair(Fault.StuckFlush({ after: 0 }))
        yield* start(Effect.exit(writer.write("hello")))
        const goodbye = yield* start(connection.goodbye("none"))
        yield* Fiber.interrupt(goodbye)
        assert.strictEqual(yield* memory.open, 0)
      }))
  })

  it.effect("HandshakeClosed: the handshake fails, and the listener goes on", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.make()
      const transport = Faults.wrap(memory, Faults.plan({ 0: [Fault.HandshakeClosed()] }))
      const listener = yield* Listener.listen(transport, { drain: { idleGrace: 0 } })
      const accepting = yield* start(listener.accept)
      const first = yield* memory.connect
      assert.strictEqual(yield* first.ended, "Reset")
      yield* memory.connect
      yield* Fiber.join(accepting)
      assert.strictEqual(yield* memory.open, 1)
      yield* listener.abort
    }))

  describe("random", () => {
    it.effect("makes the same plan of the same seed, and another of another", () =>
      Effect.gen(function*() {
        const plans = yield* Effect.forEach([1, 1, 2], (seed) => Faults.random({ seed }))
        assert.deepStrictEqual(plans[0], plans[1])
        assert.notDeepEqual(plans[0]?.injections, plans[2]?.injections)
      }))

    it.effect("names its seed when none was given", () =>
      Effect.gen(function*() {
        const plan = yield* Faults.random({ connections: 20 })
        assert.deepStrictEqual(yield* Faults.random({ seed: plan.seed, connections: 20 }), plan)
      }))

    it.effect("has every kind, in about the share asked for, and prints each", () =>
      Effect.gen(function*() {
        const plan = yield* Faults.random({ seed: 1, connections: 1000, share: 0.5 })
        const kinds = new Set(plan.injections.map(({ fault }) => fault._tag))
        assert.sameMembers(Array.from(kinds), Array.from(Faults.kinds))
        assert.closeTo(plan.injections.length, 500, 60)
        const lines = Faults.format(plan).split("\n")
        assert.strictEqual(lines[0], `${plan.injections.length} faults (seed 1)`)
        assert.strictEqual(lines.length, plan.injections.length + 1)
      }))

    it.effect("a plan can be written down and repeated", () =>
      Effect.gen(function*() {
        const plan = yield* Faults.random({ seed: 3 })
        // JSON knows no types: what comes back is what was written
        const copy = JSON.parse(JSON.stringify(plan)) as Faults.Plan
        assert.strictEqual(Faults.format(copy), Faults.format(plan))
      }))
  })

  it.live(
    "a listener under random faults closes within its bounds, counts every connection and leaves nothing",
    () =>
      Effect.gen(function*() {
        for (const seed of [1, 2, 3, 4, 5]) {
          const memory = yield* MemoryTransport.make()
          const plan = yield* Faults.random({ seed, connections: 60, share: 0.6, bytes: 40 })
          const transport = Faults.wrap(memory, plan)
          const listener = yield* Listener.listen(transport, {
            drain: { deadline: 300, idleGrace: 0, abortGrace: 100, linger: { idle: 50 } }
          })
          yield* Effect.forkScoped(Listener.serve(listener, echo, { idle: "pull" }))
          yield* Effect.forEach(Array.from({ length: 60 }), () =>
            Effect.forkScoped(
              Effect.gen(function*() {
                const client = yield* memory.connect
                while (true) {
                  yield* client.write("0123456789")
                  yield* client.readText()
                  yield* Effect.sleep(1)
                }
              }).pipe(Effect.ignore)
            ))
          // exhausted accepts back off
          while ((yield* listener.connections).length + (yield* transport.injected).length < 60) yield* Effect.sleep(5)
          const report = yield* Effect.catch(listener.close(), (error) =>
            error._tag === "OperationTimedOut" && error.report !== undefined
              ? Effect.succeed(error.report)
              : Effect.die(error))
          const { total, ...reasons } = report.connections
          assert.strictEqual(
            Object.values(reasons).reduce((sum, count) =>
              sum + count, 0),
            total
          )
          assert.isBelow(report.duration, 300 + 100 + 2000)
          assert.strictEqual(yield* memory.open, 0, Faults.format(plan))
        }
      }).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
  )

  const subject = (plan: Faults.Plan) =>
    Effect.map(MemoryTransport.make({ resumeLate: true }), (memory) => ({
      transport: Faults.wrap(memory, plan),
      connect: memory.connect,
      held: memory.open
    }))
  const never = 2 ** 40

  TransportLaws.suite("a transport with an empty plan keeps the laws", subject(Faults.plan({})), { concurrent: true })
  TransportLaws.suite(
    "so does one whose faults do not come to pass",
    subject(Faults.plan(Object.fromEntries(
      Array.from({ length: 500 }, (_, connection) => [connection, [
        Fault.Reset({ direction: "in", after: never }),
        Fault.Reset({ direction: "out", after: never }),
        Fault.Silence({ after: never }),
        Fault.HalfOpen({ after: never }),
        Fault.StuckFlush({ after: never })
      ]])
    ))),
    { concurrent: true }
  )
})
