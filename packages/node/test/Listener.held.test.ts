import * as Listener from "@effect-listener/core/Listener"
import type { Transport } from "@effect-listener/core/Transport"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeTls from "@effect-listener/node/NodeTls"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Net from "node:net"
import { echo } from "./support/handlers.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import * as HttpServing from "./support/httpServing.ts"
import { connect, many, quiet, start, until } from "./support/listening.ts"
import { ask } from "./support/netClient.ts"
import { pair } from "./support/tlsListening.ts"

const at = { host: "127.0.0.1", port: 0 }

/** One place, which is taken, so that all others are held. */
const full = Effect.fnUntraced(function*(transport: Transport) {
  const listener = yield* quiet(Listener.listen(transport, { admission: { maxConnections: 1, maxQueued: 20 } }))
  yield* start(Listener.serve(listener, echo))
  const holder = yield* connect(listener)
  yield* until("the place is taken", () => Effect.runSync(listener.connections).length === 1)
  return { holder, listener }
})

const held = (listener: Listener.Listener, count: number) =>
  until(`${count} are held`, () => Effect.runSync(listener.dryRun).queued === count)

/** Three places; what is asked for under `/hold` is never answered. */
const http = (options: { readonly halfOpen?: boolean; readonly overflow?: "reject" | undefined } = {}) => {
  let executed = 0
  const { halfOpen, overflow } = options
  return Effect.map(
    quiet(HttpServing.app(
      Effect.flatMap(HttpServerRequest, ({ url }) => {
        executed++
        return url === "/hold" ? Effect.interruptible(Effect.never) : Effect.succeed(HttpServerResponse.text("hello"))
      }),
      { halfOpen, admission: { maxConnections: 3, overflow }, timeouts: { inactivity: "1 minute" } }
    )),
    (serving) => ({ ...serving, executed: () => executed })
  )
}

const request = "GET /held HTTP/1.1\r\nHost: x\r\n\r\n"

describe("a client that is held", () => {
  it.live("and resets gives up its place, and is never handled", () =>
    Effect.gen(function*() {
      const { holder, listener } = yield* full(NodeTcp.transport(at))
      const clients = yield* many(20, connect(listener))
      yield* held(listener, 20)
      for (const { socket } of clients) socket.resetAndDestroy()
      yield* held(listener, 0)
      const living = yield* connect(listener)
      yield* held(listener, 1)
      holder.socket.destroy()
      assert.strictEqual(yield* ask(living, "hello"), "hello")
      assert.deepInclude((yield* listener.close()).connections, { total: 1 })
    }))

  it.live("and has ended its side is answered, where that is no leaving", () =>
    Effect.gen(function*() {
      const { holder, listener } = yield* full(NodeTcp.transport(at))
      const client = yield* connect(listener)
      yield* held(listener, 1)
      client.socket.end("hello\n")
      // a reset after it is one
      const other = yield* connect(listener)
      yield* held(listener, 2)
      other.socket.resetAndDestroy()
      yield* held(listener, 1)
      holder.socket.destroy()
      assert.deepStrictEqual(yield* client.rest, { lines: ["hello"], ending: "FIN" })
    }))

  it.live("and has ended its side has gone, where `halfOpen` is false", () =>
    Effect.gen(function*() {
      const { listener } = yield* full(NodeTcp.transport({ ...at, halfOpen: false }))
      const clients = yield* many(10, connect(listener))
      yield* held(listener, 10)
      for (const { socket } of clients) socket.end("hello\n")
      yield* held(listener, 0)
      for (const client of clients) assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "FIN" })
    }))

  it.live("loses nothing of what it has sent meanwhile, however much", () =>
    Effect.gen(function*() {
      const { holder, listener } = yield* full(NodeTcp.transport({ ...at, halfOpen: false }))
      const client = yield* connect(listener)
      yield* held(listener, 1)
      const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index}`)
      yield* client.send(`${lines.join("\n")}\n`)
      holder.socket.destroy()
      for (const line of lines) assert.strictEqual(yield* client.line, line)
    }))

  it.live("has gone before its handshake, over TLS, by a FIN as well as by a reset; others shake hands later", () =>
    Effect.gen(function*() {
      const { listener } = yield* full(NodeTls.transport({ ...at, ...pair }))
      const clients = yield* many(10, connect(listener))
      yield* held(listener, 10)
      for (const [index, { socket }] of clients.entries()) {
        if (index % 2 === 0) socket.end("\x16\x03\x01")
        else socket.resetAndDestroy()
      }
      yield* held(listener, 0)
    }))

  it.live.each([[false, 0], [true, 10]] as const)(
    "over HTTP, and has ended its side after its request: with `halfOpen` %s, %i of 10 are executed",
    ([halfOpen, answered]) =>
      Effect.gen(function*() {
        const { executed, listener, port } = yield* http({ halfOpen })
        const busy = yield* many(3, HttpPeer.connect(port))
        for (const peer of busy) yield* peer.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        yield* until("the places are taken", () => Effect.runSync(listener.dryRun).active === 3)
        const before = executed()
        const clients = Array.from({ length: 10 }, () => Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }))
        yield* held(listener, 10)
        for (const client of clients) client.resume().end(request)
        if (answered === 0) yield* held(listener, 0)
        for (const peer of busy) yield* peer.reset
        yield* held(listener, 0)
        yield* until("all have ended", () => clients.every((client) => client.closed))
        assert.strictEqual(executed() - before, answered)
      })
  )
})

describe("HTTP connections that only wait for their next request", () => {
  it.live.each([undefined, "reject"] as const)(
    "make room for newcomers, with overflow %s",
    (overflow) =>
      Effect.gen(function*() {
        const { listener, port } = yield* http({ overflow })
        const kept = yield* many(3, HttpPeer.connect(port))
        for (const peer of kept) assert.strictEqual((yield* peer.get("/")).status, 200)
        yield* until("the grace of each is over", () =>
          Effect.runSync(listener.connections).every(({ phase, phaseAge = 0 }) =>
            phase === "Idle" && phaseAge > 250
          ))
        const newcomers = yield* many(3, HttpPeer.connect(port))
        for (const peer of newcomers) {
          const { headers, status } = yield* peer.get("/")
          assert.deepStrictEqual([status, headers["connection"]], [200, "keep-alive"])
        }
        for (const peer of kept) assert.deepStrictEqual(yield* peer.rest, { ending: "FIN", partial: false })
      })
  )
})
