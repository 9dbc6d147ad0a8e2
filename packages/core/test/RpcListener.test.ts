import { RpcListener } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { start, untilStage } from "./support/listening.ts"
import { connect, goodbye, labels, refusal, serve, success } from "./support/rpc.ts"

describe("RpcListener.layerProtocolSocketServer", () => {
  it.effect("clients without a call in flight are told, and ended at once", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serve()
      const silent = yield* connect(transport)
      const active = yield* connect(transport)
      yield* active.say({ _tag: "Ping" })
      assert.deepStrictEqual(yield* active.hear, { _tag: "Pong" })
      const closing = yield* start(listener.close())
      assert.deepStrictEqual(yield* silent.hear, goodbye([]))
      assert.deepStrictEqual(yield* active.hear, goodbye([]))
      assert.strictEqual(yield* silent.ended, "Fin")
      assert.strictEqual(yield* active.ended, "Fin")
      yield* Effect.andThen(silent.end, active.end)
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(report.connections.idle, 2)
    }))

  it.effect("a call is in flight until its answer is sent, and named", () =>
    Effect.gen(function*() {
      const { entered, listener, release, transport } = yield* serve()
      const client = yield* connect(transport)
      yield* client.call(1, "hold", { text: "x" })
      yield* entered("x")
      assert.deepStrictEqual(yield* labels(listener), ["rpc hold"])
      const closing = yield* start(listener.close())
      assert.deepStrictEqual(yield* client.hear, goodbye([1]))
      yield* release("x")
      assert.deepStrictEqual(yield* client.hear, success(1, "held x"))
      assert.strictEqual(yield* client.ended, "Fin")
      yield* client.end
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.connections.drained, 1)
    }))

  it.effect("while it drains, calls are refused unexecuted, and all else is heard", () =>
    Effect.gen(function*() {
      const { entered, executed, listener, release, transport } = yield* serve()
      const client = yield* connect(transport)
      yield* client.call(1, "hold", { text: "x" })
      yield* client.call(2, "hold", { text: "y" })
      yield* entered("y")
      const closing = yield* start(listener.close())
      assert.deepStrictEqual(yield* client.hear, goodbye([1, 2]))
      yield* client.call(3, "hold", { text: "late" })
      assert.deepStrictEqual(yield* client.hear, refusal(3))
      yield* client.call(undefined, "note", { text: "late note" })
      yield* client.say({ _tag: "Ping" })
      assert.deepStrictEqual(yield* client.hear, { _tag: "Pong" })
      yield* client.say({ _tag: "Interrupt", requestId: 1 })
      const interrupted = yield* client.hear
      assert.strictEqual(interrupted["requestId"], 1)
      yield* release("y")
      assert.deepStrictEqual(yield* client.hear, success(2, "held y"))
      yield* client.end
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(report.refused, 2)
      assert.deepStrictEqual(executed, ["x", "y"])
    }))

  it.effect("a call that had reached the machine when the close began is executed", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make({ readLate: true })
      const { entered, executed, listener, release } = yield* serve({ transport })
      const client = yield* connect(transport)
      yield* client.say({ _tag: "Ping" })
      yield* client.hear
      yield* client.call(1, "hold", { text: "x" })
      const closing = yield* start(listener.close())
      assert.deepStrictEqual(executed, [])
      yield* entered("x")
      assert.deepStrictEqual(yield* client.hear, goodbye([1]))
      yield* release("x")
      assert.deepStrictEqual(yield* client.hear, success(1, "held x"))
      yield* client.end
      assert.strictEqual((yield* Fiber.join(closing)).refused, 0)
    }))

  it.effect("a stream in flight goes on to its end", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serve()
      const client = yield* connect(transport)
      yield* client.call(1, "count", { to: 1 })
      assert.deepStrictEqual(yield* client.hear, { _tag: "Chunk", requestId: 1, values: [1] })
      const closing = yield* start(listener.close())
      assert.deepStrictEqual(yield* client.hear, goodbye([1]))
      yield* client.say({ _tag: "Ack", requestId: 1 })
      assert.strictEqual((yield* client.hear)["_tag"], "Exit")
      yield* client.end
      assert.strictEqual((yield* Fiber.join(closing)).outcome, "Drained")
    }))

  it.effect("a handler that dies ends the calls of its client, and holds up no close", () =>
    Effect.gen(function*() {
      const { entered, listener, transport } = yield* serve()
      const client = yield* connect(transport)
      yield* client.call(1, "hold", { text: "x" })
      yield* entered("x")
      yield* client.call(2, "die", null)
      assert.strictEqual((yield* client.hear)["_tag"], "Defect")
      assert.deepStrictEqual(yield* labels(listener), [])
      yield* client.end
      assert.strictEqual((yield* listener.close()).outcome, "Drained")
    }))

  it.effect("calls that cannot be begun are answered, and hold up no close", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serve()
      const client = yield* connect(transport)
      yield* client.call(1, "unknown", {})
      assert.strictEqual((yield* client.hear)["requestId"], 1)
      yield* client.call(2, "hold", { text: 5 })
      assert.strictEqual((yield* client.hear)["requestId"], 2)
      assert.deepStrictEqual(yield* labels(listener), [])
    }))

  it.effect("notifications and discarded calls are waited for by InFlight", () =>
    Effect.gen(function*() {
      const { entered, listener, release, transport, written } = yield* serve()
      const client = yield* connect(transport)
      yield* client.call(undefined, "note", { text: "a" })
      yield* client.call(1, "note", { text: "b" }, { discard: true })
      yield* Effect.andThen(entered("a"), entered("b"))
      // answered, and still running
      assert.strictEqual((yield* client.hear)["requestId"], 1)
      assert.deepStrictEqual(yield* labels(listener), ["rpc note", "rpc note"])
      const closing = yield* start(listener.close())
      // nothing of it is still to be answered
      assert.deepStrictEqual(yield* client.hear, goodbye([]))
      yield* Effect.andThen(release("a"), release("b"))
      assert.strictEqual(yield* client.ended, "Fin")
      yield* client.end
      assert.strictEqual((yield* Fiber.join(closing)).outcome, "Drained")
      assert.deepStrictEqual(written, ["a", "b"])
    }))

  it.effect("a client that leaves when it is told to leaves its notifications to be finished", () =>
    Effect.gen(function*() {
      const { entered, listener, release, transport, written } = yield* serve()
      const client = yield* connect(transport)
      yield* client.call(undefined, "note", { text: "a" })
      yield* client.call(1, "note", { text: "b" }, { discard: true })
      yield* Effect.andThen(entered("a"), entered("b"))
      yield* client.hear
      const closing = yield* start(listener.close())
      assert.deepStrictEqual(yield* client.hear, goodbye([]))
      yield* client.end
      // the server has seen that it left
      yield* TestClock.adjust("1 second")
      yield* Effect.andThen(release("a"), release("b"))
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.outcome, "Drained")
      assert.deepStrictEqual(written, ["a", "b"])
    }))

  it.effect("a call that waits for its answer counts once, with InFlight, too", () =>
    Effect.gen(function*() {
      const { entered, listener, release, transport } = yield* serve()
      const client = yield* connect(transport)
      yield* client.call(1, "note", { text: "a" })
      yield* entered("a")
      assert.deepStrictEqual(yield* labels(listener), ["rpc note"])
      yield* release("a")
      yield* client.hear
      assert.deepStrictEqual(yield* labels(listener), [])
    }))

  it.effect("in a lame duck calls are executed and clients asked to leave; the drain then has the last word", () =>
    Effect.gen(function*() {
      const { entered, executed, listener, release, transport } = yield* serve()
      const client = yield* connect(transport)
      yield* client.say({ _tag: "Ping" })
      yield* client.hear
      const closing = yield* start(listener.close({ lameDuck: "1 second" }))
      yield* untilStage(listener, "LameDuck")
      assert.deepStrictEqual(yield* client.hear, goodbye())
      yield* client.call(1, "hold", { text: "x" })
      yield* entered("x")
      yield* release("x")
      assert.deepStrictEqual(yield* client.hear, success(1, "held x"))
      const late = yield* connect(transport)
      assert.deepStrictEqual(yield* late.hear, goodbye())
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* client.hear, goodbye([]))
      assert.deepStrictEqual(yield* late.hear, goodbye([]))
      assert.strictEqual(yield* client.ended, "Fin")
      yield* Effect.andThen(client.end, late.end)
      assert.strictEqual((yield* Fiber.join(closing)).outcome, "Drained")
      assert.deepStrictEqual(executed, ["x"])
    }))

  it.effect("after a lame duck the last word comes before the first refusal", () =>
    Effect.gen(function*() {
      const { entered, listener, release, transport } = yield* serve()
      const client = yield* connect(transport)
      yield* client.call(1, "hold", { text: "x" })
      yield* entered("x")
      yield* start(listener.close({ lameDuck: "1 second" }))
      assert.deepStrictEqual(yield* client.hear, goodbye())
      yield* TestClock.adjust("1 second")
      yield* untilStage(listener, "Draining")
      // what is on its way is executed
      yield* client.call(2, "hold", { text: "y" })
      assert.deepStrictEqual(yield* client.hear, goodbye([1, 2]))
      yield* client.call(3, "hold", { text: "z" })
      assert.deepStrictEqual(yield* client.hear, refusal(3))
      yield* Effect.andThen(release("x"), release("y"))
      assert.deepStrictEqual(yield* client.hear, success(1, "held x"))
    }))

  it.effect("a client that asks again at every refusal is ended all the same", () =>
    Effect.gen(function*() {
      const { executed, listener, transport } = yield* serve()
      const client = yield* connect(transport)
      yield* client.call(0, "hold", { text: "first" })
      yield* client.say({ _tag: "Interrupt", requestId: 0 })
      yield* client.hear
      let asked = 0
      yield* start(Effect.ignore(Effect.forever(Effect.suspend(() => client.call(++asked, "hold", { text: "again" })))))
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("1 second")
      yield* client.end
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.outcome, "Drained")
      assert.isAbove(report.refused, 0)
      assert.deepStrictEqual(executed.slice(1).filter((text) => text !== "again"), [])
    }))
})

describe("RpcListener.isCallRefused", () => {
  it("knows a refusal", () => {
    assert.isTrue(RpcListener.isCallRefused({ _tag: "CallRefused" }))
    assert.isFalse(RpcListener.isCallRefused(new Error("CallRefused")))
  })
})
