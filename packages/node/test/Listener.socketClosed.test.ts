import * as Listener from "@effect-listener/core/Listener"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Net from "node:net"
import { makeHolder } from "./support/handlers.ts"
import { connect, kinds, listen, start, target } from "./support/listening.ts"
import * as NetClient from "./support/netClient.ts"
import { ask, refusal } from "./support/netClient.ts"
import * as Process from "./support/process.ts"

/** The listening servers of this process, as a library finds them that ends every server there is. */
const servers = (): ReadonlyArray<Net.Server> => {
  const handles: unknown = Reflect.get(process, "_getActiveHandles").call(process)
  return Array.isArray(handles) ? handles.filter((handle) => handle instanceof Net.Server && handle.listening) : []
}

describe.each(kinds)("a listening socket that the process closes past its listener, $name", (kind) => {
  it.live("the listener drains: what is in flight is answered, idle clients get a FIN, and serve ends", () =>
    Effect.gen(function*() {
      const before = servers()
      const listener = yield* listen(kind)
      const holder = yield* makeHolder
      const serving = yield* start(Listener.serve(listener, holder.handler, { idle: "pull" }))
      const busy = yield* connect(listener)
      const idle = yield* connect(listener)
      const address = yield* target(listener)
      yield* busy.send("hold it\n")
      yield* holder.held(1)
      assert.strictEqual(yield* ask(idle, "hello"), "hello")

      const [server, ...others] = servers().filter((server) => !before.includes(server))
      assert.deepStrictEqual(others, [])
      const closed = yield* start(Effect.callback<void>((resume) => {
        server!.close(() => resume(Effect.void))
      }))
      assert.deepStrictEqual(yield* idle.rest, { lines: [], ending: "FIN" })
      assert.strictEqual(yield* refusal(address), kind.refusal)
      assert.strictEqual(yield* listener.state, "Closing")
      yield* holder.release
      assert.deepStrictEqual(yield* busy.rest, { lines: ["released hold it"], ending: "FIN" })
      const report = yield* Fiber.join(serving)
      assert.deepInclude(report, { reason: "socket closed by the process", outcome: "Drained" })
      assert.deepInclude(report.connections, { total: 2, drained: 1, idle: 1 })
      assert.strictEqual(yield* listener.state, "Closed")
      // the callback of Node's close comes when the last connection has ended
      yield* Fiber.join(closed)
    }))

  it.live("a listener that is closing already goes on", () =>
    Effect.gen(function*() {
      const before = servers()
      const listener = yield* listen(kind)
      const holder = yield* makeHolder
      yield* start(Listener.serve(listener, holder.handler, { idle: "pull" }))
      const busy = yield* connect(listener)
      yield* busy.send("hold it\n")
      yield* holder.held(1)
      const [server] = servers().filter((server) => !before.includes(server))
      const closing = yield* start(listener.close({ reason: "mine" }))
      server!.close()
      yield* holder.release
      assert.deepStrictEqual((yield* busy.rest).lines, ["released hold it"])
      assert.deepInclude(yield* Fiber.join(closing), { reason: "mine", outcome: "Drained" })
    }))
})

describe("a worker of node:cluster that is told to disconnect", () => {
  it.live.each(["serve", "serveOn"])("drains and ends with code 0: %s", (name) =>
    Effect.gen(function*() {
      const primary = yield* Process.start(new URL("./programs/clusterPrimary.ts", import.meta.url), { args: [name] })
      const client = yield* NetClient.connect(yield* primary.port)
      yield* client.send("hello\n")
      assert.strictEqual(yield* client.line, "hello")
      const idle = yield* NetClient.connect(yield* primary.port)
      yield* idle.send("hello\n")
      assert.strictEqual(yield* idle.line, "hello")
      yield* client.send("sleep 1000\n")
      yield* primary.signal("SIGUSR2")
      assert.deepStrictEqual(yield* idle.rest, { lines: [], ending: "FIN" })
      assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 1000"], ending: "FIN" })
      assert.deepInclude(yield* primary.event("worker"), { code: 0, signal: null })
      assert.strictEqual((yield* primary.exit).code, 0)
    }))
})
