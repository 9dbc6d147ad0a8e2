import { Listener, Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

/** A listener whose connections are introduced when the test says so, in the order in which they came. */
const listen = (options?: Listener.ListenerOptions) =>
  Effect.gen(function*() {
    const memory = yield* MemoryTransport.make()
    const introductions: Array<Deferred.Deferred<void>> = []
    const transport = Transport.mapConnections(memory, (connection) => {
      const introduced = Deferred.makeUnsafe<void>()
      introductions.push(introduced)
      return Transport.wrapConnection(connection, { introduced: Deferred.await(introduced) })
    })
    const served: Array<number> = []
    const listener = yield* Listener.listen(transport, options)
    yield* Effect.forkScoped(Listener.serve(listener, ({ id }) => Effect.sync(() => served.push(id))))
    // a finalizer of a failed test would wait for the virtual clock
    yield* Effect.addFinalizer(() => listener.abort)
    const introduce = (index: number) =>
      Effect.andThen(Effect.suspend(() => Deferred.succeed(introductions[index]!, undefined)), Effect.yieldNow)
    return { memory, listener, introduce, served }
  })

describe("connections that are yet to be introduced", () => {
  it.effect("reach their handler only then, each at its own time", () =>
    Effect.gen(function*() {
      const { introduce, listener, memory, served } = yield* listen()
      yield* memory.connect
      yield* memory.connect
      yield* Effect.yieldNow
      assert.deepStrictEqual(served, [])
      assert.strictEqual((yield* listener.connections).length, 2)
      yield* introduce(1)
      assert.deepStrictEqual(served, [2])
      yield* introduce(0)
      assert.deepStrictEqual(served, [2, 1])
    }))

  it.effect("are at most as many as may be queued: the one that takes longest makes room", () =>
    Effect.gen(function*() {
      const { introduce, listener, memory, served } = yield* listen({ admission: { maxQueued: 2 } })
      const first = yield* memory.connect
      yield* memory.connect
      yield* memory.connect
      yield* first.ended
      yield* introduce(0)
      yield* introduce(2)
      assert.deepStrictEqual(served, [3])
      const closing = yield* Effect.forkChild(listener.close(), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(closing)).connections.neverAccepted, 1)
    }))

  it.effect("have the idle grace of a close, and are counted", () =>
    Effect.gen(function*() {
      const { introduce, listener, memory, served } = yield* listen()
      const client = yield* memory.connect
      yield* memory.connect
      const closing = yield* Effect.forkChild(listener.close({ idleGrace: "3 seconds" }), { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      yield* introduce(1)
      assert.deepStrictEqual(served, [2])
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* client.ended, "Fin")
      yield* TestClock.adjust("1 minute")
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual(
        { ...report.connections, outcome: report.outcome },
        { ...report.connections, outcome: "Drained", total: 2, neverAccepted: 1 }
      )
      assert.strictEqual(yield* memory.open, 0)
    }))

  it.effect("are cut by an abort, and counted", () =>
    Effect.gen(function*() {
      const { introduce, listener, memory, served } = yield* listen()
      const client = yield* memory.connect
      yield* listener.abort
      yield* client.ended
      yield* introduce(0)
      assert.deepStrictEqual(served, [])
      const report = yield* listener.close()
      assert.deepStrictEqual([report.connections.total, report.connections.neverAccepted], [1, 1])
    }))
})
