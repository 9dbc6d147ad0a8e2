import { MemoryTransport } from "@effect-listener/testing"
import type * as TransportLaws from "@effect-listener/testing/TransportLaws"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Arbitrary from "effect/Arbitrary"
import * as Scope from "effect/Scope"
import * as Model from "./support/model.ts"
import { commands } from "./support/modelCommands.ts"

const memory: TransportLaws.MakeSubject = Effect.map(MemoryTransport.make(), (transport) => ({
  transport,
  connect: transport.connect,
  held: transport.open
}))

describe("a listener and its state table agree", () => {
  it.live.prop(
    "over memory, whatever comes in which order",
    { commands },
    ({ commands }) => Model.run(memory, commands),
    { timeout: 120_000, arbitrary: { runs: 1500, size: 100 } }
  )

  it.live("random commands meet all 30 cells of the operations", () =>
    Effect.gen(function*() {
      const cells = new Set<string>()
      const operations = ["open", "accept", "close", "abort", "reset"]
      for (const walk of yield* Arbitrary.sampleEffect(commands, { count: 120, size: 60, seed: 1 })) {
        yield* Effect.orDie(Model.run(memory, walk, (state, command) => {
          if (operations.includes(command)) cells.add(`${state} ${command}`)
        }))
      }
      assert.strictEqual(cells.size, 30, Array.from(cells).sort().join(", "))
    }))

  it.live("a transport that goes on listening disagrees, and random commands shrink to the few that show it", () =>
    Effect.gen(function*() {
      const deaf: TransportLaws.MakeSubject = Effect.map(MemoryTransport.make(), (transport) => ({
        transport: {
          name: "deaf",
          bind: Effect.map(
            Scope.provide(transport.bind, Scope.makeUnsafe()),
            ({ accept, address }) => ({ accept, address, stop: Effect.void })
          )
        },
        connect: transport.connect
      }))
      const agrees = (walk: ReadonlyArray<Model.Command>) => Effect.as(Model.run(deaf, walk), true)
      const result = yield* Arbitrary.checkEffect(commands, agrees, { runs: 200, size: 60, seed: 1 })
      assert.strictEqual(result._tag, "Falsified")
      if (result._tag !== "Falsified") return
      assert.isAbove(result.initialInput.length, result.shrunkInput.length)
      // it listens, whatever ends that comes, and a client still gets in
      assert.match(result.shrunkInput.join(" "), /^open bound (abort|fault|close swept) connect$/)
    }))
})
