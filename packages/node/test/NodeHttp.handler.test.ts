import type { Connection } from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import { mapConnections, type Transport, wrapConnection } from "@effect-listener/core/Transport"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeTls from "@effect-listener/node/NodeTls"
import * as MemoryTransport from "@effect-listener/testing/MemoryTransport"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as References from "effect/References"
import { selfSigned } from "./support/certificates.ts"
import * as Http2Client from "./support/http2Client.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import { quiet, start, tagOf, untilStage } from "./support/listening.ts"

const tcp = NodeTcp.transport({ host: "127.0.0.1", port: 0 })
const tls = NodeTls.transport({ host: "127.0.0.1", port: 0, ...selfSigned(), alpnProtocols: ["h2", "http/1.1"] })

/** Answers when it is let. */
const makeServing = (transport: Transport) =>
  Effect.gen(function*() {
    const begun = yield* Deferred.make<void>()
    const gate = yield* Deferred.make<void>()
    const http = yield* NodeHttp.handler(
      Effect.andThen(Deferred.succeed(begun, undefined), Effect.interruptible(Deferred.await(gate))).pipe(
        Effect.as(HttpServerResponse.text("ok"))
      )
    )
    const listener = yield* Listener.listen(transport, { name: "mine" })
    const ended: Array<number> = []
    yield* Effect.forkScoped(Listener.serve(listener, (connection: Connection) =>
      Effect.ensuring(
        http(connection),
        Effect.sync(() => ended.push(connection.id))
      )))
    const address = yield* listener.address
    const port = NetAddress.isInetAddress(address) ? address.port : 0
    return { listener, port, begun: Deferred.await(begun), release: Deferred.succeed(gate, undefined), ended }
  })

describe("NodeHttp.handler", () => {
  it.live("speaks HTTP/1 within a connection's own handler, and drains as HTTP does", () =>
    Effect.gen(function*() {
      const serving = yield* makeServing(tcp)
      const peer = yield* HttpPeer.connect(serving.port)
      const silent = yield* HttpPeer.connect(serving.port)
      yield* peer.send(HttpPeer.get("/"))
      yield* serving.begun
      const closing = yield* start(serving.listener.close({ idleGrace: 0 }))
      yield* untilStage(serving.listener, "Draining")
      yield* serving.release
      assert.strictEqual((yield* peer.response).headers["connection"], "close")
      assert.deepStrictEqual(yield* silent.rest, { ending: "FIN", partial: false })
      const { connections, listener } = yield* Fiber.join(closing)
      assert.deepInclude(connections, { total: 2, drained: 1, idle: 1 })
      assert.strictEqual(listener, "mine")
      assert.strictEqual(serving.ended.length, 2)
    }).pipe(quiet))

  it.live("speaks HTTP/2 by ALPN on a listener of NodeTls", () =>
    Effect.gen(function*() {
      const serving = yield* makeServing(tls)
      yield* serving.release
      const client = yield* Http2Client.connect(serving.port, { tls: true })
      assert.strictEqual((yield* client.get("/")).body, "ok")
      const peer = yield* HttpPeer.connect(serving.port, { tls: true })
      assert.strictEqual((yield* peer.get("/")).body, "ok")
      const { connections } = yield* serving.listener.close({ idleGrace: 0 })
      assert.deepInclude(connections, { total: 2, idle: 2 })
    }).pipe(quiet))

  it.live("counts a client that leaves, and cuts at the deadline", () =>
    Effect.gen(function*() {
      const serving = yield* makeServing(tcp)
      const [leaving, staying] = [yield* HttpPeer.connect(serving.port), yield* HttpPeer.connect(serving.port)]
      yield* staying.send(HttpPeer.get("/"))
      yield* leaving.send(HttpPeer.get("/"))
      yield* serving.begun
      const closing = yield* start(Effect.flip(serving.listener.close({ deadline: 300, abortGrace: 100 })))
      yield* untilStage(serving.listener, "Draining")
      leaving.socket.resetAndDestroy()
      const error = yield* Fiber.join(closing)
      const report = error._tag === "OperationTimedOut" ? error.report : undefined
      assert.deepInclude(report?.connections, { total: 2, endedByPeer: 1, cut: 1 })
      assert.deepStrictEqual(report?.handlersLeftBehind, [])
    }).pipe(quiet))

  it.live("serves a connection whose remote address is another, and none whose bytes are another's to pass on", () =>
    Effect.gen(function*() {
      const http = yield* NodeHttp.handler(Effect.succeed(HttpServerResponse.text("ok")))
      const failure = yield* Deferred.make<string>()
      let first = true
      const wrapped = mapConnections(tcp, (connection) => {
        const { local, socket } = connection
        const wrapper = wrapConnection(connection, first ? { remote: local } : { socket })
        first = false
        return wrapper
      })
      const listener = yield* Listener.listen(wrapped)
      yield* Effect.forkScoped(
        Listener.serve(
          listener,
          (connection: Connection) =>
            Effect.tapErrorTag(http(connection), "NotSupported", ({ _tag }) => Deferred.succeed(failure, _tag))
        )
      )
      const address = yield* listener.address
      const port = NetAddress.isInetAddress(address) ? address.port : 0
      assert.strictEqual((yield* (yield* HttpPeer.connect(port)).get("/")).body, "ok")
      yield* HttpPeer.connect(port)
      assert.strictEqual(yield* Deferred.await(failure), "NotSupported")
    }).pipe(quiet, Effect.provideService(References.MinimumLogLevel, "None")))

  it.live("needs a socket of Node's", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.make()
      const http = yield* NodeHttp.handler(Effect.succeed(HttpServerResponse.text("ok")))
      const listener = yield* Listener.listen(transport)
      const failure = yield* Deferred.make<string>()
      yield* Effect.forkScoped(Listener.serve(listener, (connection: Connection) =>
        Effect.flatMap(tagOf(http(connection)), (tag) =>
          Deferred.succeed(failure, tag))))
      yield* transport.connect
      assert.strictEqual(yield* Deferred.await(failure), "NotSupported")
    }).pipe(quiet))

  it.live("shows the connection of a request what the listener's handler saw", () =>
    Effect.gen(function*() {
      const http = yield* NodeHttp.handler(Effect.map(NodeHttp.connection, (connection) =>
        HttpServerResponse.text(Option.match(connection, {
          onNone: () => "none",
          onSome: ({ id }) => String(id)
        }))))
      const listener = yield* Listener.listen(tcp)
      yield* Effect.forkScoped(Listener.serve(listener, http))
      const address = yield* listener.address
      const peer = yield* HttpPeer.connect(NetAddress.isInetAddress(address) ? address.port : 0)
      assert.strictEqual((yield* peer.get("/")).body, "1")
    }).pipe(quiet))
})
