import { Listener } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { spreadWindow, turnOf } from "../src/internal/connection/draining/drainSpread.ts"
import { answering, echo, makeHolder } from "./support/handlers.ts"
import { listen, listening, quick, serving, start, untilStage } from "./support/listening.ts"

describe("a turn", () => {
  it.each([
    // from, spread, deadline at, until
    [0, 10_000, 20_000, 10_000],
    [5000, 10_000, 25_000, 15_000],
    [0, 10_000, 10_000, 7500],
    [0, 10_000, undefined, 10_000],
    [0, 10_000, Infinity, 10_000],
    [0, 10_000, 0, 0],
    [9000, 10_000, 8000, 9000],
    [9000, 0, 20_000, 9000]
  ])("from %j, spread over %j, deadline at %j: until %j", (from, spread, deadlineAt, until) => {
    assert.deepStrictEqual(spreadWindow(from, spread, deadlineAt), { from, until })
  })

  it.each([
    // from, until, ordinal, count, turn
    [100, 1100, 0, 10, 100],
    [100, 1100, 5, 10, 600],
    [100, 1100, 9, 10, 1000],
    [100, 1100, 0, 1, 100],
    [100, 100, 9, 10, 100],
    [100, 1100, 0, 0, 100]
  ])("from %i until %i, number %i of %i: %i", (from, until, ordinal, count, turn) => {
    assert.strictEqual(turnOf({ from, until }, ordinal, count), turn)
  })
})

const patient = { ...quick, deadline: "20 seconds" } as const

/** `count` clients, and in which second of the virtual clock each is told goodbye. */
const crowd = (count: number, connect: Effect.Effect<MemoryTransport.Client, unknown, Scope.Scope>) =>
  Effect.gen(function*() {
    const clients = yield* Effect.forEach(Array.from({ length: count }), () => connect)
    const ends: Array<number> = []
    for (const client of clients) {
      yield* start(Effect.andThen(client.ended, Effect.map(Clock.currentTimeMillis, (now) => ends.push(now))))
    }
    return { clients, ends }
  })

const perSecond = (times: ReadonlyArray<number>, from: number) => {
  const seconds: Record<number, number> = {}
  for (const time of times) {
    const second = Math.floor((time - from) / 1000)
    seconds[second] = (seconds[second] ?? 0) + 1
  }
  return Object.values(seconds)
}

/** The clock goes on in small steps, so that what a step begins takes place in it. */
const pass = (millis: number) =>
  Effect.forEach(Array.from({ length: millis / 100 }), () => TestClock.adjust(100), { discard: true })

describe("the spread of a drain", () => {
  it.effect("1,000 idle connections are told evenly over it, and the close ends with the last", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo, {
        drain: { ...patient, spread: "10 seconds" },
        idle: "pull"
      })
      const { ends } = yield* crowd(1000, transport.connect)
      const from = yield* Clock.currentTimeMillis
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* pass(10_000)
      const report = yield* Fiber.join(closing)
      const seconds = perSecond(ends, from)
      assert.strictEqual(ends.length, 1000)
      assert.strictEqual(seconds.length, 10)
      // one of a whole second may fall to the next
      for (const count of seconds) assert.isAtMost(Math.abs(count - 100), 1)
      assert.deepInclude(report, { outcome: "Drained" })
      assert.deepInclude(report.connections, { total: 1000, idle: 1000 })
      assert.isAtMost(report.duration, 10_000)
    }))

  it.effect("none is told after the deadline: three quarters of it are the longest spread", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo, {
        drain: { ...patient, deadline: "4 seconds", spread: "1 minute" },
        idle: "pull"
      })
      const { ends } = yield* crowd(300, transport.connect)
      const from = yield* Clock.currentTimeMillis
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* pass(3000)
      const report = yield* Fiber.join(closing)
      assert.deepInclude(report, { outcome: "Drained" })
      assert.strictEqual(ends.length, 300)
      assert.isAtMost(Math.max(...ends) - from, 3000)
    }))

  it.effect("the end of its owner, with a nearer deadline, spreads the rest over what is left", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const owner = yield* Scope.make()
      const listener = yield* Scope.provide(
        Listener.listen(transport, { drain: { ...patient, deadline: "2 seconds" } }),
        owner
      )
      yield* start(Listener.serve(listener, echo, { idle: "pull" }))
      const { ends } = yield* crowd(100, transport.connect)
      const closing = yield* start(listener.close({ deadline: "20 seconds", spread: "10 seconds" }))
      yield* untilStage(listener, "Draining")
      yield* pass(5000)
      assert.isAtMost(Math.abs(ends.length - 50), 1)
      const from = yield* Clock.currentTimeMillis
      yield* start(Scope.close(owner, Exit.void))
      yield* pass(1500)
      const { connections, outcome } = yield* Fiber.join(closing)
      assert.deepStrictEqual([outcome, connections.idle, ends.length], ["Drained", 100, 100])
      assert.isAtMost(Math.max(...ends) - from, 1500)
      // not all at once either
      assert.isAtLeast(new Set(ends.slice(50)).size, 10)
    }))

  it.effect("a connection is served until its turn, and what it asks for then is answered", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo, {
        drain: { ...patient, spread: "10 seconds" },
        idle: "pull"
      })
      const { clients } = yield* crowd(10, transport.connect)
      const last = clients[9]!
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      for (let second = 0; second < 9; second++) {
        yield* last.write("hello")
        assert.strictEqual(yield* last.readText(9), "got hello")
        yield* pass(1000)
      }
      assert.strictEqual(yield* last.ended, "Fin")
      assert.deepInclude(yield* Fiber.join(closing), { outcome: "Drained" })
    }))

  it.effect("the drain ends when all have gone by themselves, whosever turn has not come", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo, {
        drain: { ...patient, spread: "10 seconds" },
        idle: "pull"
      })
      const { clients } = yield* crowd(10, transport.connect)
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* pass(1000)
      yield* Effect.forEach(clients, (client) => client.end)
      yield* pass(100)
      const { connections, duration, outcome } = yield* Fiber.join(closing)
      assert.strictEqual(outcome, "Drained")
      assert.deepStrictEqual([connections.total, connections.cut], [10, 0])
      assert.isAtMost(duration, 1100)
    }))

  it.effect("an exchange that goes on past its turn is waited for, and cut at the deadline", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening({ drain: { ...patient, spread: "10 seconds" } })
      const { entered, handler } = yield* makeHolder
      yield* start(Listener.serve(listener, handler, { idle: "pull" }))
      const { clients } = yield* crowd(5, transport.connect)
      yield* clients[2]!.write("x")
      yield* entered
      const closing = yield* start(Effect.flip(listener.close()))
      yield* untilStage(listener, "Draining")
      yield* pass(20_000)
      yield* pass(200)
      const error = yield* Fiber.join(closing)
      if (error._tag !== "OperationTimedOut") assert.fail(error._tag)
      assert.strictEqual(error.report?.connections.cut, 1)
      assert.strictEqual(error.report?.connections.idle, 4)
    }))

  it.effect("a lame duck tells all at once, and ends none before the drain", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const listener = yield* listen(transport, {
        drain: { ...patient, lameDuck: "2 seconds", spread: "10 seconds" }
      })
      let told = 0
      yield* start(Listener.serve(
        listener,
        (connection) =>
          Effect.andThen(
            Effect.forkScoped(Effect.tap(connection.draining, () => Effect.sync(() => told++))),
            answering((text, write) => write(text))(connection)
          ),
        { idle: "pull" }
      ))
      const { ends } = yield* crowd(100, transport.connect)
      const closing = yield* start(listener.close())
      yield* pass(100)
      assert.deepStrictEqual([told, ends.length], [100, 0])
      yield* pass(1900)
      yield* untilStage(listener, "Draining")
      yield* pass(5000)
      assert.isAtMost(Math.abs(ends.length - 50), 2)
      yield* pass(5000)
      assert.deepInclude(yield* Fiber.join(closing), { outcome: "Drained" })
    }))

  it.effect("no timer is left of an abort in the middle of it", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo, {
        drain: { ...patient, spread: "10 seconds" },
        idle: "pull"
      })
      yield* crowd(100, transport.connect)
      const closing = yield* start(Effect.flip(listener.close()))
      yield* untilStage(listener, "Draining")
      yield* pass(1000)
      yield* listener.abort
      yield* pass(200)
      assert.strictEqual((yield* Fiber.join(closing))._tag, "OperationAborted")
      assert.strictEqual(yield* transport.open, 0)
    }))
})
