/** Every module reads a duration in its options in the same way: what is no duration is never taken for zero. */
import { Listener, type Transport } from "@effect-listener/core"
import { NodeHttp, NodeTcp } from "@effect-listener/node"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"

// as in `{ seconds: Number(process.env.GRACE) }` where the variable is not set
const unset = { seconds: Number.NaN }

const local = { host: "127.0.0.1", port: 0 } as const

const transports: ReadonlyArray<readonly [parameter: string, make: Effect.Effect<Transport.Transport>]> = [
  ["keepAlive", Effect.succeed(NodeTcp.transport({ ...local, keepAlive: unset }))],
  ["latency", MemoryTransport.make({ latency: unset })],
  ["bindLatency", MemoryTransport.make({ bindLatency: unset })]
]

const servers: ReadonlyArray<readonly [parameter: string, options: Partial<NodeHttp.ServerOptions>]> = [
  ["timeouts.head", { timeouts: { head: unset } }],
  ["timeouts.request", { timeouts: { request: unset } }],
  ["timeouts.inactivity", { timeouts: { inactivity: unset } }],
  ["drain.deadline", { drain: { deadline: unset } }]
]

describe("a duration of NaN seconds", () => {
  for (const [parameter, make] of transports) {
    it.effect(`is refused as ${parameter} of a transport`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Listener.listen(yield* make))
        assert.strictEqual(error._tag === "InvalidArgument" ? error.parameter : error._tag, parameter)
      }))
  }

  for (const [parameter, options] of servers) {
    it.effect(`is refused as ${parameter} of an HTTP server`, () =>
      Effect.gen(function*() {
        const app = NodeHttp.layerServer({ ...local, ...options })
        const error = yield* Effect.flip(Effect.scoped(Layer.build(app)))
        assert.include(String(error.cause), parameter)
      }))
  }
})
