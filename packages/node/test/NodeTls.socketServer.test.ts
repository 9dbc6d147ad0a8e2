import { Listener } from "@effect-listener/core"
import { NodeTls } from "@effect-listener/node"
import { NodeSocket } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { Socket, SocketServer } from "effect/socket"
import * as Tls from "node:tls"
import { connectTls } from "./support/tlsClient.ts"
import { pair } from "./support/tlsListening.ts"

const options = { host: "127.0.0.1", port: 0, ...pair, drain: { deadline: "5 seconds" } } as const

describe("NodeTls.layerSocketServer", () => {
  it.live("runs handlers when their handshake is done, with the TLS socket in their context", () =>
    Effect.gen(function*() {
      const seen = yield* Deferred.make<unknown>()
      const server = yield* SocketServer.SocketServer
      yield* Effect.forkScoped(server.run(Effect.fnUntraced(function*(socket) {
        yield* Deferred.succeed(seen, yield* Effect.serviceOption(NodeSocket.NetSocket))
        const pull = yield* Socket.readerString(socket)
        const writer = yield* socket.writer
        yield* writer.write(`got ${(yield* pull).join("")}`)
      }, Effect.scoped)))
      const peer = yield* connectTls(server.address as never, { ca: pair.cert })
      yield* peer.send("hello")
      assert.strictEqual((yield* peer.rest).data.toString(), "got hello")
      const netSocket = yield* Deferred.await(seen)
      assert.propertyVal(netSocket, "_tag", "Some")
      assert.instanceOf((netSocket as { readonly value: unknown }).value, Tls.TLSSocket)
      const listener = yield* Listener.Listener
      assert.strictEqual(yield* listener.state, "Open")
    }).pipe(Effect.provide(NodeTls.layerSocketServer(options))))

  it.live("fails with what is wrong with the certificate", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Effect.provide(SocketServer.SocketServer, NodeTls.layerSocketServer({ ...options, cert: "" }))
      )
      assert.propertyVal(error.reason, "_tag", "SocketServerOpenError")
      assert.propertyVal(error.cause, "_tag", "SecurityFailure")
    }))
})
