/** A close ends in a report within its bound, whatever the transport does. */
import { Listener, type Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { start } from "./support/listening.ts"

const quick = { idleGrace: 0, deadline: "10 seconds", abortGrace: "1 second", linger: { idle: 0 } } as const
const broken = new Error("the transport is broken")

type Bind = Transport.Transport["bind"]

const bound = (bind: Bind, change: (bound: Transport.BoundTransport) => Partial<Transport.BoundTransport>): Bind =>
  Effect.map(bind, (bound) => ({ address: bound.address, accept: bound.accept, stop: bound.stop, ...change(bound) }))

/** What it does; a close without connections is clean all the same. */
const transports: ReadonlyArray<readonly [what: string, change: (bind: Bind) => Bind]> = [
  ["dies as it stops", (bind) => bound(bind, () => ({ stop: Effect.die(broken) }))],
  ["never stops", (bind) => bound(bind, () => ({ stop: Effect.never }))],
  [
    "never stops and cannot be interrupted",
    (bind) => bound(bind, () => ({ stop: Effect.uninterruptible(Effect.never) }))
  ],
  [
    "throws when it is asked to stop",
    (bind) =>
      Effect.map(bind, ({ accept, address }) => ({
        address,
        accept,
        get stop(): never {
          throw broken
        }
      }))
  ],
  ["dies as it is released", (bind) => Effect.andThen(Effect.addFinalizer(() => Effect.die(broken)), bind)],
  ["is never released", (bind) => Effect.andThen(Effect.addFinalizer(() => Effect.never), bind)],
  [
    "does not let go of an accept",
    (bind) => bound(bind, () => ({ accept: Effect.uninterruptible(Effect.never) }))
  ]
]

describe("a transport that", () => {
  for (const [what, change] of transports) {
    it.effect(`${what}: a close ends within its bound, and so does the owner`, () =>
      Effect.gen(function*() {
        const memory = yield* MemoryTransport.make()
        const owner = yield* Scope.make()
        const listener = yield* Scope.provide(
          Listener.listen({ name: "foreign", bind: change(memory.bind) }, { drain: quick }),
          owner
        )
        const closing = yield* start(listener.close())
        yield* TestClock.adjust("11 seconds")
        const exit = closing.pollUnsafe()
        assert.strictEqual(exit?._tag, "Success")
        assert.strictEqual(yield* listener.state, "Closed")
        const ending = yield* start(Scope.close(owner, Exit.void))
        yield* TestClock.adjust("11 seconds")
        assert.isDefined(ending.pollUnsafe())
      }))

    it.effect(`${what}: the owner ends within its bound without a close before`, () =>
      Effect.gen(function*() {
        const memory = yield* MemoryTransport.make()
        const owner = yield* Scope.make()
        const listener = yield* Scope.provide(
          Listener.listen({ name: "foreign", bind: change(memory.bind) }, { drain: quick }),
          owner
        )
        const ending = yield* start(Scope.close(owner, Exit.void))
        yield* TestClock.adjust("11 seconds")
        assert.isDefined(ending.pollUnsafe())
        assert.strictEqual(yield* listener.state, "Closed")
      }))
  }

  it.effect("does not let go of a bind: an abort leads to Created, and the owner ends within its bound", () =>
    Effect.gen(function*() {
      const owner = yield* Scope.make()
      const bind: Bind = Effect.uninterruptible(Effect.never)
      const listener = yield* Scope.provide(Listener.make({ name: "stuck", bind }, { drain: quick }), owner)
      const opening = yield* start(Effect.exit(listener.open))
      yield* listener.abort
      assert.isTrue(Exit.isFailure(yield* Fiber.join(opening)))
      assert.strictEqual(yield* listener.state, "Created")
      const ending = yield* start(Scope.close(owner, Exit.void))
      yield* TestClock.adjust("22 seconds")
      assert.isDefined(ending.pollUnsafe())
      assert.strictEqual(yield* listener.state, "Closed")
    }))

  it.effect("throws in its bind fails the open with what it threw, and can be opened again", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.make()
      let throws = true
      const transport: Transport.Transport = {
        name: "foreign",
        get bind() {
          if (throws) throw broken
          return memory.bind
        }
      }
      const listener = yield* Listener.make(transport, { drain: quick })
      const error = yield* Effect.flip(listener.open)
      assert.deepInclude(error, { _tag: "TransportFailure", cause: broken })
      throws = false
      yield* listener.open
      assert.strictEqual(yield* listener.state, "Open")
    }))
})
