/** A close ends in a report within its bound, whatever the transport does. */
import { DatagramListener, Listener, ListenerHost, ListenerRegistry, Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Metric, Option, Scope } from "effect"
import { NetAddress } from "effect/net"
import { TestClock } from "effect/testing"
import { quick, start, tagOf } from "./support/listening.ts"
import { throwingLog } from "./support/logs.ts"
import { tracerMembers, withThrowingTracer } from "./support/tracers.ts"

const patient = { ...quick, abortGrace: "1 second" } as const
const broken = new Error("the transport is broken")

type Bind = Transport.Transport["bind"]

const bound = (bind: Bind, change: (bound: Transport.BoundTransport) => Partial<Transport.BoundTransport>): Bind =>
  Effect.map(bind, (bound) => ({ address: bound.address, accept: bound.accept, stop: bound.stop, ...change(bound) }))

/** What has been thrown has not faulted it: it is open a second later, and takes the next client. */
const acceptsOn = Effect.fnUntraced(function*(listener: Listener.Listener, memory: MemoryTransport.MemoryTransport) {
  yield* TestClock.adjust("1 second")
  assert.strictEqual(yield* listener.state, "Open")
  yield* memory.connect
  yield* Effect.scoped(listener.accept)
  yield* listener.abort
})

/** Listens, and no client comes. */
const silent: Transport.BoundTransport = {
  address: NetAddress.unixPathAddress("silent"),
  accept: Effect.never,
  stop: Effect.void
}

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
          Listener.listen({ name: "foreign", bind: change(memory.bind) }, { drain: patient }),
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
          Listener.listen({ name: "foreign", bind: change(memory.bind) }, { drain: patient }),
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
      const listener = yield* Scope.provide(Listener.make({ name: "stuck", bind }, { drain: patient }), owner)
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
      const listener = yield* Listener.make(transport, { drain: patient })
      const error = yield* Effect.flip(listener.open)
      assert.deepInclude(error, { _tag: "TransportFailure", cause: broken })
      throws = false
      yield* listener.open
      assert.strictEqual(yield* listener.state, "Open")
    }))

  const addresses: Readonly<Record<string, Transport.BoundTransport>> = {
    "whose getter throws": Object.defineProperty({ ...silent }, "address", {
      get: () => {
        throw broken
      }
    }),
    "whose path is no string": {
      ...silent,
      address: Object.create(silent.address, { path: { value: Object.create(null) } })
    },
    "that cannot be shown": {
      ...silent,
      get address(): NetAddress.SocketAddress {
        // what its author takes for an address
        return { _tag: "InetAddress" } as unknown as NetAddress.InetAddress
      }
    }
  }
  for (const [what, bound] of Object.entries(addresses)) {
    it.effect(`has an address ${what} fails the open, gives its socket back, and can be opened again`, () =>
      Effect.gen(function*() {
        let bad = true
        let open = 0
        const socket = Effect.acquireRelease(Effect.sync(() => open++), () => Effect.sync(() => open--))
        const bind: Bind = Effect.as(socket, undefined).pipe(Effect.map(() => bad ? bound : silent))
        const listener = yield* Listener.make({ name: "foreign", bind }, { drain: patient })
        const opening = yield* start(Effect.exit(listener.open))
        yield* TestClock.adjust("1 minute")
        const exit = opening.pollUnsafe()
        assert.isDefined(exit)
        assert.strictEqual(yield* tagOf(yield* Fiber.join(opening)), "TransportFailure")
        assert.deepStrictEqual([yield* listener.state, open], ["Created", 0])
        bad = false
        yield* listener.open
        assert.deepStrictEqual([yield* listener.state, open], ["Open", 1])
        yield* listener.close()
      }))
  }

  const throws = {
    get: () => {
      throw broken
    }
  }
  const accepts: Readonly<Record<string, PropertyDescriptorMap>> = {
    "throws in its accept": { accept: throws },
    "has an accept that is no effect": { accept: { value: undefined } },
    "throws in what it has for speed": { fast: throws }
  }
  for (const [what, members] of Object.entries(accepts)) {
    it.effect(`${what} faults the listener, and a close ends in a report`, () =>
      Effect.gen(function*() {
        const bound = Object.defineProperties({ ...silent }, members)
        const listener = yield* Listener.listen({ name: "foreign", bind: Effect.succeed(bound) }, { drain: quick })
        assert.strictEqual(yield* tagOf(Effect.scoped(listener.accept)), "ListenerFaulted")
        assert.strictEqual((yield* listener.close()).outcome, "Drained")
      }))
  }

  it.effect("throws when it is asked to leave its accept queue sweeps it", () =>
    Effect.gen(function*() {
      const bound: Transport.BoundTransport = Object.defineProperty({ ...silent }, "leave", {
        get: () => {
          throw broken
        }
      })
      const listener = yield* Listener.listen({ name: "foreign", bind: Effect.succeed(bound) }, { drain: patient })
      const closing = yield* start(listener.close({ queue: "leave" }))
      yield* TestClock.adjust("11 seconds")
      const { outcome, queue } = yield* Fiber.join(closing)
      assert.deepStrictEqual([outcome, queue], ["Drained", "swept"])
    }))

  it.effect("is a class keeps what its prototype has when its connections are mapped", () =>
    Effect.gen(function*() {
      class Held implements Transport.BoundTransport {
        readonly address = silent.address
        left = false
        asked = 0
        get accept() {
          return silent.accept
        }
        get stop() {
          return Effect.never
        }
        get leave() {
          return Effect.sync(() => {
            this.left = true
          })
        }
        stillQueued() {
          this.asked++
          return true
        }
      }
      const bound = new Held()
      const mapped = Transport.mapConnections({ name: "held", bind: Effect.succeed(bound) }, (connection) => connection)
      const left = yield* Listener.listen(mapped, { drain: patient })
      const { queue } = yield* left.close({ queue: "leave" })
      assert.deepStrictEqual([queue, bound.left], ["left", true])
      const swept = yield* Listener.listen(mapped, { drain: patient })
      const closing = yield* start(swept.close({ queue: "sweep" }))
      yield* TestClock.adjust("11 seconds")
      assert.isTrue((yield* Fiber.join(closing)).sweepCut)
      assert.isAbove(bound.asked, 0)
    }))
})

describe("a tracer that throws", () => {
  it.effect.each(tracerMembers)(
    "in %s of a listener's spans keeps it neither from opening nor from closing",
    (member) =>
      Effect.gen(function*() {
        const memory = yield* MemoryTransport.make()
        const listener = yield* Listener.make(memory, { drain: quick })
        yield* listener.open
        assert.strictEqual(yield* listener.state, "Open")
        const { outcome } = yield* listener.close()
        assert.strictEqual(outcome, "Drained")
      }).pipe(withThrowingTracer(member, ({ name }) => name.startsWith("Listener.")))
  )
})

/** A transport whose first accept finds no descriptor left. */
const failingOnce = (memory: Transport.Transport): Transport.Transport => {
  let failures = 1
  const exhausted = Effect.fail(
    new Transport.TransportAcceptError({ class: "exhausted", code: "EMFILE", cause: new Error("EMFILE") })
  )
  return {
    name: "full",
    bind: bound(memory.bind, ({ accept }) => ({
      accept: Effect.suspend(() => failures-- > 0 ? Effect.delay(exhausted, "100 millis") : accept)
    }))
  }
}

describe("a logger that throws", () => {
  for (const [what, change] of transports) {
    it.effect(`of a transport that ${what}: a close ends within its bound, and so does the owner`, () =>
      Effect.gen(function*() {
        const memory = yield* MemoryTransport.make()
        const owner = yield* Scope.make()
        const listener = yield* Scope.provide(
          Listener.listen({ name: "foreign", bind: change(memory.bind) }, { drain: patient }),
          owner
        ).pipe(throwingLog)
        const closing = yield* start(Effect.exit(listener.close()))
        yield* TestClock.adjust("11 seconds")
        assert.isDefined(closing.pollUnsafe())
        assert.strictEqual(yield* listener.state, "Closed")
        const ending = yield* start(Scope.close(owner, Exit.void))
        yield* TestClock.adjust("11 seconds")
        assert.isDefined(ending.pollUnsafe())
      }))
  }

  it.effect("at an accept that has failed does not fault the listener", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.make()
      const listener = yield* Listener.listen(failingOnce(memory), { drain: patient }).pipe(throwingLog)
      yield* acceptsOn(listener, memory)
    }))
})

describe("a reason that cannot be shown", () => {
  it.effect("does not keep a close of a listener or of a host from its end", () =>
    Effect.gen(function*() {
      const reason: string = Object.create(null)
      const listener = yield* Listener.listen(yield* MemoryTransport.make())
      const closing = yield* start(listener.close({ reason }))
      yield* TestClock.adjust("1 minute")
      assert.isDefined(closing.pollUnsafe())
      const host = yield* ListenerHost.make([yield* Listener.make(yield* MemoryTransport.make())])
      const ending = yield* start(host.close({ reason }))
      yield* TestClock.adjust("1 minute")
      assert.isDefined(ending.pollUnsafe())
    }))
})

describe("a registry that throws", () => {
  it.effect("as a listener leaves it does not keep the owner from its end", () =>
    Effect.gen(function*() {
      const registry: ListenerRegistry.ListenerRegistry = {
        add: () => () => {
          throw broken
        },
        members: () => []
      }
      const owner = yield* Scope.make()
      const provided = Effect.provideService(ListenerRegistry.CurrentRegistry, Option.some(registry))
      const listener = yield* Scope.provide(Listener.listen(yield* MemoryTransport.make()), owner).pipe(provided)
      const host = yield* Scope.provide(ListenerHost.make([]), owner).pipe(provided)
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(Scope.close(owner, Exit.void))))
      assert.strictEqual(yield* listener.state, "Closed")
      yield* host.closed
    }))

  it.effect("of metrics at an accept that has failed does not fault the listener", () =>
    Effect.gen(function*() {
      const registry = Context.get(Context.empty(), Metric.MetricRegistry)
      const own: typeof registry = new Map()
      const memory = yield* MemoryTransport.make()
      const listener = yield* Listener.listen(failingOnce(memory), { drain: patient }).pipe(
        Effect.provideService(Metric.MetricRegistry, own)
      )
      Object.defineProperty(own, "set", {
        value: () => {
          throw broken
        }
      })
      yield* acceptsOn(listener, memory)
    }))
})

describe("a copy of what this library has made", () => {
  const dies = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) =>
    Effect.map(Effect.exit(effect), (exit) => {
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.instanceOf(error, TypeError)
      assert.match(error.message, /^expected a .* has made, not a copy or a likeness of one$/)
    })

  it.effect("of a listener dies where the listener itself is needed", () =>
    Effect.gen(function*() {
      const listener = yield* Listener.listen(yield* MemoryTransport.make())
      const copy: Listener.Listener = { ...listener }
      yield* dies(Listener.serve(copy, () => Effect.void))
      yield* dies(Listener.serveDriver(copy, () => assert.fail("nothing is attached")))
      yield* dies(Listener.makeSocketServer(copy))
      yield* dies(Listener.shutdown(copy, "test"))
      yield* dies(ListenerHost.make([copy]))
      yield* dies(ListenerHost.make([listener], { admin: [copy] }))
    }))

  it.effect("of a listener of datagrams dies where the listener itself is needed", () =>
    Effect.gen(function*() {
      const listener = yield* DatagramListener.listen(yield* MemoryTransport.datagrams())
      const copy: DatagramListener.DatagramListener = { ...listener }
      yield* dies(DatagramListener.serve(copy, () => Effect.void))
      yield* dies(ListenerHost.make([copy]))
    }))

  it.effect("of a host dies where the host itself is needed", () =>
    Effect.gen(function*() {
      const host = yield* ListenerHost.make([])
      const copies = Layer.succeed(ListenerHost.ListenerHost, { ...host })
      yield* dies(Layer.build(ListenerHost.provide(copies)))
    }))
})
