import { Listener, ListenerError } from "@effect-listener/core"
import { NodeTcp } from "@effect-listener/node"
import { NodeSocket } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, Schema } from "effect"
import { Rpc, RpcClient, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { SocketServer } from "effect/socket"
import * as Net from "node:net"
import { openPort } from "./support/listening.ts"

class Calls extends RpcGroup.make(
  Rpc.make("hold", { payload: { text: Schema.String }, success: Schema.String })
) {}

/** An RPC server whose one call is held until it is released, and a client of it. */
const rpc = Effect.fnUntraced(function*(deadline: `${number} ${"seconds" | "millis"}`) {
  const entered = yield* Deferred.make<void>()
  const release = yield* Deferred.make<void>()
  const handlers = Calls.toLayer({
    hold: ({ text }) =>
      Deferred.succeed(entered, undefined).pipe(
        Effect.andThen(Deferred.await(release)),
        Effect.as(`held ${text}`)
      )
  })
  const server = RpcServer.layer(Calls).pipe(
    Layer.provide(handlers),
    Layer.provideMerge(RpcServer.layerProtocolSocketServer),
    Layer.provideMerge(NodeTcp.layerSocketServer({
      port: 0,
      host: "127.0.0.1",
      drain: { deadline, idleGrace: 0, abortGrace: "500 millis" }
    })),
    Layer.provide(RpcSerialization.layerNdjson)
  )
  const context = yield* Layer.build(server)
  const listener = yield* Effect.provideContext(Effect.service(Listener.Listener), context)
  const port = yield* Effect.provideContext(Listener.Listener.use(openPort), context)
  const protocol = RpcClient.layerProtocolSocket().pipe(
    Layer.provide(NodeSocket.layerNet({ port, host: "127.0.0.1" })),
    Layer.provide(RpcSerialization.layerNdjson)
  )
  const client = yield* Effect.provideContext(RpcClient.make(Calls), yield* Layer.build(protocol))
  return { entered: Deferred.await(entered), release: Deferred.succeed(release, undefined), listener, client }
})

describe("NodeTcp.layerSocketServer", () => {
  it.live("under RpcServer: a call in flight is answered, and the client that stays is waited for and named", () =>
    Effect.gen(function*() {
      const { client, entered, listener, release } = yield* rpc("2 seconds")
      const call = yield* Effect.forkChild(client.hold({ text: "x" }))
      yield* entered
      const closing = yield* Effect.forkChild(Effect.flip(listener.close()), { startImmediately: true })
      yield* release
      assert.strictEqual(yield* Fiber.join(call), "held x")
      const error = yield* Fiber.join(closing)
      assert.instanceOf(error, ListenerError.OperationTimedOut)
      assert.strictEqual(error.report?.cut.length, 1)
      assert.match(error.report?.cut[0]?.remote ?? "", /^127\.0\.0\.1:\d+$/)
    }))

  it.live("under RpcServer: a connection that only waits for its call is never ended as idle", () =>
    Effect.gen(function*() {
      const { client, entered, listener, release } = yield* rpc("20 seconds")
      const call = yield* Effect.forkChild(client.hold({ text: "y" }))
      yield* entered
      yield* Effect.forkChild(Effect.ignore(listener.close()), { startImmediately: true })
      // longer than any grace, which nothing but time would show
      yield* Effect.sleep("700 millis")
      assert.strictEqual((yield* listener.dryRun).active, 1)
      yield* release
      assert.strictEqual(yield* Fiber.join(call), "held y")
      yield* listener.abort
    }))

  it.live("the handler finds its connection's net.Socket, as with NodeSocketServer", () =>
    Effect.gen(function*() {
      const seen = yield* Deferred.make<number | undefined>()
      const context = yield* Layer.build(NodeTcp.layerSocketServer({ port: 0, host: "127.0.0.1" }))
      const server = yield* Effect.provideContext(Effect.service(SocketServer.SocketServer), context)
      const port = yield* Effect.provideContext(Listener.Listener.use(openPort), context)
      yield* Effect.forkScoped(server.run(() =>
        Effect.flatMap(Effect.serviceOption(NodeSocket.NetSocket), (socket) =>
          Deferred.succeed(seen, Option.getOrUndefined(socket)?.remotePort))
      ))
      const client = yield* Effect.acquireRelease(
        Effect.callback<Net.Socket>((resume) => {
          const socket = Net.connect(port, "127.0.0.1", () =>
            resume(Effect.succeed(socket)))
        }),
        (socket) => Effect.sync(() => socket.destroy())
      )
      assert.strictEqual(yield* Deferred.await(seen), client.localPort)
    }))

  it.live("what Node takes and a listener cannot do fails the layer by name", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(NodeTcp.layerSocketServer({ port: 0, highWaterMark: 1 })))
      assert.strictEqual(error.reason._tag, "SocketServerOpenError")
      assert.instanceOf(error.reason.cause, ListenerError.NotSupported)
    }))

  it.live("a port in use fails the layer with the address", () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(NodeTcp.layerSocketServer({ port: 0, host: "127.0.0.1" }))
      const port = yield* Effect.provideContext(Listener.Listener.use(openPort), context)
      const again = NodeTcp.layerSocketServer({ port, host: "127.0.0.1" })
      const error = yield* Effect.flip(Layer.build(Layer.fresh(again)))
      assert(error.reason.cause instanceof ListenerError.AddressInUse)
      assert.strictEqual(error.reason.cause.address, `127.0.0.1:${port}`)
    }))
})
