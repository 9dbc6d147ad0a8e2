/** What a service that outlives its processes must hold over many of them. */
import * as RpcListener from "@effect-listener/core/RpcListener"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as RpcClient from "effect/rpc/RpcClient"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Fs from "node:fs"
import { bindSocket } from "../src/internal/inherit/boundSocket.ts"
import * as Handover from "./support/handover.ts"
import * as Process from "./support/process.ts"
import * as Relentless from "./support/relentless.ts"
import { Calls } from "./support/rpc.ts"

const slow = 900_000

describe("20 hand-overs under 16 clients that never stop, half of them with new connections", () => {
  for (const kind of ["http", "http2", "tls", "unix", "tcp", "webSocket"] as const) {
    it.live(kind, () =>
      Effect.gen(function*() {
        const service = yield* Handover.start(kind)
        const file = kind === "unix" ? Fs.lstatSync(service.socket).ino : undefined
        const clients = yield* Relentless.start(service.target, 16)
        const pids = yield* Handover.handOver(service, 20, clients.more(40))
        yield* clients.answeredBy(pids.at(-1)!)
        const counts = yield* clients.stop
        assert.deepStrictEqual(Relentless.lost(counts), Relentless.none)
        assert.deepStrictEqual(Array.from(counts.by, Number), pids, "every generation has answered")
        if (kind === "unix") assert.strictEqual(Fs.lstatSync(service.socket).ino, file)
        yield* service.signal(pids.at(-1)!, "SIGTERM")
        yield* service.process.exit
        if (kind === "unix") assert.isFalse(Fs.existsSync(service.socket))
      }), slow)
  }

  it.live("RPC", () =>
    Effect.gen(function*() {
      const service = yield* Handover.start("rpc")
      const by = new Set<string>()
      let stopped = false
      const caller = Effect.gen(function*() {
        const protocol = yield* RpcListener.makeClientProtocol({
          servers: [NodeSocket.makeNet({ host: "127.0.0.1", port: service.target.port! })]
        })
        const client = yield* RpcClient.make(Calls).pipe(Effect.provideService(RpcClient.Protocol, protocol))
        for (let id = 0; !stopped; id++) by.add(yield* client.work({ id, millis: 5 }))
      }).pipe(Effect.scoped, Effect.provide(RpcSerialization.layerNdjson))
      const callers = yield* Effect.forkChild(Effect.all(Array.from({ length: 16 }, () => caller), {
        concurrency: "unbounded"
      }))
      const pids = yield* Handover.handOver(service, 20, Effect.sleep("200 millis"))
      yield* Effect.sleep("200 millis")
      stopped = true
      // a call that is lost fails its caller
      yield* Fiber.join(callers)
      assert.deepStrictEqual(new Set(Array.from(by, Number)), new Set(pids))
    }), slow)
})

describe("60 hand-overs under clients that connect anew each time", () => {
  it.live("lose none", () =>
    Effect.gen(function*() {
      const service = yield* Handover.start("tcp")
      const clients = yield* Relentless.start(service.target, 8, () => false)
      yield* Handover.handOver(service, 60)
      const counts = yield* clients.stop
      assert.deepStrictEqual(Relentless.lost(counts), Relentless.none)
    }), slow)
})

describe("a socket that a launcher holds", () => {
  it.live(
    "refuses and resets no client while the service is stopped and started 20 times, 2 s without a process",
    () =>
      Effect.gen(function*() {
        const socket = yield* Effect.acquireRelease(
          Effect.sync(() => bindSocket({ host: "127.0.0.1" })),
          (socket) => Effect.sync(() => socket.close())
        )
        const { port } = socket.address()
        const service = Process.start(new URL("programs/inherit.ts", import.meta.url), {
          passed: [socket.fd()],
          env: {
            LISTENERS: JSON.stringify([{ kind: "tcp", port, inherit: { name: "http", required: true } }]),
            LISTEN_FDS: "1",
            LISTEN_FDNAMES: "http"
          }
        })
        const started = yield* service
        yield* started.event("open")
        const clients = yield* Relentless.start({ protocol: "tcp", port }, 16)
        let current = started
        for (let restart = 0; restart < 20; restart++) {
          yield* clients.more(40)
          yield* current.signal("SIGTERM")
          assert.strictEqual((yield* current.exit).code, 0)
          yield* Effect.sleep("2 seconds")
          current = yield* service
          yield* current.event("open")
        }
        yield* clients.more(40)
        assert.deepStrictEqual(Relentless.lost(yield* clients.stop), Relentless.none)
      }),
    slow
  )
})
