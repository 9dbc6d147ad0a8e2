/** Transports of this package, wrapped without knowing what they have for speed. */
import type { Connection } from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as Transport from "@effect-listener/core/Transport"
import * as NodeTls from "@effect-listener/node/NodeTls"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as NetAddress from "effect/net/NetAddress"
import * as Socket from "effect/socket/Socket"
import { echo } from "./support/handlers.ts"
import { connect, kinds, many, quiet, start } from "./support/listening.ts"
import { ask } from "./support/netClient.ts"
import { connectTls } from "./support/tlsClient.ts"
import { pair } from "./support/tlsListening.ts"

/** Another name for each client, and one more capital in what comes from it. */
const shouting = (connection: Transport.TransportConnection): Transport.TransportConnection =>
  Transport.wrapConnection(connection, {
    socket: Socket.make({
      reader: Effect.map(connection.socket.reader, (reader) => ({
        ...reader,
        pull: Effect.map(
          reader.pull,
          (chunks) => [chunks.map((chunk) => Buffer.from(chunk).toString().toUpperCase()).join("")] as const
        )
      })),
      writer: connection.socket.writer
    })
  })

const remote = NetAddress.inetAddressFromIpStringUnsafe("203.0.113.7", 4711)
const named = (connection: Transport.TransportConnection): Transport.TransportConnection =>
  Transport.wrapConnection(connection, { remote })

describe.each(kinds)("a transport that is wrapped, $name", (kind) => {
  it.live("by spreading what it has bound, sees each of 5 connections", () =>
    quiet(Effect.gen(function*() {
      const transport = yield* kind.transport
      let seen = 0
      const listener = yield* Listener.listen({
        ...transport,
        bind: Effect.map(transport.bind, (bound) => ({
          ...bound,
          accept: Effect.tap(bound.accept, () => Effect.sync(() => seen++))
        }))
      })
      yield* start(Listener.serve(listener, echo))
      const answers = yield* many(5, Effect.flatMap(connect(listener), (client) => ask(client, "hello")))
      assert.deepStrictEqual(answers, Array.from({ length: 5 }, () => "hello"))
      assert.strictEqual(seen, 5)
    })))

  for (const [how, f, said] of [["another remote", named, "hello"], ["another socket", shouting, "HELLO"]] as const) {
    it.live(`by mapConnections with ${how}, serves, and closes by goodbyes`, () =>
      quiet(Effect.gen(function*() {
        const transport = yield* kind.transport
        let seen = 0
        const listener = yield* Listener.listen(Transport.mapConnections(transport, (connection) => {
          seen++
          return f(connection)
        }))
        yield* start(Listener.serve(listener, echo, { idle: "pull" }))
        const clients = yield* many(5, connect(listener))
        assert.deepStrictEqual(
          yield* Effect.forEach(clients, (client) => ask(client, "hello")),
          Array.from({ length: 5 }, () => said)
        )
        const infos = yield* listener.connections
        assert.deepStrictEqual(infos.map(({ bytesIn, bytesOut }) => [bytesIn, bytesOut]), infos.map(() => [6, 6]))
        if (f === named) assert.strictEqual(infos[0]!.remote, "203.0.113.7:4711")
        const report = yield* listener.close({ idleGrace: 0 })
        assert.deepStrictEqual([seen, report.connections.idle, report.outcome], [5, 5, "Drained"])
        for (const client of clients) assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "FIN" })
      })))
  }

  it.live("by a function that throws, ends that connection, counts it, and serves the next", () =>
    quiet(Effect.gen(function*() {
      const transport = yield* kind.transport
      let seen = 0
      const listener = yield* Listener.listen(Transport.mapConnections(transport, (connection) => {
        if (seen++ === 0) throw new Error("no")
        return connection
      }))
      yield* start(Listener.serve(listener, echo))
      const first = yield* connect(listener)
      yield* first.ending
      assert.strictEqual(yield* ask(yield* connect(listener), "hello"), "hello")
      assert.strictEqual((yield* listener.close({ idleGrace: 0, deadline: "5 seconds" })).connections.total, 1)
    })))
})

describe("what protocols look for beneath a wrapper", () => {
  it.live("NodeTls.info finds its handshake, whatever is wrapped", () =>
    quiet(Effect.gen(function*() {
      const transport = NodeTls.transport({ host: "127.0.0.1", port: 0, ...pair })
      const listener = yield* Listener.listen(Transport.mapConnections(transport, shouting))
      const info = yield* start(Effect.scoped(Effect.gen(function*() {
        const connection: Connection = yield* listener.accept
        yield* connection.transport.ready
        return yield* NodeTls.info(connection)
      })))
      yield* connectTls(yield* listener.address, { ca: pair.cert })
      assert.strictEqual((yield* Fiber.join(info))._tag, "Some")
    })))
})
