/** Rounds of hand-overs, restarts and stops under clients that never stop, for short tests and for long ones. */
import * as RpcListener from "@effect-listener/core/RpcListener"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { assert } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as RpcClient from "effect/rpc/RpcClient"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import type * as Net from "node:net"
import * as Handover from "./handover.ts"
import * as Process from "./process.ts"
import * as Relentless from "./relentless.ts"
import { Calls } from "./rpc.ts"

/**
 * Hands over so often under clients, half of which connect anew each time:
 * nothing is lost, every generation has answered, and together they have let in
 * what has connected. A Unix socket keeps its
 * file until the last stop.
 */
export const handOverUnderLoad = (
  kind: Relentless.Protocol,
  times: number,
  options: { readonly clients?: number; readonly kept?: (client: number) => boolean } = {}
) =>
  Effect.gen(function*() {
    const service = yield* Handover.start(kind)
    const inode = () => kind === "unix" ? Fs.lstatSync(service.socket).ino : undefined
    const file = inode()
    const clients = yield* Relentless.start(service.target, options.clients ?? 16, options.kept)
    const pids = yield* Handover.handOver(service, times, clients.more(40))
    yield* clients.answeredBy(pids.at(-1)!)
    const counts = yield* clients.stop
    assert.deepStrictEqual(Relentless.lost(counts), Relentless.none)
    assert.deepStrictEqual(Array.from(counts.by, Number), pids, "every generation has answered")
    assert.strictEqual(inode(), file)
    yield* service.signal(pids.at(-1)!, "SIGTERM")
    const exit = yield* service.process.exit
    const lines = exit.stdout.map((line): Line => JSON.parse(line))
    const closed = lines.filter((line) => line.event === "closed")
    assert.strictEqual(closed.length, times + 1)
    const accepted = closed.reduce((sum, line) => sum + line.accepted, 0)
    // connections by which a successor proves that it accepts are let in as others are, but for the one that proves it
    const probes = lines.reduce((sum, line) => line.event === "handed-over" ? sum + line.report.probes : sum, 0)
    assert.isAtLeast(accepted, counts.connected)
    assert.isAtMost(accepted, counts.connected + probes)
    if (kind === "unix") assert.isFalse(Fs.existsSync(service.socket))
    return counts
  })

/** What the processes of a service say. */
type Line =
  | { readonly event: "open" }
  | { readonly event: "closed"; readonly accepted: number }
  | { readonly event: "handed-over"; readonly report: { readonly probes: number } }

/** The same under callers of an RPC server. A call that is lost fails its caller. */
export const callUnderHandOvers = (times: number) =>
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
    const pids = yield* Handover.handOver(service, times, Effect.sleep("200 millis"))
    yield* Effect.sleep("200 millis")
    stopped = true
    yield* Fiber.join(callers)
    assert.deepStrictEqual(new Set(Array.from(by, Number)), new Set(pids))
  })

/** Stops and starts a service so often while a launcher holds its socket: clients wait, and are not refused. */
export const restartBehindLauncher = (socket: Net.BoundSocket, times: number, without: Duration.Input) =>
  Effect.gen(function*() {
    const { port } = socket.address()
    const service = Process.start(new URL("../programs/inherit.ts", import.meta.url), {
      passed: [socket.fd()],
      env: {
        LISTENERS: JSON.stringify([{ kind: "tcp", port, inherit: { name: "http", required: true } }]),
        LISTEN_FDS: "1",
        LISTEN_FDNAMES: "http"
      }
    })
    let current = yield* service
    yield* current.event("open")
    const clients = yield* Relentless.start({ protocol: "tcp", port }, 16)
    for (let restart = 0; restart < times; restart++) {
      yield* clients.more(40)
      yield* current.signal("SIGTERM")
      assert.strictEqual((yield* current.exit).code, 0)
      yield* Effect.sleep(without)
      current = yield* service
      yield* current.event("open")
    }
    yield* clients.more(40)
    assert.deepStrictEqual(Relentless.lost(yield* clients.stop), Relentless.none)
  })

/** Stops a service for good under clients that keep their connections: they are told, and then nothing listens. */
export const stopUnderLoad = (kind: Relentless.Protocol) =>
  Effect.gen(function*() {
    const service = yield* Handover.start(kind)
    const clients = yield* Relentless.start(service.target, 16, () => true)
    yield* clients.more(200)
    yield* service.signal(service.first, "SIGTERM")
    const { code } = yield* service.process.exit
    const { hung, reset, unanswered } = yield* clients.stop
    assert.deepStrictEqual({ code, reset, unanswered, hung }, { code: 0, reset: 0, unanswered: 0, hung: 0 })
  })

/** Holds the event loop so long before each read phase, until the scope closes. */
const slowTurns = (millis: number) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      setInterval(() => {
        const end = performance.now() + millis
        while (performance.now() < end) {
          // nothing: that is what holds it
        }
      }, 1)
    ),
    (timer) => Effect.sync(() => clearInterval(timer))
  )

/** Clients whose turns are together longer than the grace in which their next request is waited for. */
export const handOverBetweenSlowTurns = (kind: Handover.Kind): Effect.Effect<void, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const service = yield* Handover.start(kind)
    const clients = yield* Relentless.start(service.target, 8, () => true)
    yield* clients.more(40)
    yield* slowTurns(150)
    yield* service.signal(service.first, "SIGUSR2")
    const { pid } = yield* service.generation(1)
    yield* service.handedOver(service.first)
    yield* clients.answeredBy(pid)
    assert.deepStrictEqual(Relentless.lost(yield* clients.stop), Relentless.none)
  })
