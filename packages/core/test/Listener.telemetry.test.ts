import { Listener, ListenerHost, Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Logger, Option, References, Stream, Tracer } from "effect"
import { TestClock } from "effect/testing"
import { echo } from "./support/handlers.ts"
import { listen, listening, quick, start } from "./support/listening.ts"

const brief = { ...quick, deadline: "1 second" } as const

/** Every span that was made, in order, and a tracer that keeps them. */
const tracing = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const named = (name: string) => spans.filter((span) => span.name === name)
  return { spans, named, traced: Effect.withTracer(tracer) }
}

const attributesOf = (span: Tracer.Span | undefined) => Object.fromEntries(span?.attributes ?? [])
const parentOf = (span: Tracer.Span | undefined) => span && Option.getOrUndefined(span.parent)?.spanId
const ending = (span: Tracer.NativeSpan | undefined) =>
  span?.status._tag === "Ended" ? Exit.isSuccess(span.status.exit) ? "ok" : "error" : "open"
const millis = (span: Tracer.NativeSpan | undefined) =>
  span?.status._tag === "Ended" ? Number(span.status.endTime - span.status.startTime) / 1e6 : undefined

describe("spans", () => {
  it.effect("open: below its caller's, with the address, and failed when it fails", () => {
    const { named, traced } = tracing()
    return traced(Effect.gen(function*() {
      const transport = yield* MemoryTransport.make({ bindLatency: "1 second" })
      const listener = yield* Listener.make(transport, { name: "api", drain: brief })
      const opening = yield* start(Effect.withSpan(listener.open, "startup"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(opening)
      yield* Effect.flip(listener.open)
      const [open, again] = named("Listener.open")
      assert.deepStrictEqual(attributesOf(open), { listener: "api", address: "127.0.0.1:1" })
      assert.strictEqual(parentOf(open), named("startup")[0]?.spanId)
      assert.deepStrictEqual([ending(open), millis(open), ending(again)], ["ok", 1000, "error"])
      yield* listener.close()
    }))
  })

  it.effect("close: below the first closer's, with its stages, as long as the drain, also when no fiber waits", () => {
    const { named, traced } = tracing()
    return traced(Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const listener = yield* Effect.withSpan(
        Listener.listen(transport, { name: "api", drain: { ...brief, lameDuck: "1 second" } }),
        "startup"
      )
      yield* start(Effect.ignore(Listener.serve(listener, () => Effect.never)))
      yield* transport.connect
      const closing = yield* start(Effect.withSpan(listener.close({ reason: "deploy" }), "deploying"))
      yield* Fiber.interrupt(closing)
      yield* TestClock.adjust("2 seconds")
      yield* listener.closed
      const [close] = named("Listener.close")
      assert.strictEqual(named("Listener.close").length, 1)
      assert.deepStrictEqual(attributesOf(close), { listener: "api", reason: "deploy" })
      assert.strictEqual(parentOf(close), named("deploying")[0]?.spanId)
      assert.deepStrictEqual([ending(close), millis(close)], ["error", 2000])
      assert.deepStrictEqual(close?.events.map(([name, at, attributes]) => [name, Number(at) / 1e6, attributes]), [
        ["LameDuck", 0, { remaining: 1 }],
        ["Sweeping", 1000, { remaining: 1 }],
        ["Draining", 1000, { remaining: 1 }],
        ["Aborting", 2000, { remaining: 1 }]
      ])
    }))
  })

  it.effect("close: a root when no span asked for it", () => {
    const { named, traced } = tracing()
    return traced(Effect.gen(function*() {
      yield* Effect.scoped(Effect.withSpan(
        Effect.flatMap(MemoryTransport.make(), (transport) => Listener.listen(transport, { drain: brief })),
        "startup"
      ))
      assert.strictEqual(parentOf(named("Listener.close")[0]), undefined)
      assert.strictEqual(ending(named("Listener.close")[0]), "ok")
    }))
  })

  it.effect("a host's close is one span, and its listeners' are below it", () => {
    const { named, traced } = tracing()
    return traced(Effect.gen(function*() {
      const make = (name: string) =>
        Effect.flatMap(MemoryTransport.make(), (transport) => Listener.make(transport, { name, drain: brief }))
      const host = yield* ListenerHost.make([yield* make("a"), yield* make("b")], { admin: [yield* make("admin")] })
      yield* Effect.withSpan(host.close({ lameDuck: 0 }), "deploying")
      const [close] = named("ListenerHost.close")
      assert.deepStrictEqual(attributesOf(close), { host: "host", reason: "close" })
      assert.strictEqual(parentOf(close), named("deploying")[0]?.spanId)
      assert.strictEqual(ending(close), "ok")
      const below = named("Listener.close")
      assert.deepStrictEqual(below.map((span) => attributesOf(span)["listener"]), ["a", "b", "admin"])
      assert.isTrue(below.every((span) => parentOf(span) === close?.spanId))
    }))
  })

  describe("connections and exchanges", () => {
    const run = Effect.fnUntraced(function*(options: Listener.ListenerOptions) {
      const transport = yield* MemoryTransport.make()
      const listener = yield* Effect.withSpan(
        Listener.listen(transport, { name: "api", drain: brief, ...options }),
        "startup"
      )
      yield* start(Effect.ignore(Effect.withSpan(
        Listener.serve(listener, (connection) =>
          Effect.gen(function*() {
            yield* connection.exchange("whole", Effect.withSpan(Effect.sleep("10 millis"), "work"))
            const end = connection.beginExchange("callback")
            yield* Effect.sleep("10 millis")
            end()
            connection.beginExchange("left open")
            yield* Effect.sleep("10 millis")
            if (connection.id === 2) return yield* Effect.fail("no")
          })),
        "serving"
      )))
      yield* transport.connect
      yield* transport.connect
      yield* TestClock.adjust("1 second")
      return listener
    })

    it.effect("have none unless asked for", () => {
      const { spans, traced } = tracing()
      return traced(Effect.gen(function*() {
        const listener = yield* run({})
        assert.deepStrictEqual(
          spans.map((span) => span.name).filter((name) => name.startsWith("Listener.")),
          ["Listener.open"]
        )
        yield* listener.close()
      }))
    })

    it.effect("a connection's is a root from accept to end, with the reason, above what its handler does", () => {
      const { named, traced } = tracing()
      return traced(Effect.gen(function*() {
        const listener = yield* run({ tracing: { connections: true } })
        const [first, second] = named("Listener.connection")
        assert.deepStrictEqual(attributesOf(first), {
          listener: "api",
          connection: 1,
          protocol: "memory",
          remote: "127.0.0.1:50001",
          reason: "idle",
          bytesIn: 0,
          bytesOut: 0
        })
        assert.strictEqual(attributesOf(second)["reason"], "failed")
        assert.deepStrictEqual([parentOf(first), first?.kind], [undefined, "server"])
        assert.deepStrictEqual([ending(first), millis(first), ending(second)], ["ok", 30, "error"])
        assert.deepStrictEqual(named("work").map(parentOf), [first?.spanId, second?.spanId])
        assert.deepStrictEqual(named("Listener.exchange"), [])
        yield* listener.close()
      }))
    })

    it.effect("an exchange's is below its connection's, however it was begun, and ends with it at the latest", () => {
      const { named, traced } = tracing()
      return traced(Effect.gen(function*() {
        const listener = yield* run({ tracing: { connections: true, exchanges: true } })
        const [connection] = named("Listener.connection")
        const exchanges = named("Listener.exchange").filter((span) => attributesOf(span)["connection"] === 1)
        assert.deepStrictEqual(exchanges.map((span) => attributesOf(span)), [
          { listener: "api", connection: 1, label: "whole" },
          { listener: "api", connection: 1, label: "callback" },
          { listener: "api", connection: 1, label: "left open" }
        ])
        assert.deepStrictEqual(exchanges.map(millis), [10, 10, 10])
        assert.deepStrictEqual(exchanges.map(parentOf), exchanges.map(() => connection?.spanId))
        assert.strictEqual(parentOf(named("work")[0]), exchanges[0]?.spanId)
        yield* listener.close()
      }))
    })

    it.effect("an exchange of callback code on a connection that is not traced is a root", () => {
      const { named, traced } = tracing()
      return traced(Effect.gen(function*() {
        const listener = yield* run({ tracing: { exchanges: true } })
        const callback = named("Listener.exchange").find((span) => attributesOf(span)["label"] === "callback")
        assert.strictEqual(ending(callback), "ok")
        assert.strictEqual(parentOf(callback), undefined)
        yield* listener.close()
      }))
    })

    it.effect("every connection's ends, whatever its end: refused ones have none", () => {
      const { named, traced } = tracing()
      return traced(Effect.gen(function*() {
        const transport = yield* MemoryTransport.make()
        const listener = yield* listen(transport, {
          drain: brief,
          tracing: { connections: true },
          admission: { maxConnections: 1, maxQueued: 1 }
        })
        yield* start(Effect.ignore(Listener.serve(listener, () => Effect.never)))
        yield* Effect.forEach([1, 2, 3], () => transport.connect)
        const closing = yield* start(Effect.exit(listener.close()))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(closing)
        const spans = named("Listener.connection")
        assert.deepStrictEqual(spans.map((span) => [attributesOf(span)["reason"], ending(span)]), [
          ["cut", "error"],
          ["neverAccepted", "ok"]
        ])
      }))
    })
  })
})

describe("the log", () => {
  interface Line {
    readonly level: string
    readonly text: string
    readonly annotations: Readonly<Record<string, unknown>>
  }
  const logging = () => {
    const lines: Array<Line> = []
    const logger = Logger.make<unknown, void>(({ fiber, logLevel, message }) => {
      lines.push({
        level: logLevel,
        text: [message].flat().map(String).join(" "),
        annotations: fiber.getRef(References.CurrentLogAnnotations)
      })
    })
    return { lines, logged: Effect.provide(Logger.layer([logger])) }
  }

  it.effect("one line an event of the lifetime, with what a machine wants to know beside it", () => {
    const { lines, logged } = logging()
    return logged(Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const listener = yield* Listener.listen(transport, { name: "api", drain: brief })
      yield* start(
        Effect.ignore(
          Listener.serve(listener, (connection) => connection.id === 1 ? Effect.fail("no such row") : Effect.never)
        )
      )
      const transient = new Transport.TransportAcceptError({ class: "transient", code: "ECONNABORTED", cause: "test" })
      yield* transport.failAccept(transient)
      const failing = yield* transport.connect
      yield* failing.ended
      yield* transport.connect
      yield* listener.abort
      yield* listener.close({ reason: "deploy" })
      yield* listener.reset
      yield* listener.open
      const faulted = yield* start(
        listener.changes.pipe(Stream.takeUntil((state) => state === "Faulted"), Stream.runDrain)
      )
      yield* transport.fault(new Transport.TransportAcceptError({ class: "fatal", code: "EBADF", cause: "gone" }))
      yield* Fiber.join(faulted)
      yield* listener.close()
      assert.deepStrictEqual(lines.map(({ annotations, level }) => [level, annotations["event"]]), [
        ["Info", "open"],
        ["Warn", "acceptFailed"],
        ["Error", "connectionFailed"],
        ["Warn", "abort"],
        ["Info", "close"],
        ["Info", "open"],
        ["Warn", "acceptFailed"],
        ["Error", "fault"],
        ["Info", "close"]
      ])
      assert.isTrue(lines.every(({ annotations }) => annotations["listener"] === "api"))
      const [open, accept, connection, abort, close, , , fault] = lines
      assert.strictEqual(open?.text, "listener \"api\" is open at 127.0.0.1:1")
      assert.strictEqual(open?.annotations["address"], "127.0.0.1:1")
      assert.strictEqual(accept?.annotations["code"], "ECONNABORTED")
      assert.match(String(connection?.annotations["connection"]), /^#1 127\.0\.0\.1:50001 memory/)
      assert.deepStrictEqual([abort?.text, abort?.annotations["cut"]], [
        "listener \"api\" was aborted; connections cut: 1",
        1
      ])
      assert.deepStrictEqual(
        [close?.annotations["outcome"], close?.annotations["cut"]],
        ["Aborted", 1]
      )
      assert.include(close?.text, "(deploy)")
      assert.match(fault?.text ?? "", /^TransportFailure: accept on listener "api": transport failure EBADF/)
      assert.strictEqual(fault?.annotations["code"], "EBADF")
    }))
  })

  it.effect("maskRemote: no address of a client in logs, reports and spans; the handler has it", () => {
    const { lines, logged } = logging()
    const { spans, traced } = tracing()
    return traced(logged(Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const listener = yield* listen(transport, {
        drain: brief,
        maskRemote: true,
        tracing: { connections: true, exchanges: true }
      })
      const seen: Array<string> = []
      yield* start(Effect.ignore(Listener.serve(listener, (connection) =>
        Effect.suspend(() => {
          seen.push(String(connection.remote))
          return connection.id === 1 ? Effect.fail("no") : connection.exchange("stuck", Effect.never)
        }))))
      yield* transport.connect
      yield* transport.connect
      const closing = yield* start(Effect.flip(listener.close()))
      const dry = yield* listener.dryRun
      const connections = yield* listener.connections
      const progress = yield* Stream.runHead(listener.progress)
      yield* TestClock.adjust("2 seconds")
      const error = yield* Fiber.join(closing)
      const shown = JSON.stringify([
        dry,
        connections,
        progress,
        error,
        lines,
        spans.map((span) => [...span.attributes])
      ])
      assert.notMatch(shown, /5000\d/)
      assert.include(shown, "\"remote\":\"masked\"")
      assert.strictEqual(connections[0]?.remote, "masked")
      assert.match(String(lines.find(({ level }) => level === "Error")?.annotations["connection"]), /^#1 masked memory/)
      assert.match(seen.join(), /50001.*50002/)
    })))
  })

  it.effect("a line of a client that echoes has no address either, nor its data", () => {
    const { lines, logged } = logging()
    return logged(Effect.gen(function*() {
      const { listener, transport } = yield* listening({ drain: brief, maskRemote: true })
      yield* start(Effect.ignore(Listener.serve(listener, echo, { idle: "pull" })))
      const client = yield* transport.connect
      yield* client.write("secret")
      yield* client.readText(10)
      yield* listener.close()
      assert.notMatch(JSON.stringify(lines), /secret|5000\d/)
    }))
  })
})
