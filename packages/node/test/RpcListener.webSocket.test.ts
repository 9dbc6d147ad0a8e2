import { Listener, RpcListener } from "@effect-listener/core"
import { NodeHttp } from "@effect-listener/node"
import { NodeSocket } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { RpcClient, RpcSerialization, RpcServer } from "effect/rpc"
import { Socket } from "effect/socket"
import { quiet, start } from "./support/listening.ts"
import { Calls, repeated } from "./support/rpc.ts"

/** Calls on the route `/rpc` of an HTTP server. */
const serve = (name: string) =>
  quiet(Effect.gen(function*() {
    const executed: Array<number> = []
    const calls = RpcServer.layer(Calls).pipe(
      Layer.provide(Calls.toLayer({
        work: ({ id, millis }) =>
          Effect.suspend(() => {
            executed.push(id)
            return Effect.as(Effect.sleep(millis), name)
          }),
        count: () => Effect.die("not called")
      })),
      Layer.provide(RpcListener.layerProtocolWebsocket({ path: "/rpc" })),
      Layer.provide(RpcSerialization.layerJson)
    )
    const server = HttpRouter.serve(calls, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(NodeHttp.layer({ port: 0, host: "127.0.0.1" }))
    )
    const listener = Context.get(yield* Layer.build(Layer.fresh(server)), Listener.Listener)
    const address = yield* listener.address
    return { url: `ws://127.0.0.1:${address._tag === "UnixPathAddress" ? 0 : address.port}/rpc`, listener, executed }
  }))

const build = (
  protocol: Layer.Layer<RpcClient.Protocol, never, RpcSerialization.RpcSerialization | Socket.WebSocketConstructor>
) =>
  Effect.flatMap(
    Layer.build(Layer.fresh(Layer.provide(protocol, [
      RpcSerialization.layerJson,
      NodeSocket.layerWebSocketConstructor
    ]))),
    (context) => Effect.provideContext(RpcClient.make(Calls), context)
  )

describe("RpcListener.layerProtocolWebsocket", () => {
  it.live("calls in flight at a close are answered, and later ones by the other server", () =>
    Effect.gen(function*() {
      const a = yield* serve("a")
      const b = yield* serve("b")
      const calls = yield* build(
        Layer.orDie(
          RpcListener.layerClientProtocol({ servers: [Socket.makeWebSocket(a.url), Socket.makeWebSocket(b.url)] })
        )
      )
      const working = yield* start(Effect.forEach(
        Array.from({ length: 50 }, (_, id) => id),
        (id) => calls.work({ id, millis: 600 }),
        { concurrency: "unbounded" }
      ))
      yield* Effect.repeat(Effect.sync(() => a.executed.length), { until: (length) => length === 50 })
      const closing = yield* start(quiet(a.listener.close()))
      let sent = 49
      yield* Effect.repeat(Effect.suspend(() => calls.work({ id: ++sent, millis: 0 })), {
        until: (name) => name === "b"
      })
      assert.isUndefined(working.pollUnsafe())
      assert.deepStrictEqual(yield* Fiber.join(working), Array.from({ length: 50 }, () => "a"))
      assert.strictEqual((yield* Fiber.join(closing)).outcome, "Drained")
      assert.strictEqual(repeated([...a.executed, ...b.executed]), 0)
      assert.strictEqual(a.executed.length + b.executed.length, sent + 1)
    }))
})
