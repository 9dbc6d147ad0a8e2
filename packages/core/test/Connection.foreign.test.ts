/** Whatever foreign code throws ends its own connection, once and counted, and nothing else. */
import { type Connection, DrainReport, Listener, Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Schema, Scope } from "effect"
import { NetAddress } from "effect/net"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import { idleDriver } from "./support/drivers.ts"
import { echo } from "./support/handlers.ts"
import { listen, start } from "./support/listening.ts"
import { keptLog } from "./support/logs.ts"
import { scrape } from "./support/metrics.ts"
import { withThrowingTracer } from "./support/tracers.ts"

const drain = { idleGrace: 0, deadline: "2 seconds", abortGrace: "500 millis", linger: { idle: 0 } } as const

const thrown = (): never => {
  throw new Error("the socket is gone")
}

const sum = ({ total, ...ends }: { readonly total: number } & Readonly<Record<string, number>>) =>
  Object.values(ends).reduce((a, b) => a + b, 0) - total

type Change = (connection: Transport.TransportConnection) => Transport.TransportConnection

const overriding = (overrides: Parameters<typeof Transport.wrapConnection>[1]): Change => (connection) =>
  Transport.wrapConnection(connection, overrides)

/** A getter that throws: what it is of is read only when the listener asks. */
const throwing = (name: keyof Transport.TransportConnection): Change => (connection) =>
  Object.defineProperty(overriding({})(connection), name, { get: thrown })

/** What it has for speed, with members of its own. */
function fast(changed: Partial<Transport.FastConnection>): Change {
  return (connection) => {
    const wrapper = overriding({})(connection)
    const value: Transport.FastConnection = { owner: wrapper, bytesIn: () => 0, bytesOut: () => 0 }
    return Object.defineProperty(wrapper, "fast", {
      value: Object.defineProperties(value, Object.getOwnPropertyDescriptors(changed))
    })
  }
}

/** An address that cannot be shown: what its author takes for a path is no string. */
const namelessPath: NetAddress.SocketAddress = Object.create(NetAddress.unixPathAddress("x"), {
  path: { value: Object.create(null) }
})

const members: Readonly<Record<string, Change>> = {
  bytesPending: overriding({ bytesPending: thrown }),
  endReading: overriding({ endReading: thrown }),
  goodbye: overriding({ goodbye: thrown }),
  "goodbye that dies": overriding({ goodbye: () => Effect.die(new Error("no")) }),
  "goodbye that is no effect": overriding({ goodbye: () => undefined as unknown as Effect.Effect<void> }),
  "destroy that dies": overriding({ destroy: Effect.die(new Error("no")) }),
  "settled that dies": overriding({ settled: Effect.die(new Error("no")) }),
  "the getter of destroy": throwing("destroy"),
  "the getter of ready": throwing("ready"),
  "the getter of settled": throwing("settled"),
  "the getter of socket": throwing("socket"),
  "the getter of remote": throwing("remote"),
  "the getter of protocol": throwing("protocol"),
  "the getter of fast": throwing("fast"),
  "fast.bytesIn": fast({ bytesIn: thrown, bytesOut: thrown }),
  "the getter of fast.watchPulls": fast({
    get watchPulls() {
      return thrown()
    }
  }),
  "the getter of fast.endReadingAfter": fast({
    get endReadingAfter() {
      return thrown()
    }
  }),
  "the getter of fast.goodbyeDetached": fast({
    get goodbyeDetached() {
      return thrown()
    }
  }),
  "the path of remote": overriding({ remote: namelessPath }),
  "a value for protocol that cannot be shown": overriding({ protocol: Object.create(null) })
}

/** Three connections, the second of which is changed; then a close. */
const closeWith = (change: Change, serve: (listener: Listener.Listener) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const { lines, logged } = keptLog()
    const memory = yield* MemoryTransport.make()
    let n = 0
    const transport = Transport.mapConnections(memory, (connection) => ++n === 2 ? change(connection) : connection)
    const owner = yield* Scope.make()
    const listener = yield* Scope.provide(Listener.listen(transport, { drain }), owner).pipe(logged)
    yield* start(Effect.ignore(serve(listener)))
    const clients = [yield* memory.connect, yield* memory.connect, yield* memory.connect]
    yield* TestClock.adjust("100 millis")
    const closing = yield* start(Effect.exit(listener.close()))
    yield* TestClock.adjust("2600 millis")
    const exit = yield* Fiber.join(closing)
    assert.strictEqual(yield* listener.state, "Closed")
    const ending = yield* start(Scope.close(owner, Exit.void))
    yield* TestClock.adjust("2600 millis")
    yield* Fiber.join(ending)
    const report = yield* listener.closed
    return { clients, exit, lines, report }
  })

const served = {
  "a handler": (listener: Listener.Listener) => Listener.serve(listener, echo, { idle: "pull" }),
  "a handler that never ends": (listener: Listener.Listener) => Listener.serve(listener, () => Effect.never)
}

for (const [how, serve] of Object.entries(served)) {
  describe(`a transport that throws under ${how}`, () => {
    for (const [member, change] of Object.entries(members)) {
      it.effect(`in ${member}: the close ends in a report, and the others end as they would`, () =>
        Effect.gen(function*() {
          const { clients, report } = yield* closeWith(change, serve)
          // one that throws before the close begins has ended by then
          assert.include([2, 3], report.connections.total)
          assert.strictEqual(sum(report.connections), 0)
          const expected = how === "a handler" ? "Fin" : "Reset"
          for (const client of [clients[0]!, clients[2]!]) assert.strictEqual(yield* client.ended, expected)
        }))
    }
  })
}

describe("a protocol that throws", () => {
  const members = [
    "busy",
    "exchanges",
    "lastActive",
    "drainNotified",
    "goodbye",
    "cut",
    "running",
    "fibers",
    "protocol",
    "bytesPending",
    "phase",
    "breakOff"
  ] as const
  const getterOf = "the getter of "

  const driver = (
    connection: Connection.Connection,
    events: Connection.ProtocolEvents,
    broken: string | undefined
  ): Connection.ProtocolDriver => {
    const usual = idleDriver(connection, events)
    return broken === undefined
      ? usual
      : broken.startsWith(getterOf)
      ? Object.defineProperty(usual, broken.slice(getterOf.length), { get: thrown })
      : { ...usual, [broken]: thrown }
  }

  for (const member of ["attach", ...members, ...members.map((member) => `${getterOf}${member}`)]) {
    it.effect(`in ${member}: the close ends in a report, and the others end as they would`, () =>
      Effect.gen(function*() {
        const { clients, report } = yield* closeWith(
          (connection) => connection,
          (listener) =>
            Listener.serveDriver(listener, (connection, events) => {
              if (member === "attach" && connection.id === 2) thrown()
              return driver(connection, events, connection.id === 2 ? member : undefined)
            })
        )
        assert.include([2, 3], report.connections.total)
        assert.strictEqual(sum(report.connections), 0)
        for (const client of [clients[0]!, clients[2]!]) assert.strictEqual(yield* client.ended, "Fin")
      }))
  }
})

describe("a protocol that answers with", () => {
  // what a protocol that is not written in TypeScript can answer with
  const answers: Readonly<Record<string, Readonly<Record<string, () => unknown>>>> = {
    "a label that is no string": { exchanges: () => [{ label: 7, since: 0 }] },
    "a label that cannot be shown": { exchanges: () => [{ label: Object.create(null), since: 0 }] },
    "an exchange that is none": { exchanges: () => [undefined] },
    "no exchanges": { exchanges: () => undefined },
    "an exchange of what is no time": { exchanges: () => [{ label: "x", since: Object.create(null) }] },
    "what is no time": { lastActive: () => Object.create(null) },
    "an exchange of no time": { exchanges: () => [{ label: "x", since: NaN }] },
    "no time": { lastActive: () => NaN },
    "no fibers": { fibers: () => 7 },
    "a fiber that is none": { fibers: () => [undefined] },
    "a protocol without a name": { protocol: () => Object.create(null) },
    "no number of bytes": { bytesPending: () => "many" },
    "no breakOff, but an error": {
      get breakOff() {
        return thrown()
      }
    },
    "no phase, but an error": {
      get phase() {
        return thrown()
      }
    },
    "a phase that is none": { phase: () => Object.create(null) }
  }

  for (const [what, changed] of Object.entries(answers)) {
    it.effect(`${what}: a cut ends it and all others, and the report is whole`, () =>
      Effect.gen(function*() {
        const { clients, report } = yield* closeWith(
          (connection) => connection,
          (listener) =>
            Listener.serveDriver(listener, (connection) => {
              const usual: Connection.ProtocolDriver = {
                busy: () => true,
                exchanges: () => [],
                lastActive: () => -Infinity,
                drainNotified: () => {},
                goodbye: () => {},
                cut: () => {},
                running: () => false,
                fibers: () => []
              }
              return connection.id === 2
                ? Object.defineProperties(usual, Object.getOwnPropertyDescriptors(changed))
                : usual
            })
        )
        assert.strictEqual(sum(report.connections), 0)
        for (const client of clients) assert.strictEqual(yield* client.ended, "Reset")
        assert.deepStrictEqual(JSON.parse(JSON.stringify(report)), report)
        assert.isTrue(Schema.is(DrainReport.DrainReport)(report))
      }))
  }
})

describe("a protocol that gives no driver", () => {
  it.effect("ends its connection as failed, and does not touch the others", () =>
    Effect.gen(function*() {
      const { clients, lines, report } = yield* closeWith(
        (connection) => connection,
        (listener) => Listener.serveDriver(listener, () => undefined as unknown as Connection.ProtocolDriver)
      )
      for (const client of clients) assert.strictEqual(yield* client.ended, "Reset")
      assert.strictEqual(sum(report.connections), 0)
      assert.strictEqual(lines.filter((line) => line.startsWith("attach of a connection")).length, 3)
    }))
})

describe("a label of an exchange that is no string", () => {
  it.effect.each([7, Symbol("x"), Object.create(null)])(
    "does not keep a cut from ending the others: %#",
    (label) =>
      Effect.gen(function*() {
        const { clients, report } = yield* closeWith(
          (connection) => connection,
          (listener) =>
            Listener.serve(listener, (connection) =>
              Effect.andThen(
                Effect.exit(Effect.sync(() => connection.beginExchange(connection.id === 2 ? label : "x"))),
                Effect.never
              ))
        )
        assert.deepStrictEqual([report.connections.total, report.connections.cut], [3, 3])
        for (const client of clients) assert.strictEqual(yield* client.ended, "Reset")
      })
  )
})

describe("a socket that throws", () => {
  const socketOf = (connection: Transport.TransportConnection, changed: Partial<Socket.Socket>) =>
    Transport.wrapConnection(connection, { socket: Socket.make({ ...connection.socket, ...changed }) })
  const brokenReader = (member: "pull"): Change => (connection) =>
    socketOf(connection, {
      reader: Effect.map(connection.socket.reader, (reader) =>
        Object.defineProperty({ ...reader }, member, { get: thrown }))
    })
  const brokenWriter = (changed: Partial<Socket.Writer>): Change => (connection) =>
    socketOf(connection, { writer: Effect.map(connection.socket.writer, (writer) => ({ ...writer, ...changed })) })
  const getter = (member: "reader" | "writer"): Change => (connection) =>
    Transport.wrapConnection(connection, {
      socket: Object.defineProperty({ ...connection.socket }, member, { get: thrown })
    })

  const sockets: Readonly<Record<string, readonly [named: string, change: Change]>> = {
    "in its getter": ["socket", throwing("socket")],
    "in the getter of its reader": ["reader", getter("reader")],
    "in the getter of its writer": ["writer", getter("writer")],
    "in the getter of pull": ["pull", brokenReader("pull")],
    "in write": ["write", brokenWriter({ write: thrown })],
    "by a write that is no effect": [
      "write",
      brokenWriter({ write: () => undefined as unknown as Effect.Effect<void> })
    ],
    "in writeAll": ["writeAll", brokenWriter({ writeAll: thrown })],
    "in watchPulls": ["watchPulls", fast({ watchPulls: thrown })]
  }

  const twice = (connection: Connection.Connection) =>
    Effect.gen(function*() {
      const { pull } = yield* connection.socket.reader
      const { write, writeAll } = yield* connection.socket.writer
      yield* write("one")
      yield* writeAll(["two"])
      return yield* Effect.forever(pull)
    })

  const changed = (change: Change) =>
    Effect.gen(function*() {
      const { lines, logged } = keptLog()
      const memory = yield* MemoryTransport.make()
      let n = 0
      const transport = Transport.mapConnections(memory, (connection) => ++n === 2 ? change(connection) : connection)
      const listener = yield* listen(transport, { drain }).pipe(logged)
      const clients = [yield* memory.connect, yield* memory.connect, yield* memory.connect]
      const said = () => lines.filter((line) => !line.startsWith("listener ")).map((line) => line.split(" of ")[0])
      return { clients, listener, said }
    })

  it.effect("in the getter of its goodbye without a fiber ends its connection, served or refused, and is named", () =>
    Effect.gen(function*() {
      const { lines, logged } = keptLog()
      const memory = yield* MemoryTransport.make()
      const broken = Transport.mapConnections(
        memory,
        fast({
          get goodbyeDetached() {
            return thrown()
          }
        })
      )
      const listener = yield* listen(broken, { drain, admission: { maxConnections: 1, overflow: "reject" } }).pipe(
        logged
      )
      yield* start(Effect.ignore(Listener.serve(listener, () => Effect.sleep("100 millis"))))
      const clients = [yield* memory.connect, yield* memory.connect]
      yield* TestClock.adjust("200 millis")
      for (const client of clients) assert.include(["Fin", "Reset"], yield* client.ended)
      assert.strictEqual((yield* listener.connections).length, 0)
      const threw = lines.filter((line) => line.startsWith("goodbyeDetached of a connection"))
      assert.strictEqual(threw.length, 2)
    }))

  for (const [how, [member, change]] of Object.entries(sockets)) {
    it.effect(`${how} ends its connection as failed, is named, and does not touch the others`, () =>
      Effect.gen(function*() {
        const { clients, listener, said } = yield* changed(change)
        yield* start(Effect.ignore(Listener.serve(listener, twice, { idle: "pull" })))
        yield* TestClock.adjust("100 millis")
        for (const client of [clients[0]!, clients[2]!]) {
          assert.strictEqual(yield* client.readText(6), "onetwo")
          assert.strictEqual(yield* client.state, "Open")
        }
        assert.include(["Fin", "Reset"], yield* clients[1]!.ended)
        assert.strictEqual((yield* listener.connections).length, 2)
        assert.deepStrictEqual(said(), [member])
      }))

    it.effect(`${how} fails what an accepted connection's owner does, with no defect`, () =>
      Effect.gen(function*() {
        const { listener, said } = yield* changed(change)
        yield* Effect.scoped(listener.accept)
        const exit = yield* Effect.exit(
          Effect.scoped(Effect.flatMap(listener.accept, twice)).pipe(Effect.timeout("1 second"), start)
        )
        yield* TestClock.adjust("1 second")
        const used = Exit.isSuccess(exit) ? yield* Effect.exit(Fiber.join(exit.value)) : exit
        assert.isTrue(Exit.isFailure(used) && !Cause.hasDies(used.cause))
        assert.deepStrictEqual(said(), [member])
      }))
  }
})

describe("a refuse that", () => {
  const refusals: Readonly<Record<string, () => Effect.Effect<void>>> = {
    "throws": thrown,
    "dies": () => Effect.die(new Error("no")),
    "never ends": () => Effect.never,
    "answers with no effect": () => undefined as unknown as Effect.Effect<void>
  }
  for (const [what, refuse] of Object.entries(refusals)) {
    it.effect(`${what}: the client is ended within 5 seconds, and the next is served when there is room`, () =>
      Effect.gen(function*() {
        const memory = yield* MemoryTransport.make()
        const listener = yield* listen(memory, {
          admission: { maxConnections: 1, overflow: "reject" },
          drain
        })
        yield* start(Listener.serve(listener, () => Effect.never, { refuse }))
        const first = yield* memory.connect
        const refused = yield* memory.connect
        yield* TestClock.adjust("1 second")
        if (what === "never ends") {
          const [, info] = yield* listener.connections
          assert.deepStrictEqual(info?.exchanges.map(({ label }) => label), ["refused"])
        }
        yield* TestClock.adjust("5 seconds")
        assert.include(["Fin", "Reset"], yield* refused.ended)
        assert.strictEqual((yield* listener.connections).length, 1)
        assert.strictEqual(yield* first.state, "Open")
      }))
  }

  it.effect("detaches what it refuses leaves every gauge at zero", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.make()
      const scope = yield* Scope.make()
      const listener = yield* listen(memory, { admission: { maxConnections: 1, overflow: "reject" }, drain })
      yield* start(Listener.serve(listener, () => Effect.never, {
        refuse: (connection) => connection.detach(scope)
      }))
      yield* memory.connect
      const refused = yield* memory.connect
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* refused.state, "Open")
      assert.strictEqual((yield* listener.connections).length, 1)
      const closing = yield* start(Effect.exit(listener.close()))
      yield* TestClock.adjust("2600 millis")
      yield* Fiber.join(closing)
      const report = yield* listener.closed
      assert.deepInclude(report.connections, { total: 1, cut: 1, detached: 0 })
      assert.strictEqual(yield* refused.state, "Open")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* refused.ended, "Fin")
    }))
})

describe("a tracer that throws", () => {
  const second = (of: string) => {
    let n = 0
    return ({ name }: { readonly name: string }) => name === of && ++n === 2
  }

  it.effect.each(["span", "end"] as const)(
    "in %s of an exchange ends that connection, is named, and does not touch the others",
    (member) =>
      Effect.gen(function*() {
        const { lines, logged } = keptLog()
        const memory = yield* MemoryTransport.make()
        const listener = yield* listen(memory, { drain, tracing: { exchanges: true } }).pipe(logged)
        yield* start(Effect.ignore(Listener.serve(listener, echo)))
        const clients = [yield* memory.connect, yield* memory.connect, yield* memory.connect]
        for (const client of clients) yield* client.write("x")
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(yield* clients[1]!.ended, "Reset")
        for (const client of [clients[0]!, clients[2]!]) {
          assert.strictEqual(yield* client.readText(5), "got x")
          assert.strictEqual(yield* client.state, "Open")
        }
        const said = lines.filter((line) => !line.startsWith("listener "))
        assert.deepStrictEqual(said.map((line) => line.split(" of ")[0]), ["tracer"])
        const closing = yield* start(Effect.exit(listener.close()))
        yield* TestClock.adjust("2600 millis")
        yield* Fiber.join(closing)
        const { connections } = yield* listener.closed
        assert.deepStrictEqual([connections.total, sum(connections)], [2, 0])
      }).pipe(withThrowingTracer(member, second("Listener.exchange")))
  )
})

describe("a held connection whose watch throws as it is taken back", () => {
  /** Three connections that nothing takes yet, the second of which throws. */
  const held = Effect.gen(function*() {
    const { lines, logged } = keptLog()
    const memory = yield* MemoryTransport.make()
    let n = 0
    const transport = Transport.mapConnections(
      memory,
      (connection) => ++n === 2 ? Transport.wrapConnection(connection, { watchDeparture: () => thrown }) : connection
    )
    const listener = yield* listen(transport, { drain }).pipe(logged)
    const clients = [yield* memory.connect, yield* memory.connect, yield* memory.connect]
    yield* TestClock.adjust("100 millis")
    const threw = () => lines.filter((line) => line.startsWith("watchDeparture of a connection"))
    return { clients, listener, threw }
  })

  it.effect("is ended when it is taken, and the others are served", () =>
    Effect.gen(function*() {
      const { clients, listener, threw } = yield* held
      yield* start(Effect.ignore(Listener.serve(listener, echo, { idle: "pull" })))
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* clients[1]!.ended, "Reset")
      assert.strictEqual((yield* listener.connections).length, 2)
      for (const client of [clients[0]!, clients[2]!]) {
        yield* client.write("x")
        assert.strictEqual(yield* client.readText(5), "got x")
      }
      assert.strictEqual(threw().length, 1)
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("2600 millis")
      const { connections } = yield* Fiber.join(closing)
      assert.deepStrictEqual([connections.total, sum(connections)], [2, 0])
    }))

  it.effect("is refused at a close with the others, and counted once", () =>
    Effect.gen(function*() {
      const { clients, listener, threw } = yield* held
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("2600 millis")
      const { connections, outcome } = yield* Fiber.join(closing)
      assert.deepStrictEqual([outcome, connections.total, connections.neverAccepted], ["Drained", 3, 3])
      for (const client of clients) assert.include(["Fin", "Reset"], yield* client.ended)
      assert.strictEqual(threw().length, 1)
    }))

  it.effect("is watched no more when something else of it throws", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.make()
      let watched = 0
      const listener = yield* listen(
        Transport.mapConnections(memory, (connection) =>
          Transport.wrapConnection(connection, {
            bytesPending: thrown,
            watchDeparture: () => {
              watched++
              return () => watched--
            }
          })),
        { drain }
      )
      const client = yield* memory.connect
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(watched, 1)
      yield* listener.connections
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* client.ended, "Reset")
      assert.deepStrictEqual([watched, (yield* listener.connections).length], [0, 0])
    }))

  it.effect("is cut by an abort with the others", () =>
    Effect.gen(function*() {
      const { clients, listener, threw } = yield* held
      yield* listener.abort
      yield* TestClock.adjust("100 millis")
      for (const client of clients) assert.strictEqual(yield* client.ended, "Reset")
      const { connections } = yield* listener.close()
      assert.deepStrictEqual([connections.total, sum(connections)], [3, 0])
      assert.strictEqual(threw().length, 1)
    }))
})

describe("a connection that throws before its client is named", () => {
  it.effect("is ended and counted once, and nothing of it runs on", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.make()
      let introducing = 0
      const introduced = Effect.acquireUseRelease(
        Effect.sync(() => introducing++),
        () => Effect.never,
        () => Effect.sync(() => introducing--)
      )
      const listener = yield* listen(
        Transport.mapConnections(
          memory,
          (connection) => Transport.wrapConnection(connection, { bytesPending: thrown, introduced })
        ),
        { name: "introducing", drain }
      )
      const client = yield* memory.connect
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(introducing, 1)
      yield* listener.connections
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* client.ended, "Reset")
      assert.strictEqual(introducing, 0)
      const { accepted, ended, open } = yield* scrape("introducing")
      assert.deepStrictEqual([accepted, open, ended], [1, 0, 1])
    }))
})
