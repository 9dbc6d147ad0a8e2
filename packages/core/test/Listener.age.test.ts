import { Listener } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Random, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { agePosition, ageStep, oldAt } from "../src/internal/connection/draining/ageLimit.ts"
import { echo, makeHolder } from "./support/handlers.ts"
import { listen, listening, serving, start } from "./support/listening.ts"

describe("an age", () => {
  it.each([
    // max, jitter, since, position, old at
    [1000, 0, 5000, 0, 6000],
    [1000, 0, 5000, 0.9, 6000],
    [1000, 100, 5000, 0, 5900],
    [1000, 100, 5000, 0.5, 6000],
    [1000, 100, 5000, 0.75, 6050],
    [1000, 1000, 5000, 0, 5000]
  ])("of %i ± %i since %i at position %d ends at %i", (max, jitter, since, position, at) => {
    assert.strictEqual(oldAt({ max, jitter }, since, position), at)
  })

  it("connections that follow each other stand evenly apart, whatever the seed", () => {
    for (const seed of [0, 0.3, 0.999]) {
      const tenths = Array.from({ length: 10 }, () => 0)
      for (let id = 1; id <= 1000; id++) tenths[Math.floor(agePosition(seed, id) * 10)]!++
      for (const count of tenths) assert.isAtMost(Math.abs(count - 100), 3)
    }
  })

  it.each([[1000, 10], [100_000, 1000], [3_600_000, 1000]])("of %i ms is looked at each %i ms", (max, step) => {
    assert.strictEqual(ageStep({ max, jitter: 0 }), step)
  })
})

const age = { max: "10 minutes", jitter: 0.1 } as const
const second = 1000
const minute = 60 * second

const pass = (millis: number) =>
  Effect.forEach(Array.from({ length: millis / second }), () => TestClock.adjust(second), { discard: true })

const crowd = (count: number, connect: Effect.Effect<MemoryTransport.Client, unknown, Scope.Scope>) =>
  Effect.gen(function*() {
    const clients = yield* Effect.forEach(Array.from({ length: count }), () => connect)
    const ends = new Map<number, number>()
    for (const [index, client] of clients.entries()) {
      yield* start(
        Effect.andThen(client.ended, Effect.map(Clock.currentTimeMillis, (now) => ends.set(index, now)))
      )
    }
    return { clients, ends }
  })

/** When each of 200 connections is told, with this seed. */
const lives = (seed: string) =>
  Effect.gen(function*() {
    const { transport } = yield* serving(echo, { timeouts: { age }, drain: { linger: { idle: 0 } }, idle: "pull" })
    const from = yield* Clock.currentTimeMillis
    const { ends } = yield* crowd(200, transport.connect)
    yield* pass(9 * minute - second)
    assert.strictEqual(ends.size, 0)
    yield* pass(2 * minute + 2 * second)
    return Array.from({ length: 200 }, (_, index) => (ends.get(index) ?? Infinity) - from)
  }).pipe(Effect.scoped, Random.withSeed(seed))

describe("timeouts.age", () => {
  it.effect("connections that began together end apart, within the jitter, and the same with the same seed", () =>
    Effect.gen(function*() {
      const one = yield* lives("one")
      for (const life of one) assert.isTrue(life >= 9 * minute && life <= 11 * minute + 2 * second, `${life}`)
      const tenths = Array.from({ length: 10 }, () => 0)
      for (const life of one) tenths[Math.min(9, Math.floor((life - 9 * minute) / (12 * second)))]!++
      for (const count of tenths) assert.isAtMost(Math.abs(count - 20), 5)
      assert.deepStrictEqual(yield* lives("one"), one)
      assert.notDeepEqual(yield* lives("two"), one)
    }))

  it.effect("one that is busy then is told when its exchange has been answered", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening({ timeouts: { age }, drain: { linger: { idle: 0 } } })
      const { entered, handler, release } = yield* makeHolder
      yield* start(Listener.serve(listener, handler, { idle: "pull" }))
      const client = yield* transport.connect
      yield* client.write("x")
      const connection = yield* entered
      yield* pass(15 * minute)
      assert.strictEqual(yield* client.state, "Open")
      // its handler has been told
      yield* connection.draining
      yield* release
      yield* pass(second)
      assert.strictEqual(yield* client.readAllText, "released x")
      assert.strictEqual(yield* client.ended, "Fin")
    }))

  it.effect("those that come later live as long, and the listener goes on accepting", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const listener = yield* listen(transport, {
        timeouts: { age: { max: "10 minutes", jitter: 0 } },
        drain: { linger: { idle: 0 } }
      })
      yield* start(Listener.serve(listener, echo, { idle: "pull" }))
      const first = yield* transport.connect
      yield* pass(5 * minute)
      const next = yield* transport.connect
      yield* pass(5 * minute + 2 * second)
      assert.deepStrictEqual([yield* first.state, yield* next.state], ["Fin", "Open"])
      const third = yield* transport.connect
      yield* third.write("hi")
      assert.strictEqual(yield* third.readText(6), "got hi")
      yield* pass(5 * minute)
      assert.deepStrictEqual([yield* next.state, yield* third.state], ["Fin", "Open"])
      yield* pass(5 * minute + 2 * second)
      assert.strictEqual(yield* third.state, "Fin")
      // it begins again after a time without connections
      yield* pass(minute)
      const fourth = yield* transport.connect
      yield* pass(10 * minute + 2 * second)
      assert.strictEqual(yield* fourth.state, "Fin")
    }))

  it.effect("a handler that knows of no exchange is told, and not ended", () =>
    Effect.gen(function*() {
      const { transport } = yield* serving((connection) => connection.draining, {
        timeouts: { age },
        drain: { linger: { idle: 0 } }
      })
      const client = yield* transport.connect
      yield* pass(8 * minute)
      assert.strictEqual(yield* client.state, "Open")
      yield* pass(4 * minute)
      assert.strictEqual(yield* client.ended, "Fin")
    }))
})
