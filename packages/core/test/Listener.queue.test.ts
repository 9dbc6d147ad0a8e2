/** What becomes of the accept queue at a close: swept, or left to another process that has the same socket. */
import { Listener, type Transport } from "@effect-listener/core"
import { Interleavings, MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Connection } from "../src/Connection.ts"

const options: Listener.ListenerOptions = { drain: { idleGrace: 0, linger: { idle: 0 } } }

const greet = (name: string) => (connection: Connection) =>
  Effect.flatMap(connection.socket.writer, ({ write }) => write(name))

/** Says its name and waits for the end of the client. */
const answer = (name: string) => (connection: Connection) =>
  Effect.gen(function*() {
    const { write } = yield* connection.socket.writer
    const { pull } = yield* connection.socket.reader
    yield* write(name)
    return yield* Effect.forever(pull)
  })

const serve = (transport: Transport.Transport, name: string) =>
  Effect.gen(function*() {
    const listener = yield* Listener.listen(transport, { ...options, name })
    yield* Effect.forkChild(Listener.serve(listener, answer(name), { idle: "pull" }), { startImmediately: true })
    return listener
  })

describe("the accept queue", () => {
  it.effect("is left where another process has the socket, and waits for the next bind", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make({ held: true })
      const first = yield* serve(transport, "a")
      const client = yield* transport.connect
      assert.strictEqual(yield* client.readText(1), "a")
      const report = yield* first.close({ queue: "leave" })
      assert.strictEqual(report.queue, "left")
      assert.strictEqual(report.swept, 0)
      // nothing is bound
      const late = yield* transport.connect
      yield* serve(transport, "b")
      assert.strictEqual(yield* late.readText(1), "b")
    }))

  it.effect("is swept by default, also where another process has the socket", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make({ held: true })
      const first = yield* serve(transport, "a")
      assert.strictEqual((yield* first.close()).queue, "swept")
    }))

  it.effect("is swept where the transport cannot leave it", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const cannot: Transport.Transport = {
        name: "memory",
        bind: Effect.map(transport.bind, ({ accept, address, stop }) => ({ accept, address, stop }))
      }
      const listener = yield* serve(cannot, "a")
      assert.strictEqual((yield* listener.close({ queue: "leave" })).queue, "swept")
    }))

  it.effect("is neither where nothing listens any more", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const listener = yield* serve(transport, "a")
      yield* listener.abort
      assert.strictEqual((yield* listener.close({ queue: "leave" })).queue, "none")
      const never = yield* Listener.make(transport, options)
      assert.strictEqual((yield* never.close({ queue: "leave" })).queue, "none")
    }))

  it.effect("is swept when one of two closes in a lame duck asks for it", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make({ held: true })
      const listener = yield* serve(transport, "a")
      const first = yield* Effect.forkChild(listener.close({ queue: "leave", lameDuck: "1 hour" }), {
        startImmediately: true
      })
      assert.strictEqual((yield* listener.close()).queue, "swept")
      assert.strictEqual((yield* Fiber.join(first)).queue, "swept")
    }))
})

/** Each client is served by one of two listeners of one socket, whatever happens to the first. */
const handedOver = (meanwhile: (first: Listener.Listener) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const transport = yield* MemoryTransport.make({ held: true, resumeLate: true })
    const first = yield* Interleavings.atomic(serve(transport, "a"))
    const second = yield* Interleavings.atomic(serve(transport, "b"))
    const closing = yield* Effect.forkChild(Effect.exit(first.close({ queue: "leave" })))
    const other = yield* Effect.forkChild(Effect.exit(meanwhile(first)))
    const one = yield* transport.connect
    const two = yield* transport.connect
    yield* Fiber.join(closing)
    yield* Fiber.join(other)
    const answers = yield* Effect.forEach([one, two], (client) => Effect.result(client.readText(1)))
    const { connections, outcome } = yield* first.closed
    const lost = answers.filter((answer) => answer._tag === "Failure").length
    // an abort cuts what the first has accepted; what it accepted before it served is counted
    if (lost > connections.neverAccepted && outcome !== "Aborted") {
      return yield* Effect.die(new Error(`${lost} clients were lost`))
    }
    yield* one.end
    yield* two.end
    yield* second.close()
  }) satisfies Effect.Effect<void, unknown, Scope.Scope>

describe("left, whatever the order", () => {
  const cases: Record<string, (first: Listener.Listener) => Effect.Effect<unknown, unknown>> = {
    "nothing else": () => Effect.void,
    "an accept": (first) => Effect.scoped(Effect.flatMap(first.accept, greet("a"))),
    "an abort": (first) => first.abort,
    "a second close": (first) => first.close()
  }
  for (const [name, meanwhile] of Object.entries(cases)) {
    it.live(name, () =>
      Effect.gen(function*() {
        const report = yield* Interleavings.check(handedOver(meanwhile), { maxSchedules: 200 })
        assert.isTrue(report.exhaustive || report.schedules >= 200, Interleavings.format(report))
      }))
  }
})
