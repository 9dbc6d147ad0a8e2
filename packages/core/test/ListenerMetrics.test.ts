import { type Connection, Listener, ListenerMetrics, Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Metric, Random, Scope } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { TestClock } from "effect/testing"
import * as Fs from "node:fs"
import { echo, makeHolder } from "./support/handlers.ts"
import { listen, listening, quick, start } from "./support/listening.ts"
import { scrape } from "./support/metrics.ts"
import { ipOf, withRemotes } from "./support/remotes.ts"

/** Each test with a registry of its own. */
const metered = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(effect, Metric.MetricRegistry, new Map()))

type Handled = Effect.Effect<unknown, unknown, Scope.Scope>
type Scrape = Effect.Success<ReturnType<typeof scrape>>

const keepsTheLaw = (now: Scrape) => {
  assert.strictEqual(now.accepted, now.ended + now.open)
  assert.strictEqual(now.exchanges, now.exchangesTimed + now.exchangesOpen)
  assert.isAtLeast(now.open, now.queued)
}

describe("what a listener counts", () => {
  it.effect("connections: accepted, open, queued, and ended for one reason each", () =>
    metered(Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const scope = yield* Scope.make()
      const listener = yield* listen(transport, {
        name: "api",
        drain: { ...quick, deadline: "1 second" },
        admission: { maxConnections: 6 }
      })
      yield* start(Effect.ignore(Listener.serve(listener, (connection): Handled => {
        switch (connection.id) {
          case 1:
            return Effect.fail("no")
          case 2:
            return Effect.andThen(connection.detach(scope), Effect.never)
          case 3:
          case 4:
            return Effect.andThen(connection.draining, connection.exchange("stuck", Effect.never))
          case 5:
            return connection.exchange("work", Effect.sleep("500 millis"))
          default:
            return echo(connection)
        }
      }, { idle: "pull" })))
      assert.deepStrictEqual((yield* scrape("api")).accepted, 0)
      const clients = yield* Effect.forEach(Array.from({ length: 9 }), () => transport.connect)
      yield* TestClock.adjust("1 millis")
      yield* clients[5]!.end
      yield* TestClock.adjust("1 millis")
      const before = yield* scrape("api")
      keepsTheLaw(before)
      assert.deepStrictEqual([before.accepted, before.open, before.queued, before.exchangesOpen], [9, 6, 0, 1])
      assert.deepStrictEqual(before.endedBy, { failed: 1, detached: 1, endedByPeer: 1 })
      const held = yield* transport.connect
      assert.strictEqual((yield* scrape("api")).queued, 1)
      const closing = yield* start(Effect.flip(listener.close()))
      yield* TestClock.adjust("2 seconds")
      const error = yield* Fiber.join(closing)
      const after = yield* scrape("api")
      keepsTheLaw(after)
      assert.deepStrictEqual(after.endedBy, {
        failed: 1,
        detached: 1,
        endedByPeer: 1,
        cut: 2,
        drained: 1,
        idle: 3,
        neverAccepted: 1
      })
      assert.deepStrictEqual([after.open, after.queued, after.exchangesOpen, after.exchanges], [0, 0, 0, 3])
      assert.strictEqual(error._tag, "OperationTimedOut")
      assert.strictEqual(yield* held.ended, "Fin")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* scrape("api")).ended, 10)
    })))

  it.effect("a connection that asked for the close ends once, when it does", () =>
    metered(Effect.gen(function*() {
      const { listener, transport } = yield* listening()
      yield* start(Effect.ignore(Listener.serve(listener, () => Effect.andThen(listener.close(), Effect.never))))
      yield* transport.connect
      yield* listener.closed
      const closed = yield* scrape("memory")
      keepsTheLaw(closed)
      assert.deepStrictEqual([closed.open, closed.endedBy], [1, {}])
      yield* TestClock.adjust("100 millis")
      const gone = yield* scrape("memory")
      assert.deepStrictEqual([gone.open, gone.endedBy], [0, { closer: 1 }])
    })))

  it.effect("refused connections, by the limit that was met, and never among the accepted", () =>
    metered(Effect.gen(function*() {
      const refusedBy = Effect.fnUntraced(function*(admission: Listener.ListenerOptions["admission"]) {
        const transport = yield* MemoryTransport.make()
        const listener = yield* listen(withRemotes(transport, () => ipOf(1)), { drain: quick, admission })
        yield* start(Effect.ignore(Listener.serve(listener, echo)))
        yield* Effect.forEach([1, 2, 3], () => transport.connect)
        return listener
      })
      yield* refusedBy({ maxConnections: 1, overflow: "reject" })
      yield* refusedBy({ maxConnections: 1, maxQueued: 0 })
      yield* refusedBy({ maxPerRemote: 2 })
      yield* refusedBy({ acceptRate: { limit: 2, interval: 1000 }, overflow: "reject" })
      const now = yield* scrape("memory")
      keepsTheLaw(now)
      assert.deepStrictEqual(now.refusedBy, { maxConnections: 2, maxQueued: 2, maxPerRemote: 1, acceptRate: 1 })
      assert.strictEqual(now.accepted, 6)
    })))

  it.effect("exchanges and how long they took, those that were cut included", () =>
    metered(Effect.gen(function*() {
      const { listener, transport } = yield* listening()
      yield* start(Effect.ignore(Listener.serve(listener, (connection) =>
        connection.id === 1
          ? Effect.gen(function*() {
            yield* connection.exchange("quick", Effect.sleep(3))
            const end = connection.beginExchange("slow")
            yield* Effect.sleep("2 seconds")
            end()
            end()
          })
          : connection.exchange("cut", Effect.never))))
      yield* Effect.forEach([1, 2], () => transport.connect)
      yield* TestClock.adjust("1 second")
      const now = yield* scrape("memory")
      keepsTheLaw(now)
      assert.deepStrictEqual([now.exchanges, now.exchangesOpen], [3, 2])
      yield* TestClock.adjust("1500 millis")
      yield* listener.abort
      keepsTheLaw(yield* scrape("memory"))
      const metric = Metric.withAttributes(ListenerMetrics.exchangeDuration, { listener: "memory" })
      const { buckets, count, max, min, sum } = yield* Metric.value(metric)
      assert.deepStrictEqual([count, min, max], [3, 0.003, 2.5])
      assert.closeTo(sum, 0.003 + 2 + 2.5, 1e-9)
      const at = new Map(buckets)
      assert.deepStrictEqual([at.get(0.0025), at.get(0.005), at.get(1), at.get(2.5), at.get(300)], [0, 1, 1, 3, 3])
    })))

  it.effect("accept errors by their code", () =>
    metered(Effect.gen(function*() {
      const { listener, transport } = yield* listening()
      const fail = (code: string | undefined, times: number) =>
        transport.failAccept(
          new Transport.TransportAcceptError({ class: "transient", code, cause: "test" }),
          times
        )
      assert.deepStrictEqual((yield* scrape("memory")).acceptErrors, {})
      yield* fail("ECONNABORTED", 3)
      yield* fail("EMFILE", 2)
      yield* fail(undefined, 1)
      const accepting = yield* start(Effect.scoped(listener.accept))
      yield* transport.connect
      yield* Fiber.join(accepting)
      assert.deepStrictEqual((yield* scrape("memory")).acceptErrors, { ECONNABORTED: 3, EMFILE: 2, unknown: 1 })
    })))

  it.effect("a close: its stage, how long, what it waits for; what it swept and left behind", () =>
    metered(Effect.gen(function*() {
      const { listener, transport } = yield* listening({ drain: { ...quick, lameDuck: "2 seconds" } })
      yield* start(Effect.ignore(Listener.serve(listener, () => Effect.uninterruptible(Effect.sleep("1 hour")))))
      yield* transport.connect
      const stage = Effect.map(
        scrape("memory"),
        (now) => [now.drainStage, now.drainSeconds, now.drainRemaining, now.ready]
      )
      assert.deepStrictEqual(yield* stage, [0, 0, 0, 1])
      const closing = yield* start(Effect.flip(listener.close()))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* stage, [1, 1, 1, 0])
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* stage, [3, 5, 1, 0])
      yield* TestClock.adjust("7050 millis")
      assert.deepStrictEqual(yield* stage, [4, 12.05, 1, 0])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* stage, [0, 12.1, 0, 0])
      const after = yield* scrape("memory")
      assert.deepStrictEqual([after.closes, after.leftBehind], [{ DeadlineExceeded: 1 }, 1])
      yield* listener.reset
      yield* listener.open
      assert.deepStrictEqual(yield* stage, [0, 12.1, 0, 1])
      yield* listener.close({ lameDuck: 0 })
      assert.deepStrictEqual((yield* scrape("memory")).closes, { DeadlineExceeded: 1, Drained: 1 })
      yield* TestClock.adjust("1 hour")
    })))

  it.effect("what the sweep took", () =>
    metered(Effect.gen(function*() {
      const { listener, transport } = yield* listening({ memory: { resumeLate: true } })
      yield* start(Effect.ignore(Listener.serve(listener, echo, { idle: "pull" })))
      yield* Effect.forEach([1, 2, 3], () => transport.connect)
      const report = yield* listener.close()
      assert.isAbove(report.swept, 0)
      assert.strictEqual((yield* scrape("memory")).swept, report.swept)
    })))

  it.effect("listeners of one name together, others and other registries apart, and all stay when they are gone", () =>
    metered(Effect.gen(function*() {
      const use = (name: string) =>
        Effect.scoped(Effect.gen(function*() {
          const transport = yield* MemoryTransport.make()
          yield* listen(transport, { name, drain: quick })
          yield* transport.connect
          return yield* scrape(name)
        }))
      const other = yield* metered(use("a"))
      assert.strictEqual(other.accepted, 1)
      const transport = yield* MemoryTransport.make()
      const one = yield* listen(transport, { name: "a", drain: quick })
      yield* transport.connect
      assert.deepStrictEqual([(yield* use("a")).open, (yield* use("b")).open], [2, 1])
      const left = yield* scrape("a")
      assert.deepStrictEqual([left.accepted, left.open, left.queued, left.ready], [2, 1, 1, 1])
      yield* one.abort
      const { accepted, open, ready } = yield* scrape("a")
      assert.deepStrictEqual([accepted, open, ready], [2, 0, 0])
    })))

  it.effect("with the attributes that hold where it is made", () =>
    metered(Effect.gen(function*() {
      yield* Effect.provideService(
        Effect.flatMap(MemoryTransport.make(), (transport) => Listener.make(transport, { name: "api" })),
        Metric.CurrentMetricAttributes,
        { zone: "a" }
      )
      const series = yield* Metric.snapshot
      assert.isAbove(series.length, 20)
      for (const one of series) {
        assert.deepInclude(one.attributes, { listener: "api", zone: "a" })
        assert.match(one.id, /^listener_[a-z_]+$/)
        assert.isNotEmpty(one.description)
      }
    })))
})

describe("accepted = ended + open at every scrape", () => {
  it.effect("also in the handlers, refusals and finalizers that run in the middle of it", () =>
    metered(Effect.gen(function*() {
      let looked = 0
      const look = Effect.map(scrape("memory"), (now) => {
        looked++
        keepsTheLaw(now)
      })
      const transport = yield* MemoryTransport.make()
      const listener = yield* listen(transport, {
        drain: { ...quick, deadline: "1 second" },
        admission: { maxConnections: 2, maxQueued: 2 }
      })
      yield* start(Effect.ignore(Listener.serve(
        listener,
        (connection) =>
          Effect.gen(function*() {
            yield* Effect.addFinalizer(() => look)
            yield* look
            yield* connection.draining
            yield* look
            return yield* Effect.onInterrupt(Effect.never, () => look)
          }),
        { refuse: () => look }
      )))
      yield* Effect.forEach([1, 2, 3, 4, 5], () => transport.connect)
      assert.strictEqual(looked, 3)
      const closing = yield* start(Effect.exit(listener.close()))
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(closing)))
      assert.strictEqual(looked, 3 + 2 + 2 + 4)
      assert.deepStrictEqual((yield* scrape("memory")).endedBy, { cut: 2, neverAccepted: 2 })
    })))

  it.effect.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "after random traffic with resets, time-outs, rejects and aborts, seed %i",
    (seed) =>
      metered(
        Effect.gen(function*() {
          const transport = yield* MemoryTransport.make()
          const detached = yield* Scope.make()
          const listener = yield* Listener.make(transport, {
            drain: { ...quick, deadline: "200 millis", abortGrace: "20 millis" },
            admission: { maxConnections: 10, maxQueued: 5 },
            timeouts: { firstByte: "100 millis", inactivity: "300 millis" }
          })
          const handler = Effect.fnUntraced(function*(connection: Connection.Connection) {
            switch (yield* Random.nextIntBetween(0, 8)) {
              case 0:
                return yield* Effect.fail("no")
              case 1:
                return yield* Effect.die("no")
              case 2:
                return yield* connection.exchange("stuck", Effect.never)
              case 3:
                yield* connection.detach(detached)
                return yield* Effect.never
              case 4:
                connection.beginExchange("left open")
                return yield* Effect.sleep("50 millis")
              case 5:
                yield* Effect.sleep("30 millis")
                return yield* Effect.ignore(listener.close())
              default:
                return yield* echo(connection)
            }
          })
          let clients: Array<MemoryTransport.Client> = []
          let lives = 0
          const life = Effect.gen(function*() {
            lives++
            yield* listener.open
            yield* Effect.forkChild(Effect.ignore(Listener.serve(listener, handler, { idle: "pull" })), {
              startImmediately: true
            })
            for (let i = 0; i < 60; i++) {
              const act = yield* Random.nextIntBetween(0, 20)
              const client = clients[yield* Random.nextIntBetween(0, clients.length + 1)]
              if (act < 9) {
                const connected = yield* Effect.result(transport.connect)
                if (connected._tag === "Success") clients.push(connected.success)
              } else if (act < 12) yield* client === undefined ? Effect.void : Effect.ignore(client.write("hi"))
              else if (act < 14) yield* client === undefined ? Effect.void : client.reset
              else if (act < 16) yield* client === undefined ? Effect.void : client.end
              else if (act === 16) {
                const accepting = yield* start(Effect.ignore(Effect.scoped(listener.accept)))
                yield* Fiber.interrupt(accepting)
              } else if (act === 17) {
                yield* listener.setAdmission({
                  maxConnections: yield* Random.nextIntBetween(1, 12),
                  overflow: (yield* Random.nextBoolean) ? "wait" : "reject"
                })
              } else yield* TestClock.adjust(yield* Random.nextIntBetween(1, 60))
              const now = yield* scrape("memory")
              keepsTheLaw(now)
            }
            if (yield* Random.nextBoolean) yield* listener.abort
            const closing = yield* start(Effect.exit(listener.close()))
            yield* TestClock.adjust("1 second")
            yield* Fiber.join(closing)
            const now = yield* scrape("memory")
            keepsTheLaw(now)
            assert.deepStrictEqual([now.open, now.queued, now.exchangesOpen], [0, 0, 0])
            yield* listener.reset
            clients = []
          })
          for (let i = 0; i < 10; i++) yield* life
          const end = yield* scrape("memory")
          assert.isAbove(end.accepted, 50)
          assert.strictEqual(Object.values(end.closes).reduce((a, b) => a + b, 0), lives)
          yield* Scope.close(detached, Exit.void)
        }).pipe(Random.withSeed(seed))
      )
  )
})

describe("the Grafana dashboard", () => {
  const dashboard: unknown = JSON.parse(
    Fs.readFileSync(new URL("../../../dashboards/listener.json", import.meta.url), "utf8")
  )
  /** Every query in it, wherever it stands. */
  const queries = (at: unknown): ReadonlyArray<string> =>
    Array.isArray(at)
      ? at.flatMap(queries)
      : typeof at === "object" && at !== null
      ? Object.entries(at).flatMap(([key, value]) =>
        typeof value === "string" && (key === "expr" || key === "query") ? [value] : queries(value)
      )
      : []

  it.effect("asks only for metrics that exist, and for all of them", () =>
    metered(Effect.gen(function*() {
      const holder = yield* makeHolder
      const { listener, transport } = yield* listening()
      yield* start(Effect.ignore(Listener.serve(listener, holder.handler)))
      yield* transport.failAccept(
        new Transport.TransportAcceptError({ class: "transient", code: "ECONNABORTED", cause: "test" })
      )
      const client = yield* transport.connect
      yield* client.write("x")
      yield* holder.entered
      const text = yield* PrometheusMetrics.format()
      const exist = new Set(text.split("\n").flatMap((line) => /^([a-z_]+)(?:\{| )/.exec(line)?.[1] ?? []))
      const asked = new Set(queries(dashboard).flatMap((query) => query.match(/\blistener_[a-z_]+/g) ?? []))
      assert.isAbove(asked.size, 10)
      for (const name of asked) assert.isTrue(exist.has(name), name)
      const families = new Set(Array.from(exist, (name) => name.replace(/_(bucket|sum|count)$/, "")))
      const shown = new Set(Array.from(asked, (name) => name.replace(/_(bucket|sum|count)$/, "")))
      assert.deepStrictEqual(Array.from(families).filter((name) => !shown.has(name)), [])
      yield* holder.release
    })))

  it.effect("asks only for labels and values that exist", () =>
    metered(Effect.gen(function*() {
      yield* Effect.flatMap(MemoryTransport.make(), (transport) => Listener.make(transport))
      const labels = new Map<string, Set<string>>()
      for (const { attributes } of yield* Metric.snapshot) {
        for (const [name, value] of Object.entries(attributes ?? {})) {
          labels.set(name, (labels.get(name) ?? new Set()).add(value))
        }
      }
      labels.set("code", new Set())
      labels.set("le", new Set())
      // Prometheus' own
      labels.set("instance", new Set())
      for (const query of queries(dashboard)) {
        for (const [, name, value] of query.matchAll(/\b([a-z]+)=~?"([^"]*)"/g)) {
          assert.isTrue(labels.has(name!), `${name} in ${query}`)
          if (!value!.startsWith("$")) assert.isTrue(labels.get(name!)?.has(value!), `${value} in ${query}`)
        }
        for (const [, names] of query.matchAll(/\bby \(([^)]*)\)/g)) {
          for (const name of names!.split(",")) assert.isTrue(labels.has(name.trim()), `${name} in ${query}`)
        }
      }
    })))
})
