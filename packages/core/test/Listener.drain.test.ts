import { Connection, type DrainReport, Listener, ListenerError, Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, FiberSet, Latch, Option, References, Scope, Stream } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import { answering, echo, makeHolder } from "./support/handlers.ts"
import { listen, listening, quick, serving, start, tagOf, untilStage } from "./support/listening.ts"

const sum = (counts: DrainReport.ConnectionCounts) => {
  const { total, ...ends } = counts
  return Object.values(ends).reduce((a, b) => a + b, 0) === total
}

/** A transport whose pulls give one byte, and the rest of what was read to the next ones. */
const byteByByte = (transport: Transport.Transport): Transport.Transport =>
  Transport.mapConnections(transport, takenByBytes)

const takenByBytes = (connection: Transport.TransportConnection): Transport.TransportConnection => {
  let taken: Array<Uint8Array> = []
  const byte = () => [taken.shift()!] as const
  const reader = Effect.map(connection.socket.reader, (reader) => ({
    ...reader,
    pull: Effect.suspend(() =>
      taken.length > 0 ? Effect.sync(byte) : Effect.map(reader.pull, (chunks) => {
        taken = chunks.flatMap((chunk) => Array.from(Buffer.from(chunk), (code) => Uint8Array.of(code)))
        return byte()
      })
    )
  }))
  return Transport.wrapConnection(connection, {
    socket: Socket.make({ reader, writer: connection.socket.writer }),
    endReading: (error) => taken.length === 0 && connection.endReading(error)
  })
}

describe("draining", () => {
  it.effect("idle connections are ended before the first exchange in flight ends, and every one is counted once", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(
        answering((_, write) => Effect.andThen(Effect.sleep("2 seconds"), write("done"))),
        { idle: "pull" }
      )
      const idle = yield* Effect.forEach(Array.from({ length: 20 }), () => transport.connect)
      const busy = yield* Effect.forEach(Array.from({ length: 10 }), () => transport.connect)
      for (const client of busy) yield* client.write("go")
      const closing = yield* start(listener.close())
      for (const client of idle) assert.strictEqual(yield* client.ended, "Fin")
      for (const client of busy) assert.strictEqual(yield* client.state, "Open")
      yield* TestClock.adjust("2 seconds")
      const report = yield* Fiber.join(closing)
      for (const client of busy) assert.strictEqual(yield* client.readAllText, "done")
      assert.deepStrictEqual([report.connections.idle, report.connections.drained], [20, 10])
      assert.isTrue(sum(report.connections))
      assert.strictEqual(yield* transport.open, 0)
    }))

  it.effect("three messages in one chunk, an exchange each, close during the first: three answers", () =>
    Effect.gen(function*() {
      const entered = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      const { listener, transport } = yield* serving(Effect.fnUntraced(function*(connection) {
        const pull = yield* Socket.readerString(connection.socket)
        const writer = yield* connection.socket.writer
        while (true) {
          for (const line of (yield* pull).join("").trim().split("\n")) {
            yield* connection.exchange(
              line,
              Effect.gen(function*() {
                yield* Deferred.succeed(entered, undefined)
                yield* Deferred.await(release)
                yield* writer.write(`<${line}>`)
              })
            )
          }
        }
      }))
      const client = yield* transport.connect
      yield* client.write("a\nb\nc\n")
      yield* Deferred.await(entered)
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* Deferred.succeed(release, undefined)
      yield* TestClock.adjust("10 millis")
      yield* Fiber.join(closing)
      assert.strictEqual(yield* client.readAllText, "<a><b><c>")
    }))

  it.effect("half a message whose exchange is open is waited for", () =>
    Effect.gen(function*() {
      const half = yield* Deferred.make<void>()
      const { listener, transport } = yield* serving(Effect.fnUntraced(function*(connection) {
        const pull = yield* Socket.readerString(connection.socket)
        const writer = yield* connection.socket.writer
        let message = (yield* pull).join("")
        const end = connection.beginExchange("message")
        yield* Deferred.succeed(half, undefined)
        while (!message.endsWith("\n")) message += (yield* pull).join("")
        yield* writer.write(`got ${message}`)
        end()
        end()
        yield* pull
      }))
      const client = yield* transport.connect
      yield* client.write("first half, ")
      yield* Deferred.await(half)
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* client.state, "Open")
      yield* client.write("second half\n")
      yield* TestClock.adjust("10 millis")
      assert.strictEqual((yield* Fiber.join(closing)).connections.drained, 1)
      assert.strictEqual(yield* client.readAllText, "got first half, second half\n")
    }))

  it.effect("a request that had arrived but was not read yet is served, without any grace", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo, { memory: { readLate: true }, idle: "pull" })
      const clients = yield* Effect.forEach(Array.from({ length: 100 }), () => transport.connect)
      for (const client of clients) yield* client.write("hi")
      const report = yield* listener.close()
      for (const client of clients) assert.strictEqual(yield* client.readAllText, "got hi")
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(report.connections.total, 100)
    }))

  describe("idle grace", () => {
    const serveActiveAtZero = Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo, {
        drain: { ...quick, idleGrace: "250 millis" },
        idle: "pull"
      })
      const client = yield* transport.connect
      yield* client.write("a")
      assert.strictEqual(yield* client.readText(5), "got a")
      return { transport, listener, client }
    })

    it.effect("is counted from the last activity, exactly", () =>
      Effect.gen(function*() {
        const { client, listener } = yield* serveActiveAtZero
        yield* TestClock.adjust("100 millis")
        const closing = yield* start(listener.close())
        yield* TestClock.adjust("149 millis")
        assert.strictEqual(yield* client.state, "Open")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* client.state, "Fin")
        assert.strictEqual((yield* Fiber.join(closing)).duration, 150)
      }))

    it.effect("is not given to one that was idle longer", () =>
      Effect.gen(function*() {
        const { client, listener } = yield* serveActiveAtZero
        yield* TestClock.adjust("1 second")
        const report = yield* listener.close()
        assert.strictEqual(yield* client.state, "Fin")
        assert.strictEqual(report.duration, 0)
      }))

    it.effect("is over with the first answer: a client that waits for its answers has nothing on its way then", () =>
      Effect.gen(function*() {
        const { client, listener } = yield* serveActiveAtZero
        const closing = yield* start(listener.close())
        yield* TestClock.adjust("100 millis")
        yield* client.write("b")
        assert.strictEqual(yield* client.readAllText, "got b")
        yield* client.end
        const report = yield* Fiber.join(closing)
        assert.deepStrictEqual([report.duration, report.outcome], [100, "Drained"])
        assert.deepInclude(report.connections, { total: 1, idle: 1 })
      }))

    it.effect("begins after what was at work when the drain began: that answer came a turn too early to be the last", () =>
      Effect.gen(function*() {
        const holder = yield* makeHolder
        const { listener, transport } = yield* serving(holder.handler, {
          drain: { ...quick, idleGrace: "250 millis" },
          idle: "pull"
        })
        const client = yield* transport.connect
        yield* client.write("it")
        yield* holder.entered
        const closing = yield* start(listener.close())
        yield* TestClock.adjust("100 millis")
        yield* holder.release
        assert.strictEqual(yield* client.readText(11), "released it")
        yield* TestClock.adjust("100 millis")
        yield* client.write("again")
        assert.strictEqual(yield* client.readAllText, "released again")
        const report = yield* Fiber.join(closing)
        assert.strictEqual(report.duration, 200)
        assert.deepInclude(report.connections, { total: 1, drained: 1 })
      }))

    it.effect("lasts for a client that has only been heard, or told something unasked", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* serving((connection) =>
          Effect.gen(function*() {
            const { pull } = yield* connection.socket.reader
            const { write } = yield* connection.socket.writer
            yield* Effect.forkChild(Effect.andThen(connection.draining, write("news")))
            return yield* Effect.forever(pull)
          }), { drain: { ...quick, idleGrace: "250 millis" }, idle: "pull" })
        const client = yield* transport.connect
        yield* client.write("a")
        const closing = yield* start(listener.close())
        assert.strictEqual(yield* client.readText(4), "news")
        yield* TestClock.adjust("100 millis")
        yield* client.write("half")
        yield* TestClock.adjust("149 millis")
        assert.strictEqual(yield* client.state, "Open")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* client.state, "Fin")
        assert.strictEqual((yield* Fiber.join(closing)).duration, 250)
      }))

    it.effect("is over when all that came together is answered, once what had come with the drain is", () =>
      Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const listener = yield* listen(byteByByte(transport), { drain: { ...quick, idleGrace: "250 millis" } })
        yield* start(Listener.serve(listener, answering((text, write) => write(text)), { idle: "pull" }))
        const client = yield* transport.connect
        yield* client.write("0")
        assert.strictEqual(yield* client.readText(1), "0")
        const closing = yield* start(listener.close())
        yield* untilStage(listener, "Draining")
        // answered within the turn, and the next may be on its way when that is over
        yield* client.write("1234")
        assert.strictEqual(yield* client.readText(4), "1234")
        for (let i = 0; i < 100; i++) yield* Effect.yieldNow
        assert.strictEqual(yield* client.state, "Open")
        yield* client.write("56789")
        assert.strictEqual(yield* client.readAllText, "56789")
        yield* client.end
        assert.strictEqual((yield* Fiber.join(closing)).duration, 0)
      }))

    it.effect("is given once to clients that are never answered, however often they ask", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* serving(
          (connection) => Effect.flatMap(connection.socket.reader, ({ pull }) => Effect.forever(pull)),
          { drain: { ...quick, idleGrace: "250 millis" }, idle: "pull" }
        )
        const client = yield* transport.connect
        yield* client.write("a")
        const closing = yield* start(listener.close())
        const asking = yield* start(
          Effect.flip(Effect.forever(Effect.andThen(client.write("more"), Effect.sleep("10 millis"))))
        )
        yield* TestClock.adjust("251 millis")
        const report = yield* Fiber.join(closing)
        assert.isAtMost(report.duration, 251)
        assert.strictEqual(report.connections.total, 1)
        yield* TestClock.adjust("10 millis")
        yield* Fiber.join(asking)
      }))
  })

  it.effect.each([
    { answers: "and pulls at once", tail: Effect.void },
    // by then the next request is there
    { answers: "and pulls a while later", tail: Effect.repeat(Effect.yieldNow, { times: 10 }) }
  ])(
    "a client that asks again whenever it is answered does not hold the drain: the handler answers $answers",
    ({ tail }) =>
      Effect.gen(function*() {
        const { listener, transport } = yield* serving(
          Effect.fnUntraced(function*(connection) {
            const pull = yield* Socket.readerString(connection.socket)
            const writer = yield* connection.socket.writer
            while (true) {
              const text = (yield* pull).join("")
              yield* connection.exchange(text, writer.write(`got ${text}`))
              yield* tail
            }
          }),
          { idle: "pull" }
        )
        const client = yield* transport.connect
        let answered = 0
        const asking = yield* start(
          Effect.ignore(Effect.forever(Effect.gen(function*() {
            yield* client.write("more")
            yield* client.readText(8)
            answered++
          }))).pipe(Effect.ensuring(client.end))
        )
        while (answered < 10) yield* Effect.yieldNow
        const closing = yield* start(listener.close())
        for (let i = 0; i < 100; i++) yield* Effect.yieldNow
        assert.strictEqual(yield* listener.state, "Closed")
        assert.strictEqual((yield* Fiber.join(closing)).outcome, "Drained")
        yield* Fiber.interrupt(asking)
      })
  )

  it.effect("what had arrived is served also when the transport hands it over bit by bit", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make({ readLate: true })
      const listener = yield* listen(byteByByte(transport), { drain: quick })
      yield* start(Listener.serve(
        listener,
        // between two bytes nothing is in flight
        answering((text, write) => Effect.andThen(Effect.sleep("1 millis"), write(text))),
        { idle: "pull" }
      ))
      const client = yield* transport.connect
      yield* client.write("0123456789")
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(yield* client.readAllText, "0123456789")
      assert.strictEqual((yield* Fiber.join(closing)).outcome, "Drained")
    }))

  describe("idle mode", () => {
    const closeAfter = (
      options: Listener.ServeOptions,
      handler: (connection: Connection.Connection) => Effect.Effect<unknown, unknown, Scope.Scope>
    ) =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening()
        yield* start(Effect.ignore(Listener.serve(listener, handler, options)))
        const client = yield* transport.connect
        yield* client.write("x")
        const closing = yield* start(Effect.result(listener.close()))
        yield* TestClock.adjust("11 seconds")
        return (yield* Fiber.join(closing))._tag === "Success" ? "Drained" : "Deadline"
      })
    const onlyPulls = Effect.fnUntraced(function*(connection: Connection.Connection) {
      const { pull } = yield* connection.socket.reader
      while (true) yield* pull
    })

    it.effect("handler: never idle, it costs the deadline", () =>
      Effect.map(closeAfter({}, onlyPulls), (end) => assert.strictEqual(end, "Deadline")))
    it.effect("handler: by pull once an exchange was opened", () =>
      Effect.map(closeAfter({}, echo), (end) => assert.strictEqual(end, "Drained")))
    it.effect("pull: idle while waiting in pull", () =>
      Effect.map(closeAfter({ idle: "pull" }, onlyPulls), (end) => assert.strictEqual(end, "Drained")))
    it.effect("pull: not idle while computing", () =>
      Effect.map(
        closeAfter({ idle: "pull" }, () => Effect.sleep("1 hour")),
        (end) => assert.strictEqual(end, "Deadline")
      ))
    it.effect("exchange: idle while no exchange is open, whatever the handler waits for", () =>
      Effect.map(
        closeAfter({ idle: "exchange" }, (connection) =>
          Effect.gen(function*() {
            const { pull } = yield* connection.socket.reader
            yield* pull
            yield* Effect.raceFirst(Effect.never, pull)
          })),
        (end) => assert.strictEqual(end, "Drained")
      ))
  })

  it.effect("a pull that the drain ends fails with 1001 draining, and the handler may still write its last word", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(
        Effect.fnUntraced(function*(connection) {
          const { pull } = yield* connection.socket.reader
          const writer = yield* connection.socket.writer
          const error = yield* Effect.flip(Effect.forever(pull))
          assert(error.reason._tag === "SocketCloseError")
          yield* writer.write(`bye ${error.reason.code} ${error.reason.closeReason}`)
        }),
        { idle: "pull" }
      )
      const client = yield* transport.connect
      const report = yield* listener.close()
      assert.strictEqual(yield* client.readAllText, "bye 1001 draining")
      assert.strictEqual(report.connections.idle, 1)
    }))

  it.effect("draining tells every handler, early and late", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving((connection) =>
        Effect.gen(function*() {
          const writer = yield* connection.socket.writer
          yield* connection.draining
          yield* connection.draining
          yield* writer.write("told")
        })
      )
      const client = yield* transport.connect
      const report = yield* listener.close()
      assert.strictEqual(yield* client.readAllText, "told")
      assert.strictEqual(report.connections.drained, 1)
    }))

  it.effect("a client that does not read is cut at the deadline and named with its pending bytes; others end well", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(answering((_, write) => write(new Uint8Array(5000))), {
        memory: { bufferSize: 1000 }
      })
      const stuck = yield* transport.connect
      const reader = yield* transport.connect
      yield* stuck.write("big")
      yield* reader.write("big")
      const closing = yield* start(Effect.flip(listener.close()))
      yield* untilStage(listener, "Draining")
      const reading = yield* start(reader.readAll)
      yield* TestClock.adjust("10 seconds")
      const error = yield* Fiber.join(closing)
      assert.instanceOf(error, ListenerError.OperationTimedOut)
      assert.strictEqual((yield* Fiber.join(reading)).length, 5000)
      const report = error.report!
      assert.deepStrictEqual([report.connections.cut, report.connections.drained], [1, 1])
      assert.strictEqual(report.cut[0]?.id, 1)
      assert.strictEqual(report.cut[0]?.bytesPending, 4000)
      assert.strictEqual(yield* stuck.ended, "Reset")
    }))

  it.effect("a peer that resets during the drain is counted endedByPeer and does not hold it", () =>
    Effect.gen(function*() {
      const holder = yield* makeHolder
      const { listener, transport } = yield* serving(holder.handler)
      const client = yield* transport.connect
      yield* client.write("x")
      yield* holder.entered
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* client.reset
      yield* holder.release
      yield* TestClock.adjust("10 millis")
      assert.strictEqual((yield* Fiber.join(closing)).connections.endedByPeer, 1)
    }))

  it.effect("progress falls, its last element equals the report, and it ends at Closed", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening()
      yield* start(
        Listener.serve(listener, (connection) => connection.exchange("work", Effect.sleep(connection.id * 1000)))
      )
      for (let i = 0; i < 5; i++) yield* transport.connect
      const watching = yield* start(Stream.runCollect(listener.progress))
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("6 seconds")
      const report = yield* Fiber.join(closing)
      const seen = yield* Fiber.join(watching)
      const draining = seen.filter((progress) => progress.stage === "Draining").map((progress) => progress.remaining)
      assert.deepStrictEqual(draining, [5, 4, 3, 2, 1])
      const last = seen.at(-1)
      assert.strictEqual(last?.stage, "Closed")
      assert.strictEqual(last?.remaining, 0)
      assert.strictEqual(last?.connections, report.connections.total)
      const oldest = seen.find((progress) => progress.stage === "Draining")?.oldest
      assert.strictEqual(oldest && Option.getOrUndefined(oldest)?.id, 1)
    }))

  it.effect("dryRun says what a close now would wait for, and stops nothing", () =>
    Effect.gen(function*() {
      const holder = yield* makeHolder
      const { listener, served, transport } = yield* serving(holder.handler, { idle: "pull" })
      const client = yield* transport.connect
      yield* transport.connect
      yield* client.write("x")
      yield* holder.entered
      yield* Fiber.interrupt(served)
      yield* transport.connect
      const dry = yield* listener.dryRun
      assert.deepStrictEqual([dry.active, dry.idle, dry.queued], [1, 1, 1])
      assert.deepStrictEqual(dry.waitingFor.map((info) => info.exchanges[0]?.label), ["hold x"])
      assert.strictEqual(yield* listener.state, "Open")
      const phases = (yield* listener.connections).map((info) => info.phase)
      assert.deepStrictEqual(phases, ["Active", "Idle", "Queued"])
    }))

  it.effect("a phase has an age of its own", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo, {
        drain: { ...quick, linger: { idle: "5 seconds" } },
        idle: "pull"
      })
      const client = yield* transport.connect
      yield* TestClock.adjust("10 seconds")
      yield* client.write("hi")
      assert.strictEqual(yield* client.readText(6), "got hi")
      const seen = Effect.map(listener.connections, ([info]) => [info?.phase, info?.phaseAge, info?.age] as const)
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* seen, ["Idle", 3000, 13_000])
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("1 second")
      const [phase, phaseAge, age] = yield* seen
      assert.deepStrictEqual([phase, age], ["Lingering", 14_000])
      // its goodbye is said in the turns that follow the close
      assert.isAtMost(phaseAge ?? Infinity, 1000)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(closing)).connections.idle, 1)
    }))

  it.effect("what is idle when the deadline comes is told goodbye, and what is not is cut", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening({ drain: { ...quick, deadline: "1 second" } })
      const holder = yield* makeHolder
      // both are due in the same instant, as after a standstill of the process
      const answer = answering((text, write) => Effect.andThen(Effect.sleep("1 second"), write(`got ${text}`)))
      yield* start(
        Listener.serve(
          listener,
          (connection) => connection.id === 1 ? holder.handler(connection) : answer(connection),
          { idle: "pull" }
        )
      )
      const stuck = yield* transport.connect
      yield* stuck.write("x")
      yield* holder.entered
      const late = yield* transport.connect
      yield* late.write("hi")
      yield* Effect.yieldNow
      const closing = yield* start(Effect.flip(listener.close()))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* late.readAllText, "got hi")
      assert.deepStrictEqual([yield* late.ended, yield* stuck.ended], ["Fin", "Reset"])
      const error = yield* Fiber.join(closing)
      assert.deepStrictEqual("report" in error ? error.report?.cut.map(({ id }) => id) : undefined, [1])
    }))

  it.effect("a sweep that does not end takes a tenth of the deadline, and the report says so", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.make()
      const bind = Effect.map(memory.bind, ({ accept, address }) => ({ accept, address, stop: Effect.never }))
      const listener = yield* listen({ name: "endless", bind }, { drain: { deadline: 1000 } })
      const closing = yield* start(listener.close())
      yield* TestClock.adjust(99)
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* Fiber.join(closing), { outcome: "Drained", sweepCut: true, duration: 100 })
    }))

  const sweepsUntil = (outAt: number) =>
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.make()
      let stillQueued = true
      const bind = Effect.map(memory.bind, ({ accept, address }) => ({
        accept,
        address,
        stop: Effect.never,
        stillQueued: () => stillQueued
      }))
      const listener = yield* listen({ name: "endless", bind }, { drain: { deadline: 1000 } })
      const closing = yield* start(listener.close())
      yield* TestClock.adjust(outAt)
      stillQueued = false
      yield* TestClock.adjust("2 seconds")
      return yield* Fiber.join(closing)
    })

  it.effect("a sweep takes longer while clients are known to be queued, and a tenth of the deadline after them", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* sweepsUntil(250), { outcome: "Drained", sweepCut: true, duration: 400 })
    }))

  it.effect("a sweep of clients that are known to be queued leaves a tenth of the deadline to the drain", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* sweepsUntil(5000), { outcome: "Drained", sweepCut: true, duration: 900 })
    }))

  describe("lame duck", () => {
    it.effect("not ready, still accepting, all told, none ended; then the drain", () =>
      Effect.gen(function*() {
        const told: Array<number> = []
        const { listener, transport } = yield* serving((connection) =>
          Effect.andThen(
            Effect.forkChild(Effect.andThen(connection.draining, Effect.sync(() => told.push(connection.id)))),
            echo(connection)
          ), { drain: { ...quick, lameDuck: "1 second" }, idle: "pull" })
        const early = yield* transport.connect
        assert.isTrue(yield* listener.readiness)
        const closing = yield* start(listener.close())
        yield* TestClock.adjust("500 millis")
        assert.isFalse(yield* listener.readiness)
        assert.strictEqual(yield* listener.state, "Open")
        const running = Option.getOrThrow(yield* Stream.runHead(listener.progress))
        assert.strictEqual(running.timeLeft, 500 + 10_000)
        const late = yield* transport.connect
        yield* late.write("hi")
        assert.strictEqual(yield* late.readText(6), "got hi")
        yield* Effect.yieldNow
        assert.deepStrictEqual(told, [1, 2])
        assert.strictEqual(yield* early.state, "Open")
        yield* TestClock.adjust("499 millis")
        assert.strictEqual(yield* listener.state, "Open")
        yield* TestClock.adjust("1 millis")
        const report = yield* Fiber.join(closing)
        assert.strictEqual(report.duration, 1000)
        assert.strictEqual(report.connections.total, 2)
        assert.strictEqual(yield* tagOf(transport.connect), "ConnectionRefused")
      }))

    it.effect("ends early when no new connection came for quiet, not before min, at most at max", () =>
      Effect.gen(function*() {
        const lasts = (connectEvery: number) =>
          Effect.gen(function*() {
            const transport = yield* MemoryTransport.make()
            const listener = yield* listen(transport, {
              drain: { ...quick, lameDuck: { min: "2 seconds", quiet: "1 second", max: "10 seconds" } }
            })
            yield* start(Listener.serve(listener, echo, { idle: "pull" }))
            const closing = yield* start(listener.close())
            const clients = yield* start(
              Effect.ignore(Effect.forever(Effect.delay(transport.connect, connectEvery)))
            )
            yield* TestClock.adjust("20 seconds")
            yield* Fiber.interrupt(clients)
            return (yield* Fiber.join(closing)).duration
          })
        assert.strictEqual(yield* lasts(60_000), 2000)
        assert.strictEqual(yield* lasts(1600), 2600)
        assert.strictEqual(yield* lasts(500), 10_000)
      }))

    it.effect("another close ends it; both get one report and the smaller deadline wins", () =>
      Effect.gen(function*() {
        const holder = yield* makeHolder
        const { listener, transport } = yield* serving(holder.handler, { drain: { ...quick, lameDuck: "1 hour" } })
        const client = yield* transport.connect
        yield* client.write("x")
        yield* holder.entered
        const first = yield* start(Effect.flip(listener.close()))
        const second = yield* start(Effect.flip(listener.close({ deadline: "1 second" })))
        yield* TestClock.adjust("1 second")
        const error = yield* Fiber.join(first)
        assert.instanceOf(error, ListenerError.OperationTimedOut)
        assert.strictEqual(error.deadline, 1000)
        assert.deepStrictEqual(yield* Fiber.join(second), error)
      }))

    it.effect("an abort ends it: Faulted, and the waiting close fails OperationAborted and ends Closed", () =>
      Effect.gen(function*() {
        const holder = yield* makeHolder
        const { listener, transport } = yield* listening({ drain: { ...quick, lameDuck: "1 hour" } })
        yield* start(Effect.ignore(Listener.serve(listener, holder.handler)))
        const client = yield* transport.connect
        yield* client.write("x")
        yield* holder.entered
        const states = yield* start(
          listener.changes.pipe(Stream.takeUntil((state) => state === "Closed"), Stream.runCollect)
        )
        const closing = yield* start(tagOf(listener.close()))
        yield* listener.abort
        assert.strictEqual(yield* Fiber.join(closing), "OperationAborted")
        assert.deepStrictEqual(yield* Fiber.join(states), ["Open", "Faulted", "Closing", "Closed"])
        assert.strictEqual((yield* listener.closed).connections.cut, 1)
      }))
  })

  describe("an accepted connection", () => {
    it.effect("is told draining and awaited until its scope ends", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening()
        const client = yield* transport.connect
        const told = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        const user = yield* start(Effect.scoped(Effect.gen(function*() {
          const connection = yield* listener.accept
          yield* connection.draining
          yield* Deferred.succeed(told, undefined)
          yield* Deferred.await(go)
          yield* Effect.flatMap(connection.socket.writer, (writer) => writer.write("done"))
        })))
        const closing = yield* start(listener.close())
        yield* Deferred.await(told)
        assert.strictEqual(yield* listener.state, "Closing")
        yield* Deferred.succeed(go, undefined)
        yield* TestClock.adjust("10 millis")
        yield* Fiber.join(user)
        assert.strictEqual((yield* Fiber.join(closing)).connections.drained, 1)
        assert.strictEqual(yield* client.readAllText, "done")
      }))

    it.effect("is destroyed at the deadline, its fiber left alone", () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening()
        const client = yield* transport.connect
        const user = yield* start(Effect.scoped(Effect.andThen(listener.accept, Effect.sleep("1 minute"))))
        const closing = yield* start(Effect.flip(listener.close()))
        yield* TestClock.adjust("10 seconds")
        const error = yield* Fiber.join(closing)
        assert.instanceOf(error, ListenerError.OperationTimedOut)
        assert.strictEqual(error.report?.connections.cut, 1)
        assert.deepStrictEqual(error.report?.handlersLeftBehind, [])
        assert.strictEqual(yield* client.ended, "Reset")
        assert.isUndefined(user.pollUnsafe())
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(user)
      }))

    it.effect("interrupted before, during and after the hand-over: the next accept has it", () =>
      Effect.gen(function*() {
        const seen = { before: 0, givenBack: 0, after: 0 }
        // a fiber that yields after every few operations can be interrupted between being given a connection and owning it
        for (const operations of [3, 4, 5, 6]) {
          for (let turns = 0; turns < 16; turns++) {
            const { listener, transport } = yield* listening({ memory: { resumeLate: true } })
            const accepting = yield* start(
              Effect.scoped(Effect.andThen(listener.accept, Effect.never)).pipe(
                Effect.provideService(References.MaxOpsBeforeYield, operations)
              )
            )
            const client = yield* transport.connect
            for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
            const given = (yield* listener.dryRun).waitingFor.length > 0
            yield* Fiber.interrupt(accepting)
            yield* Effect.yieldNow
            // owned, it ended with its owner's scope; else it waits for the next accept
            const ended = (yield* client.state) === "Fin"
            seen[ended ? "after" : given ? "givenBack" : "before"]++
            const { queued } = yield* listener.dryRun
            assert.strictEqual(queued + (yield* transport.queued), ended ? 0 : 1)
            if (!ended) yield* Effect.scoped(listener.accept)
            assert.strictEqual(yield* transport.open, 0)
          }
        }
        assert.isTrue(seen.before > 0 && seen.givenBack > 0 && seen.after > 0, JSON.stringify(seen))
      }))
  })

  describe("detach", () => {
    it.effect("the connection works on after the listener is closed, and the caller's scope ends it", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const detached = yield* Deferred.make<void>()
        const { listener, transport } = yield* serving(Effect.fnUntraced(function*(connection) {
          yield* connection.detach(scope)
          yield* Deferred.succeed(detached, undefined)
          return yield* echo(connection)
        }))
        const client = yield* transport.connect
        yield* Deferred.await(detached)
        const report = yield* listener.close()
        assert.strictEqual(report.connections.total, 0)
        yield* client.write("on")
        assert.strictEqual(yield* client.readText(6), "got on")
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* client.ended, "Fin")
      }))

    it.effect("during a drain it is counted detached and no longer waited for", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const { listener, transport } = yield* serving((connection) =>
          Effect.andThen(connection.draining, Effect.andThen(connection.detach(scope), Effect.never))
        )
        yield* transport.connect
        const report = yield* listener.close()
        assert.deepStrictEqual([report.connections.total, report.connections.detached], [1, 1])
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* transport.open, 0)
      }))
  })

  it.effect("CurrentConnection is the handler's own, and none outside", () =>
    Effect.gen(function*() {
      const seen = yield* Deferred.make<boolean>()
      const { transport } = yield* serving((connection) =>
        Effect.flatMap(Connection.CurrentConnection, (current) =>
          Deferred.succeed(seen, Option.contains(current, connection)))
      )
      yield* transport.connect
      assert.isTrue(yield* Deferred.await(seen))
      assert.isTrue(Option.isNone(yield* Connection.CurrentConnection))
    }))
})

describe("a close that a handler asks for", () => {
  const closing = (close: (listener: Listener.Listener) => Effect.Effect<unknown, unknown>) =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening()
      const answered: Array<string> = []
      yield* start(Listener.serve(listener, (connection) =>
        connection.exchange(
          "close",
          Effect.gen(function*() {
            yield* Effect.ignore(close(listener))
            answered.push("closer")
          })
        )))
      yield* transport.connect
      // beyond the deadline
      yield* TestClock.adjust("11 seconds")
      return { answered, report: yield* listener.closed }
    })

  type Close = Effect.Effect<unknown, unknown>

  const waitsFor: Record<string, (close: Close) => Effect.Effect<unknown, unknown, Scope.Scope>> = {
    "under a time-out": (close) => Effect.timeout(close, "7 seconds"),
    "in a race": (close) => Effect.raceFirst(Effect.never, close),
    "in a race that waits for a success": (close) => Effect.race(close, Effect.never),
    "beside something else": (close) => Effect.all([Effect.yieldNow, close], { concurrency: "unbounded" }),
    "under a time-out in a race": (close) => Effect.raceFirst(Effect.timeout(close, "7 seconds"), Effect.never),
    "in a child that has begun and is joined": (close) =>
      Effect.flatMap(Effect.forkChild(close, { startImmediately: true }), Fiber.join),
    "in a child that is joined later": (close) =>
      Effect.flatMap(Effect.forkChild(close), (child) => Effect.andThen(Effect.sleep("10 millis"), Fiber.join(child))),
    "in a detached fiber that is awaited": (close) =>
      Effect.flatMap(Effect.forkDetach(close, { startImmediately: true }), Fiber.await),
    "by a promise": (close) => Effect.promise(() => Effect.runPromise(close))
  }
  for (const [how, wait] of Object.entries(waitsFor)) {
    it.effect(`${how} does not wait for that handler`, () =>
      Effect.gen(function*() {
        const { answered, report } = yield* closing((listener) => Effect.scoped(wait(listener.close())))
        assert.deepInclude(report.connections, { total: 1, closer: 1, cut: 0 })
        assert.deepStrictEqual(answered, ["closer"])
        assert.isBelow(report.duration, 1000)
      }))

    it.effect(`${how} does not wait for the fiber that has accepted a connection and waits for it`, () =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening()
        const accepting = yield* start(Effect.scoped(Effect.andThen(listener.accept, wait(listener.close()))))
        const client = yield* transport.connect
        yield* TestClock.adjust("8 seconds")
        yield* Fiber.join(accepting)
        const report = yield* listener.closed
        assert.deepInclude(report.connections, { total: 1, closer: 1, cut: 0 })
        assert.isBelow(report.duration, 1000)
        assert.strictEqual(yield* client.ended, "Fin")
      }))
  }

  it.effect("whose time-out is over waits for what that handler does from then on", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening()
      const answered: Array<string> = []
      const takes = (text: string, millis: number) =>
        Effect.andThen(Effect.sleep(millis), Effect.sync(() => answered.push(text)))
      yield* start(Listener.serve(listener, (connection) =>
        connection.exchange(
          "work",
          connection.id === 1
            ? takes("other", 3000)
            : Effect.andThen(Effect.ignore(Effect.timeout(listener.close(), "1 second")), takes("closer", 6000))
        )))
      yield* transport.connect
      yield* transport.connect
      yield* TestClock.adjust("2 seconds")
      const [, closer] = yield* listener.connections
      assert.strictEqual(closer?.id, 2)
      yield* TestClock.adjust("6 seconds")
      const report = yield* listener.closed
      assert.deepStrictEqual(answered, ["other", "closer"])
      assert.deepInclude(report.connections, { total: 2, drained: 2, closer: 0, cut: 0 })
      assert.isAtLeast(report.duration, 7000)
    }))

  const goesOn: Record<string, (close: Close) => Effect.Effect<unknown, unknown, Scope.Scope>> = {
    "detached": (close) => Effect.forkDetach(close),
    "detached, and it has begun": (close) => Effect.forkDetach(close, { startImmediately: true }),
    "as its child": (close) => Effect.forkChild(close),
    "as its child, and it has begun": (close) => Effect.forkChild(close, { startImmediately: true }),
    "in its scope, and it has begun": (close) => Effect.forkScoped(close, { startImmediately: true }),
    "in a set of fibers": (close) => Effect.flatMap(FiberSet.make(), (set) => FiberSet.run(set, close))
  }
  for (const [how, fork] of Object.entries(goesOn)) {
    it.effect(`that is forked ${how}, waits for what the handler does meanwhile`, () =>
      Effect.gen(function*() {
        const { answered, report } = yield* closing((listener) =>
          Effect.scoped(Effect.andThen(fork(listener.close()), Effect.sleep("5 seconds")))
        )
        assert.deepInclude(report.connections, { total: 1, drained: 1, closer: 0, cut: 0 })
        assert.deepStrictEqual(answered, ["closer"])
        assert.isAtLeast(report.duration, 5000)
      }))
  }

  it.effect("that is forked, and waited for by `closed`, does not wait for that handler", () =>
    Effect.gen(function*() {
      const { answered, report } = yield* closing((listener) =>
        Effect.andThen(Effect.forkChild(listener.close()), listener.closed)
      )
      assert.deepInclude(report.connections, { total: 1, closer: 1, cut: 0 })
      assert.deepStrictEqual(answered, ["closer"])
    }))

  // nothing public leads from what is waited for to the fiber that waits
  const unseen: Record<string, (close: Close) => Effect.Effect<unknown, unknown, Scope.Scope>> = {
    "joined before it has begun": (close) => Effect.flatMap(Effect.forkChild(close), Fiber.join),
    "awaited before it has begun": (close) => Effect.flatMap(Effect.forkScoped(close), Fiber.await),
    "that completes a Deferred": (close) =>
      Effect.flatMap(Deferred.make<void>(), (done) =>
        Effect.andThen(
          Effect.forkDetach(Effect.ensuring(close, Deferred.succeed(done, undefined)), { startImmediately: true }),
          Deferred.await(done)
        )),
    "that opens a Latch": (close) =>
      Effect.flatMap(Latch.make(), (latch) =>
        Effect.andThen(
          Effect.forkChild(Effect.ensuring(close, latch.open), { startImmediately: true }),
          latch.await
        ))
  }
  for (const [how, wait] of Object.entries(unseen)) {
    it.effect(`in a fiber ${how}, cannot be seen to be waited for: the deadline ends the handler, and names it`, () =>
      Effect.gen(function*() {
        const { answered, report } = yield* closing((listener) => Effect.scoped(wait(listener.close())))
        assert.strictEqual(report.outcome, "DeadlineExceeded")
        assert.deepStrictEqual(report.cut.map(({ exchanges }) => exchanges.map(({ label }) => label)), [["close"]])
        assert.deepStrictEqual(answered, [])
        assert.isAtMost(report.duration, 10_100)
      }))
  }

  it.effect("in a fiber that has nothing to do with a connection waits for what was accepted", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening()
      const accepting = yield* start(Effect.scoped(Effect.andThen(listener.accept, Effect.sleep("5 seconds"))))
      yield* transport.connect
      // beneath the scope of everything
      const closing = yield* start(Effect.scoped(Effect.timeout(listener.close(), "7 seconds")))
      yield* TestClock.adjust("8 seconds")
      yield* Fiber.join(accepting)
      const report = yield* Fiber.join(closing)
      assert.deepInclude(report.connections, { total: 1, closer: 0, cut: 0 })
      assert.isAtLeast(report.duration, 5000)
    }))

  it.effect("in the fiber that has accepted several does not cut what others do on them", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening()
      const answered: Array<number> = []
      const accepting = yield* start(Effect.gen(function*() {
        for (let i = 0; i < 3; i++) {
          const scope = yield* Scope.make()
          const connection = yield* Scope.provide(listener.accept, scope)
          const answer = connection.exchange(
            "answer",
            Effect.andThen(Effect.sleep("3 seconds"), Effect.sync(() => answered.push(connection.id)))
          )
          yield* Effect.forkDetach(Effect.flatMap(Effect.exit(answer), (exit) => Scope.close(scope, exit)), {
            startImmediately: true
          })
        }
        return yield* listener.close()
      }))
      for (let i = 0; i < 3; i++) yield* transport.connect
      yield* TestClock.adjust("8 seconds")
      const report = yield* Fiber.join(accepting)
      assert.deepStrictEqual(answered, [1, 2, 3])
      assert.isAtLeast(report.duration, 3000)
      assert.deepInclude(report.connections, { total: 3, cut: 0 })
    }))
})
