/** Connections and drivers that throw, and answer with nonsense, wherever they can: a close ends in a report all the same. */
import { Listener, Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import { chaotic, seeded } from "./support/chaos.ts"
import { idleDriver } from "./support/drivers.ts"
import { echo } from "./support/handlers.ts"
import { start } from "./support/listening.ts"
import { scrape } from "./support/metrics.ts"

const drain = { deadline: "2 seconds", abortGrace: "500 millis", linger: { idle: 0 } } as const

const driver: typeof idleDriver = (connection, events) => ({
  ...idleDriver(connection, events),
  exchanges: () => [{ label: "x", since: 0 }],
  lastActive: () => 0
})

type Serve = (
  listener: Listener.Listener,
  chaos: <A extends object>(of: A) => A
) => Effect.Effect<unknown, unknown>

const serves: Readonly<Record<string, Serve>> = {
  "held": () => Effect.never,
  "served": (listener) => Listener.serve(listener, echo, { idle: "pull" }),
  "served without an end": (listener) => Listener.serve(listener, () => Effect.never),
  "served at once": (listener) => Listener.serve(listener, () => Effect.void),
  "accepted": (listener) => Effect.forever(Effect.scoped(Effect.flatMap(listener.accept, (c) => Effect.exit(echo(c))))),
  "driven": (listener, chaos) =>
    Listener.serveDriver(listener, (connection, events) => {
      const usual = driver(connection, events)
      return connection.id % 2 === 0 ? chaos(usual) : usual
    })
}

const walk = (name: string, serve: Serve, seed: number) =>
  Effect.gen(function*() {
    const random = seeded(seed)
    const often = [0.02, 0.1, 0.3][seed % 3]!
    const chaos = <A extends object>(of: A): A => chaotic(of, random, often)
    const memory = yield* MemoryTransport.make()
    let n = 0
    const transport = Transport.mapConnections(
      memory,
      (connection) => ++n % 2 === 0 ? chaos(Transport.wrapConnection(connection, {})) : connection
    )
    const owner = yield* Scope.make()
    const listener = yield* Scope.provide(
      Listener.listen(transport, {
        name,
        drain: { ...drain, idleGrace: random() < 0.5 ? 0 : "500 millis" },
        tracing: { connections: random() < 0.5, exchanges: random() < 0.5 },
        admission: random() < 0.5 ? {} : { maxConnections: 2, overflow: "reject", maxPerRemote: 5 }
      }),
      owner
    )
    yield* start(Effect.ignoreCause(serve(listener, chaos)))
    for (let i = 0; i < 6; i++) {
      const client = yield* memory.connect
      if (random() < 0.5) yield* Effect.ignoreCause(client.write("x"))
      if (random() < 0.3) yield* listener.connections
    }
    yield* TestClock.adjust("100 millis")
    yield* listener.dryRun
    if (random() < 0.2) yield* listener.abort
    const closing = yield* start(Effect.exit(listener.close()))
    yield* TestClock.adjust("5 seconds")
    assert.isDefined(closing.pollUnsafe())
    assert.strictEqual(yield* listener.state, "Closed")
    const { connections: { total, ...ends } } = yield* listener.closed
    assert.strictEqual(Object.values(ends).reduce((a, b) => a + b, 0), total)
    const ending = yield* start(Effect.exit(Scope.close(owner, Exit.void)))
    yield* TestClock.adjust("5 seconds")
    const exit = ending.pollUnsafe()
    assert.isTrue(exit !== undefined && Exit.isSuccess(exit) && Exit.isSuccess(exit.value))
    const { accepted, ended, open } = yield* scrape(name)
    assert.deepStrictEqual([open, accepted], [0, ended])
  })

describe.each(Object.entries(serves))("connections that throw at random, %s", (how, serve) => {
  it.effect.each(Array.from({ length: 25 }, (_, seed) => seed))(
    "end with the close, each counted once: seed %d",
    (seed) => walk(`chaos-${how}-${seed}`, serve, seed)
  )
})
