import { Listener } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { echo, makeHolder } from "./support/handlers.ts"
import { listen, start } from "./support/listening.ts"

const drain = {
  idleGrace: "250 millis",
  deadline: "10 seconds",
  abortGrace: "100 millis",
  linger: { idle: 0 }
} as const

type Handler = typeof echo

const serve = Effect.fnUntraced(function*(
  options: Pick<Listener.ListenerOptions, "admission" | "timeouts">,
  { handler = echo, ...serving }: Listener.ServeOptions & { readonly handler?: Handler } = { idle: "pull" }
) {
  const transport = yield* MemoryTransport.make()
  const listener = yield* listen(transport, { drain, ...options })
  yield* start(Effect.ignore(Listener.serve(listener, handler, serving)))
  /** A client that was answered, and waits to ask again. */
  const kept = Effect.gen(function*() {
    const client = yield* transport.connect
    yield* client.write("hi")
    assert.strictEqual(yield* client.readText(6), "got hi")
    return client
  })
  return { kept, listener, transport }
})

const states = (clients: ReadonlyArray<MemoryTransport.Client>) => Effect.forEach(clients, (client) => client.state)

describe("timeouts.queued", () => {
  it.effect("refuses those that were held for so long, in their protocol's words, the first first", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serve({
        admission: { maxConnections: 1 },
        timeouts: { queued: "5 seconds" }
      }, {
        idle: "handler",
        refuse: ({ socket }) =>
          Effect.ignore(Effect.scoped(Effect.flatMap(socket.writer, (writer) => writer.write("busy"))))
      })
      const holder = yield* transport.connect
      const first = yield* transport.connect
      yield* TestClock.adjust("2 seconds")
      const second = yield* transport.connect
      yield* TestClock.adjust("2999 millis")
      assert.deepStrictEqual(yield* states([first, second]), ["Open", "Open"])
      yield* TestClock.adjust("2 millis")
      assert.strictEqual(yield* first.readAllText, "busy")
      assert.strictEqual(yield* second.state, "Open")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* second.readAllText, "busy")
      assert.strictEqual((yield* listener.dryRun).queued, 0)
      assert.strictEqual(yield* holder.state, "Open")
    }))

  it.effect("is 60 seconds, and Infinity is none", () =>
    Effect.gen(function*() {
      const byDefault = yield* serve({ admission: { maxConnections: 1 } }, { idle: "handler" })
      const never = yield* serve({ admission: { maxConnections: 1 }, timeouts: { queued: Infinity } }, {
        idle: "handler"
      })
      yield* Effect.forEach([byDefault, never], ({ transport }) => transport.connect)
      const held = yield* Effect.forEach([byDefault, never], ({ transport }) => transport.connect)
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(yield* states(held), ["Open", "Open"])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* states(held), ["Fin", "Open"])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* held[1]!.state, "Open")
    }))

  it.effect("does not hurt those that are let in", () =>
    Effect.gen(function*() {
      const { transport } = yield* serve({ admission: { maxConnections: 1 }, timeouts: { queued: "5 seconds" } }, {
        idle: "handler"
      })
      const holder = yield* transport.connect
      const held = yield* transport.connect
      yield* TestClock.adjust("4 seconds")
      yield* holder.end
      yield* holder.ended
      yield* TestClock.adjust("1 minute")
      yield* held.write("hi")
      assert.strictEqual(yield* held.readText(6), "got hi")
    }))
})

describe("connections that wait for their next request only make room", () => {
  it.effect("wait: the one idle for longest is ended, within the grace, and the newcomer is served", () =>
    Effect.gen(function*() {
      const { kept, transport } = yield* serve({ admission: { maxConnections: 3 } })
      const clients = [yield* kept]
      yield* TestClock.adjust("1 second")
      clients.push(yield* kept)
      yield* TestClock.adjust("1 second")
      clients.push(yield* kept)
      const newcomer = yield* transport.connect
      yield* newcomer.write("me")
      yield* TestClock.adjust("250 millis")
      assert.deepStrictEqual(yield* states(clients), ["Fin", "Open", "Open"])
      assert.strictEqual(yield* newcomer.readText(6), "got me")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* states(clients), ["Fin", "Open", "Open"])
    }))

  it.effect("as many as wait, and those that have become idle since", () =>
    Effect.gen(function*() {
      const { kept, listener, transport } = yield* serve({ admission: { maxConnections: 3 } })
      const clients = [yield* kept, yield* kept, yield* kept]
      const newcomers = yield* Effect.forEach([1, 2, 3, 4], () => transport.connect)
      for (const newcomer of newcomers) yield* newcomer.write("me")
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* states(clients), ["Fin", "Fin", "Fin"])
      for (const newcomer of newcomers) assert.strictEqual(yield* newcomer.readText(6), "got me")
      assert.strictEqual((yield* listener.dryRun).queued, 0)
    }))

  it.effect("none that is busy, and it ends when its exchange has", () =>
    Effect.gen(function*() {
      const holder = yield* makeHolder
      const { transport } = yield* serve({ admission: { maxConnections: 1 } }, {
        handler: holder.handler,
        idle: "pull"
      })
      const busy = yield* transport.connect
      yield* busy.write("it")
      yield* holder.entered
      const newcomer = yield* transport.connect
      yield* newcomer.write("me")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* busy.state, "Open")
      yield* holder.release
      yield* TestClock.adjust("250 millis")
      assert.strictEqual(yield* busy.readAllText, "released it")
      assert.strictEqual(yield* newcomer.readText(), "released me")
    }))

  it.effect("none that has never had an exchange, and none whose handler never says that it is idle", () =>
    Effect.gen(function*() {
      const fresh = yield* serve({ admission: { maxConnections: 1 } })
      const silent = yield* serve({ admission: { maxConnections: 1 } }, {
        idle: "handler",
        handler: () => Effect.never
      })
      for (const { listener, transport } of [fresh, silent]) {
        const first = yield* transport.connect
        yield* transport.connect
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(yield* first.state, "Open")
        assert.strictEqual((yield* listener.dryRun).queued, 1)
      }
    }))

  it.effect("one that asks again within its grace is answered before it ends", () =>
    Effect.gen(function*() {
      const { kept, transport } = yield* serve({ admission: { maxConnections: 1 } })
      const client = yield* kept
      yield* transport.connect
      yield* TestClock.adjust("100 millis")
      yield* client.write("again")
      assert.strictEqual(yield* client.readText(9), "got again")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* client.state, "Fin")
    }))

  it.effect("reject: a newcomer is held while an idle one ends; without one it is refused at once", () =>
    Effect.gen(function*() {
      const { kept, transport } = yield* serve({ admission: { maxConnections: 1, overflow: "reject" } })
      const client = yield* kept
      yield* TestClock.adjust("1 second")
      const newcomer = yield* transport.connect
      const refused = yield* transport.connect
      assert.deepStrictEqual(yield* states([newcomer, refused]), ["Open", "Fin"])
      yield* newcomer.write("me")
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* client.state, "Fin")
      assert.strictEqual(yield* newcomer.readText(6), "got me")
    }))

  it.effect("reject: one that was active just before is busy, and a newcomer is refused at once", () =>
    Effect.gen(function*() {
      const { kept, transport } = yield* serve({ admission: { maxConnections: 1, overflow: "reject" } })
      const client = yield* kept
      const early = yield* transport.connect
      yield* TestClock.adjust("249 millis")
      const late = yield* transport.connect
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* states([early, late, client]), ["Fin", "Fin", "Open"])
      yield* TestClock.adjust("20 millis")
      const newcomer = yield* transport.connect
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(yield* states([client, newcomer]), ["Fin", "Open"])
    }))

  it.effect("reject: it is refused when the idle one has become busy", () =>
    Effect.gen(function*() {
      const holder = yield* makeHolder
      const { transport } = yield* serve({ admission: { maxConnections: 1, overflow: "reject" } }, {
        handler: (connection) => Effect.andThen(connection.exchange("first", Effect.void), holder.handler(connection)),
        idle: "pull"
      })
      const client = yield* transport.connect
      yield* TestClock.adjust("1 second")
      const newcomer = yield* transport.connect
      assert.strictEqual(yield* newcomer.state, "Open")
      yield* client.write("it")
      yield* holder.entered
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* newcomer.state, "Fin")
      yield* holder.release
      assert.strictEqual(yield* client.readText(), "released it")
    }))

  it.effect("not in a lame duck, and a close ends as ever", () =>
    Effect.gen(function*() {
      const { kept, listener, transport } = yield* serve({ admission: { maxConnections: 1 } })
      const client = yield* kept
      const closing = yield* start(listener.close({ lameDuck: "5 seconds" }))
      yield* transport.connect
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* client.state, "Open")
      yield* TestClock.adjust("10 seconds")
      const report = yield* Fiber.join(closing)
      assert.deepInclude(report.connections, { total: 2, idle: 1, neverAccepted: 1 })
    }))
})
