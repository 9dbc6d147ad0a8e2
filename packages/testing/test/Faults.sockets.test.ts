import { Listener } from "@effect-listener/core"
import { NodeTcp } from "@effect-listener/node"
import { Faults } from "@effect-listener/testing"
import * as BadClients from "@effect-listener/testing/BadClients"
import { assert, describe, it } from "@effect/vitest"
import { Effect, References } from "effect"
import { echo } from "./support/handlers.ts"

const { Fault } = Faults

/** An echo over TCP with these faults for its first connection. */
const echoWith = (...faults: ReadonlyArray<Faults.Fault>) =>
  Effect.gen(function*() {
    const transport = Faults.wrap(NodeTcp.transport({ host: "127.0.0.1", port: 0 }), Faults.plan({ 0: faults }))
    const listener = yield* Listener.listen(transport, {
      drain: { deadline: 300, idleGrace: 0, linger: { idle: 50 } }
    })
    yield* Effect.forkScoped(Listener.serve(listener, echo, { idle: "pull" }))
    const address = yield* listener.address
    const target = { port: address._tag === "UnixPathAddress" ? 0 : address.port }
    return { listener, target, injected: Effect.map(transport.injected, (all) => all.map(({ fault }) => fault._tag)) }
  })

/** What comes back until the connection ends, and how it ended. */
const rest = (client: BadClients.Client) =>
  Effect.gen(function*() {
    let bytes = 0
    while (true) {
      const chunk = yield* Effect.option(client.read)
      if (chunk._tag === "None") return { bytes, how: yield* client.ended }
      bytes += chunk.value.length
    }
  })

const quietly = Effect.provideService(References.MinimumLogLevel, "None")

describe("Faults over TCP", () => {
  it.live("a reset is one for the client, too, after what came before it", () =>
    Effect.gen(function*() {
      const { injected, target } = yield* echoWith(Fault.Reset({ direction: "out", after: 5 }))
      const client = yield* BadClients.connect(target)
      yield* client.write("hello world")
      assert.strictEqual((yield* rest(client)).how, "Reset")
      assert.deepStrictEqual(yield* injected, ["Reset"])
    }).pipe(quietly))

  it.live("a client that takes no more is cut at the deadline, named with what it did not take", () =>
    Effect.gen(function*() {
      const { listener, target } = yield* echoWith(Fault.StuckFlush({ after: 5 }))
      const client = yield* BadClients.connect(target)
      yield* client.write("hello world")
      assert.strictEqual((yield* client.read).length, 5)
      const error = yield* Effect.flip(listener.close())
      assert.strictEqual(error._tag === "OperationTimedOut" && error.report?.cut[0]?.bytesPending, 6)
      assert.strictEqual((yield* rest(client)).how, "Reset")
    }).pipe(quietly))

  it.live("a client that falls silent is idle, and ended by the drain", () =>
    Effect.gen(function*() {
      const { listener, target } = yield* echoWith(Fault.Silence({ after: 5 }))
      const client = yield* BadClients.connect(target)
      yield* client.write("hello world")
      assert.strictEqual((yield* client.read).length, 5)
      assert.strictEqual((yield* listener.close()).connections.idle, 1)
      assert.deepStrictEqual(yield* rest(client), { bytes: 0, how: "Fin" })
    }).pipe(quietly))

  it.live("a machine without descriptors serves when it has some again", () =>
    Effect.gen(function*() {
      const { injected, target } = yield* echoWith(Fault.AcceptError({ code: "EMFILE", times: 3 }))
      const client = yield* BadClients.connect(target)
      yield* client.write("hello")
      assert.strictEqual((yield* client.read).length, 5)
      assert.deepStrictEqual(yield* injected, ["AcceptError", "AcceptError", "AcceptError"])
    }).pipe(quietly))

  it.live("and takes those that had connected before its close, whatever accepting fails with meanwhile", () =>
    Effect.gen(function*() {
      const { listener, target } = yield* echoWith(Fault.AcceptError({ code: "EMFILE", times: 9 }))
      yield* BadClients.crowd(target, 6)
      assert.strictEqual((yield* listener.close()).connections.total, 6)
    }).pipe(quietly))
})
