import { type Connection, Listener } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, References, Scope } from "effect"
import { NetAddress } from "effect/net"
import { TestClock } from "effect/testing"
import { AcceptRate } from "../src/internal/accept/acceptRate.ts"
import { EventLoopLag } from "../src/internal/accept/eventLoopLag.ts"
import type { ListenerImpl } from "../src/internal/lifecycle/listener.ts"
import { Timers } from "../src/internal/util/timers.ts"
import { echo } from "./support/handlers.ts"
import { listen, listening, quick, start } from "./support/listening.ts"
import { ipOf, withRemotes } from "./support/remotes.ts"

/** How many remotes a listener keeps anything of. */
const remotesOf = (listener: Listener.Listener): number =>
  // what a listener keeps of its remotes is its own affair, and this test's
  (listener as unknown as { readonly manager: ListenerImpl["manager"] }).manager.limits.remotes.size

/** How many timers it has. */
const timersOf = (listener: Listener.Listener): number =>
  // likewise
  (listener as unknown as { readonly manager: { readonly timers: { readonly due: ReadonlyMap<number, unknown> } } })
    .manager.timers.due.size

describe("maxPerRemote", () => {
  const serveFrom = Effect.fnUntraced(function*(
    remote: (n: number) => NetAddress.SocketAddress,
    admission: Listener.ListenerOptions["admission"]
  ) {
    const transport = yield* MemoryTransport.make({ backlog: 20_000 })
    const listener = yield* listen(withRemotes(transport, remote), { drain: quick, admission })
    yield* start(Effect.ignore(Listener.serve(listener, echo, { idle: "pull" })))
    return { transport, listener }
  })

  it.effect("refuses what comes over it, others are let in, and a place is free when one ends", () =>
    Effect.gen(function*() {
      // five of one, then one of another, then one more of the first
      const { listener, transport } = yield* serveFrom((n) => ipOf(n === 5 ? 2 : 1), { maxPerRemote: 2 })
      const clients = yield* Effect.forEach([0, 1, 2, 3, 4, 5], () => transport.connect)
      yield* TestClock.adjust("10 millis")
      assert.deepStrictEqual(
        yield* Effect.forEach(clients, (client) => client.state),
        ["Open", "Open", "Fin", "Fin", "Fin", "Open"]
      )
      yield* clients[0]!.end
      assert.strictEqual(yield* clients[0]!.ended, "Fin")
      const next = yield* transport.connect
      yield* next.write("hi")
      assert.strictEqual(yield* next.readText(6), "got hi")
      assert.strictEqual((yield* listener.dryRun).idle, 3)
    }))

  it.effect("a held connection counts, one that was refused or has left does not", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serveFrom(() => ipOf(1), { maxPerRemote: 2, maxConnections: 1 })
      const first = yield* transport.connect
      const held = yield* transport.connect
      const refused = yield* transport.connect
      assert.strictEqual(yield* refused.ended, "Fin")
      assert.strictEqual((yield* listener.dryRun).queued, 1)
      yield* first.end
      yield* held.write("hi")
      assert.strictEqual(yield* held.readText(6), "got hi")
      yield* transport.connect
      assert.strictEqual((yield* listener.dryRun).queued, 1)
    }))

  it.effect("nothing is kept of 10,000 remotes that have gone, however they went", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serveFrom((n) => ipOf(n), { maxPerRemote: 1, maxConnections: 5000 })
      const ends = [
        (client: MemoryTransport.Client) => client.end,
        (client: MemoryTransport.Client) => client.reset
      ]
      for (let batch = 0; batch < 10; batch++) {
        const clients = yield* Effect.forEach(Array.from({ length: 1000 }), () => transport.connect)
        assert.strictEqual(remotesOf(listener), 1000)
        for (const [i, client] of clients.entries()) yield* ends[i % 2]!(client)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* transport.open, 0)
      }
      assert.strictEqual(remotesOf(listener), 0)
    }))

  it.effect("nor of one that is held when the listener closes, is cut, or is detached", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const transport = yield* MemoryTransport.make()
      const listener = yield* listen(withRemotes(transport, ipOf), {
        drain: { ...quick, deadline: "1 second" },
        admission: { maxPerRemote: 1, maxConnections: 2 }
      })
      yield* start(Effect.ignore(Listener.serve(listener, (connection) =>
        connection.id === 1
          ? Effect.andThen(connection.detach(scope), Effect.never)
          : connection.exchange("stuck", Effect.never))))
      yield* Effect.forEach([1, 2, 3, 4, 5], () => transport.connect)
      assert.strictEqual(remotesOf(listener), 4)
      const closing = yield* start(Effect.flip(listener.close()))
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(closing)
      assert.strictEqual(error._tag, "OperationTimedOut")
      assert.strictEqual(remotesOf(listener), 0)
      yield* Scope.close(scope, Exit.void)
    }))

  it.effect("a Unix socket's clients have no address to be told apart by", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serveFrom(() => NetAddress.unixPathAddress("/run/api.sock"), {
        maxPerRemote: 1
      })
      yield* Effect.forEach([1, 2, 3], () => transport.connect)
      assert.strictEqual((yield* listener.dryRun).idle, 3)
    }))

  it.effect("set while running it counts what is there", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serveFrom(() => ipOf(1), { maxConnections: 2 })
      yield* Effect.forEach([1, 2, 3], () => transport.connect)
      assert.strictEqual(remotesOf(listener), 0)
      yield* listener.setAdmission({ maxPerRemote: 9 })
      // and counts none twice
      yield* listener.setAdmission({ maxPerRemote: 3 })
      assert.strictEqual(yield* Effect.flatMap(transport.connect, (client) => client.ended), "Fin")
      // none is ended by a lower one
      yield* listener.setAdmission({ maxPerRemote: 1 })
      const { idle, queued } = yield* listener.dryRun
      assert.deepStrictEqual([idle, queued], [2, 1])
      yield* listener.setAdmission({ maxPerRemote: Infinity })
      yield* transport.connect
      assert.strictEqual((yield* listener.dryRun).queued, 2)
    }))
})

describe("acceptRate", () => {
  /** When each connection was given to its handler, in ms. */
  const serveTimed = Effect.fnUntraced(function*(admission: Listener.ListenerOptions["admission"]) {
    const { listener, transport } = yield* listening({ admission, timeouts: { queued: Infinity } })
    const times: Array<number> = []
    const handler = (connection: Connection.Connection) =>
      Effect.andThen(
        Effect.map(Clock.currentTimeMillis, (now) => {
          times.push(now)
        }),
        echo(connection)
      )
    yield* start(Effect.ignore(Listener.serve(listener, handler, { idle: "pull" })))
    return { transport, listener, times }
  })

  it.effect("at most the limit in any interval, the others held and served in their turn", () =>
    Effect.gen(function*() {
      const { times, transport } = yield* serveTimed({ acceptRate: { limit: 5, interval: "1 second" } })
      const clients = yield* Effect.forEach(Array.from({ length: 20 }), () => transport.connect)
      for (const [i, client] of clients.entries()) yield* client.write(`${i}`)
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(times.length, 5)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(times, [0, 1000, 2000, 3000].flatMap((at) => [at, at, at, at, at]))
      for (const [i, client] of clients.entries()) assert.strictEqual(yield* client.readText(), `got ${i}`)
    }))

  it.effect("slides: those that came apart make room apart", () =>
    Effect.gen(function*() {
      const { times, transport } = yield* serveTimed({ acceptRate: { limit: 2, interval: "1 second" } })
      yield* transport.connect
      yield* TestClock.adjust("300 millis")
      yield* transport.connect
      yield* TestClock.adjust("100 millis")
      yield* Effect.forEach([1, 2, 3], () => transport.connect)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(times, [0, 300, 1000, 1300, 2000])
    }))

  it.effect("wait: beyond maxQueued they are refused", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serveTimed({
        acceptRate: { limit: 1, interval: "1 second" },
        maxQueued: 2
      })
      const clients = yield* Effect.forEach([1, 2, 3, 4], () => transport.connect)
      assert.strictEqual(yield* clients[3]!.ended, "Fin")
      assert.strictEqual((yield* listener.dryRun).queued, 2)
    }))

  it.effect("reject: out of turn they are refused at once", () =>
    Effect.gen(function*() {
      const { times, transport } = yield* serveTimed({
        acceptRate: { limit: 2, interval: "1 second" },
        overflow: "reject"
      })
      const clients = yield* Effect.forEach([1, 2, 3], () => transport.connect)
      assert.strictEqual(yield* clients[2]!.ended, "Fin")
      yield* TestClock.adjust("1 second")
      const next = yield* transport.connect
      yield* next.write("hi")
      assert.strictEqual(yield* next.readText(6), "got hi")
      assert.deepStrictEqual(times, [0, 0, 1000])
    }))

  it.effect("a connection that waits for its turn when the listener closes gets a FIN and is counted neverAccepted", () =>
    Effect.gen(function*() {
      const { listener, times, transport } = yield* serveTimed({ acceptRate: { limit: 1, interval: "1 second" } })
      const clients = yield* Effect.forEach([1, 2, 3], () => transport.connect)
      const report = yield* listener.close()
      assert.deepStrictEqual(yield* Effect.forEach(clients, (client) => client.ended), ["Fin", "Fin", "Fin"])
      assert.deepStrictEqual([report.connections.idle, report.connections.neverAccepted], [1, 2])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(times, [0])
    }))

  it.effect("a connection that an interrupted accept gave back is counted once", () =>
    Effect.gen(function*() {
      let givenBack = 0
      // a fiber that yields after every few operations can be interrupted between being given a connection and owning it
      for (const operations of [3, 4, 5, 6]) {
        for (let turns = 0; turns < 32; turns++) {
          const transport = yield* MemoryTransport.make({ resumeLate: true })
          const limit = turns < 16 ? 1 : 2
          const listener = yield* listen(transport, {
            drain: quick,
            admission: { acceptRate: { limit, interval: "1 hour" } }
          })
          const accepting = yield* start(
            Effect.scoped(Effect.andThen(listener.accept, Effect.never)).pipe(
              Effect.provideService(References.MaxOpsBeforeYield, operations)
            )
          )
          const client = yield* transport.connect
          for (let turn = 0; turn < turns % 16; turn++) yield* Effect.yieldNow
          const given = (yield* listener.dryRun).waitingFor.length > 0
          yield* Fiber.interrupt(accepting)
          yield* Effect.yieldNow
          if (!given || (yield* client.state) === "Fin") continue
          givenBack++
          yield* transport.connect
          const taken = yield* Effect.forEach([1, 2, 3], () => start(Effect.scoped(listener.accept)))
          yield* transport.connect
          yield* TestClock.adjust("1 millis")
          assert.deepStrictEqual(taken.map((fiber) => fiber.pollUnsafe()?._tag), [
            "Success",
            limit === 2 ? "Success" : undefined,
            undefined
          ])
        }
      }
      assert.isAbove(givenBack, 0)
    }))

  it.effect("reject: a connection that nothing takes yet has its turn already", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      yield* listen(transport, {
        drain: quick,
        admission: { acceptRate: { limit: 2, interval: "1 second" }, overflow: "reject" }
      })
      const clients = yield* Effect.forEach([1, 2, 3], () => transport.connect)
      assert.strictEqual(yield* clients[2]!.ended, "Fin")
      assert.deepStrictEqual(yield* Effect.forEach(clients, (client) => client.state), ["Open", "Open", "Fin"])
    }))

  it.effect("setAdmission: a higher limit lets the waiting in at once, and none takes it away", () =>
    Effect.gen(function*() {
      const { listener, times, transport } = yield* serveTimed({ acceptRate: { limit: 1, interval: "1 hour" } })
      yield* Effect.forEach(Array.from({ length: 10 }), () => transport.connect)
      assert.strictEqual(times.length, 1)
      yield* listener.setAdmission({ acceptRate: { limit: 4, interval: "1 hour" } })
      assert.strictEqual(times.length, 4)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(timersOf(listener), 1)
      yield* listener.setAdmission({ acceptRate: { limit: 4, interval: "10 minutes" } })
      assert.strictEqual(times.length, 8)
      yield* listener.setAdmission({ acceptRate: { limit: Infinity, interval: "1 hour" } })
      assert.strictEqual(times.length, 10)
    }))

  it("with a lower limit as many have to go as are over it", () => {
    const rate = new AcceptRate(4, 1000)
    for (const at of [0, 100, 200, 300]) rate.admitted(at)
    assert.strictEqual(rate.nextAt(300), 1000)
    rate.change(2, 1000)
    assert.strictEqual(rate.nextAt(300), 1200)
    assert.isFalse(rate.allows(1199, 0))
    assert.isTrue(rate.allows(1200, 0))
  })

  it("remembers no more than the last interval", () => {
    const rate = new AcceptRate(100, 1000)
    for (let now = 0; now < 1_000_000; now += 7) {
      assert.isTrue(rate.allows(now, 0) === rate.nextAt(now) <= now)
      if (rate.allows(now, 0)) rate.admitted(now)
    }
    const times = (rate as unknown as { readonly times: ReadonlyArray<number> }).times
    assert.isBelow(times.length, 3000)
  })

  it("never lets more in than the limit in any interval, whatever comes when", () => {
    let seed = 42
    const random = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n
    for (let run = 0; run < 50; run++) {
      const limit = 1 + random(8)
      const interval = 1 + random(500)
      const rate = new AcceptRate(limit, interval)
      const admitted: Array<number> = []
      let now = 0
      for (let i = 0; i < 300; i++) {
        now += random(Math.ceil(interval / limit))
        if (random(3) === 0) now = Math.max(now, rate.nextAt(now))
        if (!rate.allows(now, 0)) continue
        rate.admitted(now)
        admitted.push(now)
      }
      for (let i = limit; i < admitted.length; i++) assert.isAtLeast(admitted[i]! - admitted[i - limit]!, interval)
    }
  })
})

describe("maxEventLoopLag", () => {
  const asked = (client: MemoryTransport.Client) => Effect.andThen(client.write("hi"), client.readText(6))

  const listenNoLater = Effect.gen(function*() {
    const { listener, transport } = yield* listening({ admission: { maxEventLoopLag: "100 millis" } })
    yield* start(Effect.ignore(Listener.serve(listener, echo, { idle: "pull" })))
    return { transport, listener }
  })

  it.live("refuses while the event loop is late", () =>
    Effect.gen(function*() {
      const { transport } = yield* listenNoLater
      const end = performance.now() + 300
      while (performance.now() < end);
      // nothing has run since: the delay so far counts
      const during = yield* transport.connect
      assert.strictEqual(yield* during.ended, "Fin")
    }))

  it.effect("lets in again when the event loop is not late any more; open connections stay", () =>
    Effect.gen(function*() {
      const clock = new LateClock()
      const { listener, transport } = yield* Effect.provideService(listenNoLater, Clock.Clock, clock)
      const before = yield* transport.connect
      assert.strictEqual(yield* asked(before), "got hi")
      clock.pass(300)
      const during = yield* transport.connect
      assert.strictEqual(yield* during.ended, "Fin")
      assert.strictEqual(yield* asked(before), "got hi")
      // what is due runs, and was late
      clock.wake()
      assert.strictEqual(yield* Effect.flatMap(transport.connect, (client) => client.ended), "Fin")
      clock.pass(25)
      clock.wake()
      const served = Effect.scoped(Effect.flatMap(transport.connect, asked))
      assert.strictEqual(yield* served, "got hi")
      // taken away, it is not measured any more
      yield* listener.setAdmission({ maxEventLoopLag: Infinity })
      clock.pass(300)
      assert.strictEqual(yield* served, "got hi")
    }))

  it.effect("is measured by a timer of its own, exactly; the delay of one that is overdue counts", () =>
    Effect.gen(function*() {
      const clock = new LateClock()
      const timers = new Timers(clock, yield* Effect.context<never>())
      const lag = new EventLoopLag(timers, () => clock.currentTimeMillisUnsafe())
      assert.strictEqual(lag.current, 0)
      lag.start(80)
      clock.pass(20)
      clock.wake()
      assert.strictEqual(lag.current, 0)
      clock.pass(25)
      assert.strictEqual(lag.current, 5)
      clock.pass(55)
      assert.strictEqual(lag.current, 60)
      clock.wake()
      assert.strictEqual(lag.current, 60)
      clock.pass(20)
      clock.wake()
      assert.strictEqual(lag.current, 0)
      lag.stop()
      clock.pass(880)
      assert.strictEqual(lag.current, 0)
    }))

  it.effect("keeps no timer when the listener is closed, aborted or never opened", () =>
    Effect.gen(function*() {
      const make = Effect.flatMap(MemoryTransport.make(), (transport) =>
        Listener.make(transport, { drain: quick, admission: { maxEventLoopLag: "1 second" } }))
      const closed = yield* make
      assert.strictEqual(timersOf(closed), 0)
      yield* closed.open
      assert.strictEqual(timersOf(closed), 1)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(timersOf(closed), 1)
      yield* closed.setAdmission({ maxEventLoopLag: Infinity })
      assert.strictEqual(timersOf(closed), 0)
      yield* closed.setAdmission({ maxEventLoopLag: "2 seconds" })
      assert.strictEqual(timersOf(closed), 1)
      yield* closed.close()
      assert.strictEqual(timersOf(closed), 0)
      const aborted = yield* make
      yield* aborted.open
      yield* aborted.abort
      assert.strictEqual(timersOf(aborted), 0)
    }))
})

/** A clock on which time passes when the test says so, and what is due wakes then, however late. */
class LateClock implements Clock.Clock {
  private now = 0
  private sleeping: Array<{ readonly dueAt: number; readonly woken: Deferred.Deferred<void> }> = []
  readonly currentTimeMillis = Effect.sync(() => this.now)
  readonly currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos = Effect.sync(() => this.monotonicTimeNanosUnsafe())

  currentTimeMillisUnsafe(): number {
    return this.now
  }

  currentTimeNanosUnsafe(): bigint {
    return BigInt(this.now) * 1_000_000n
  }

  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe()
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.suspend(() => {
      const woken = Deferred.makeUnsafe<void>()
      this.sleeping.push({ dueAt: this.now + Duration.toMillis(duration), woken })
      return Deferred.await(woken)
    })
  }

  pass(millis: number): void {
    this.now += millis
  }

  /** Wakes what is due. */
  wake(): void {
    const due = this.sleeping.filter(({ dueAt }) => dueAt <= this.now)
    this.sleeping = this.sleeping.filter(({ dueAt }) => dueAt > this.now)
    for (const { woken } of due) Deferred.doneUnsafe(woken, Exit.void)
  }
}

describe("setAdmission", () => {
  it.effect("names what is out of range, and changes nothing", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening({ admission: { maxConnections: 1 } })
      yield* start(Effect.ignore(Listener.serve(listener, echo)))
      const parameterOf = (options: Parameters<typeof listener.setAdmission>[0]) =>
        Effect.map(Effect.flip(listener.setAdmission(options)), (error) => error.parameter)
      assert.strictEqual(yield* parameterOf({ maxPerRemote: 0 }), "admission.maxPerRemote")
      assert.strictEqual(
        yield* parameterOf({ maxConnections: 9, acceptRate: { limit: 1, interval: 0 } }),
        "admission.acceptRate.interval"
      )
      assert.strictEqual(yield* parameterOf({ maxEventLoopLag: -1 }), "admission.maxEventLoopLag")
      yield* transport.connect
      yield* transport.connect
      assert.strictEqual((yield* listener.dryRun).queued, 1)
    }))

  it.effect("holds in the next life, too", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening()
      yield* listener.setAdmission({ maxConnections: 1, maxPerRemote: 2 })
      yield* listener.close()
      yield* listener.reset
      yield* listener.open
      yield* start(Effect.ignore(Listener.serve(listener, echo)))
      yield* transport.connect
      yield* transport.connect
      assert.strictEqual((yield* listener.dryRun).queued, 1)
      assert.strictEqual(yield* Effect.flatMap(transport.connect, (client) => client.ended), "Fin")
    }))
})

describe("a client that takes nothing of what is sent to it", () => {
  const serve = (
    options: Listener.ListenerOptions,
    handler: (connection: Connection.Connection) => Effect.Effect<unknown, unknown, Scope.Scope>
  ) =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make({ bufferSize: 16 })
      const listener = yield* listen(transport, options)
      yield* start(Listener.serve(listener, handler))
      return { transport, listener }
    })
  const write = (bytes: number) => (connection: Connection.Connection) =>
    Effect.flatMap(connection.socket.writer, (writer) => writer.write("x".repeat(bytes)))

  it.effect("is cut when it has taken nothing for timeouts.send, and a slow reader is not", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serve({
        timeouts: { send: "8 seconds" },
        drain: { linger: { total: "60 seconds" } }
      }, write(400))
      const stuck = yield* transport.connect
      const slow = yield* transport.connect
      for (let second = 0; second < 20; second++) {
        if (second < 7) assert.strictEqual(yield* stuck.state, "Open")
        yield* slow.read
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(yield* stuck.ended, "Reset")
      assert.strictEqual(yield* slow.state, "Open")
      assert.deepStrictEqual((yield* listener.connections).map(({ id }) => id), [2])
    }))

  it.effect("while it is said goodbye to, is cut when linger.total is over, and its place is free", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serve(
        { drain: { linger: { total: "2 seconds" } } },
        (connection) => Effect.forkDetach(Effect.ignore(write(400)(connection)), { startImmediately: true })
      )
      const stuck = yield* transport.connect
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* stuck.ended, "Reset")
      assert.deepStrictEqual(yield* listener.connections, [])
    }))
})
