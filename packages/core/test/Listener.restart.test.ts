/** What a fiber does that one lifetime's end has woken belongs to the next, whatever the end has still to do. */
import { Listener, Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { echo } from "./support/handlers.ts"
import { listening, quick, start } from "./support/listening.ts"

const brief = { ...quick, deadline: "1 second" } as const

/** Begins another lifetime and serves it. */
const beginAgain = (listener: Listener.Listener) =>
  Effect.gen(function*() {
    yield* listener.reset
    yield* listener.open
    return yield* Listener.serve(listener, echo, { idle: "pull" })
  })

/** Whether a client is answered. */
const isServed = (transport: MemoryTransport.MemoryTransport) =>
  Effect.gen(function*() {
    const client = yield* transport.connect
    yield* client.write("hi")
    return (yield* client.readText(6)) === "got hi"
  })

describe("a restart in place", () => {
  it.effect("by a fiber that waits in closed: the first serve ends with its report, the second serves", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening({ drain: brief })
      const first = yield* start(Listener.serve(listener, echo, { idle: "pull" }))
      const second = yield* start(Effect.andThen(listener.closed, beginAgain(listener)))
      const report = yield* listener.close()
      assert.strictEqual(yield* Fiber.join(first), report)
      assert.isTrue(yield* isServed(transport))
      assert.isUndefined(second.pollUnsafe())
    }))

  it.effect.each(["an abort", "a dead socket", "a close"])(
    "by a fiber whose accept was failed by %s: the second lifetime is whole",
    (what) =>
      Effect.gen(function*() {
        const { listener, transport } = yield* listening({ drain: brief })
        const dead = new Transport.TransportAcceptError({ class: "fatal", code: "EBADF", cause: "gone" })
        const second = yield* start(Effect.gen(function*() {
          yield* Effect.ignore(Effect.scoped(listener.accept))
          yield* Effect.ignore(listener.close())
          yield* Effect.andThen(listener.closed, beginAgain(listener))
        }))
        yield* what === "an abort"
          ? listener.abort
          : what === "a dead socket"
          ? transport.fault(dead)
          : Effect.ignore(listener.close())
        yield* listener.changes.pipe(Stream.takeUntil((state) => state === "Open"), Stream.runDrain)
        assert.isTrue(yield* isServed(transport))
        assert.isUndefined(second.pollUnsafe())
        const report = yield* listener.close()
        assert.deepInclude(report, { outcome: "Drained" })
        assert.strictEqual(report.connections.total, 1)
      })
  )

  it.live("a close by a fiber whose accept an abort has failed has the whole abort grace", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening({ drain: { ...brief, abortGrace: "10 seconds" } })
      const finalized = yield* Deferred.make<void>()
      const serving = yield* start(
        Effect.ignore(Listener.serve(listener, () => Effect.onInterrupt(Effect.never, () => Deferred.await(finalized))))
      )
      yield* transport.connect
      yield* Fiber.interrupt(serving)
      const closing = yield* start(Effect.andThen(Effect.ignore(Effect.scoped(listener.accept)), listener.close()))
      yield* listener.abort
      assert.strictEqual(yield* listener.state, "Closing")
      yield* Deferred.succeed(finalized, undefined)
      assert.deepInclude(yield* Fiber.join(closing), { outcome: "Aborted", handlersLeftBehind: [] })
    }))
})

describe("what can be seen of a lifetime", () => {
  it.effect("changes that begin while the owner drains go on to Closed", () =>
    Effect.gen(function*() {
      const owner = yield* Scope.make()
      const transport = yield* MemoryTransport.make()
      const listener = yield* Scope.provide(Listener.listen(transport, { drain: brief }), owner)
      yield* transport.connect
      const release = yield* Deferred.make<void>()
      yield* start(Effect.ignore(Listener.serve(listener, () => Deferred.await(release))))
      const ending = yield* start(Scope.close(owner, Exit.void))
      const changes = yield* start(Stream.runCollect(listener.changes))
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(ending)
      assert.deepStrictEqual(yield* Fiber.join(changes), ["Closing", "Closed"])
    }))

  it.effect("progress ends with a close of what was never open", () =>
    Effect.gen(function*() {
      const listener = yield* Listener.make(yield* MemoryTransport.make())
      const progress = yield* start(Stream.runCollect(listener.progress))
      yield* listener.close()
      assert.deepStrictEqual(yield* Fiber.join(progress), [])
    }))

  it.effect("a listen whose scope closes meanwhile is interrupted", () =>
    Effect.gen(function*() {
      const owner = yield* Scope.make()
      const transport = yield* MemoryTransport.make({ bindLatency: "1 second" })
      const listening = yield* start(Scope.provide(Listener.listen(transport), owner))
      yield* Scope.close(owner, Exit.void)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(listening)))
    }))

  it.effect("a lame duck ends with its socket", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* listening({ drain: { ...brief, lameDuck: "1 hour" } })
      const closing = yield* start(listener.close())
      yield* transport.fault(new Transport.TransportAcceptError({ class: "fatal", code: "EBADF", cause: "gone" }))
      assert.deepInclude(yield* Fiber.join(closing), { outcome: "Drained", duration: 0 })
    }))
})
