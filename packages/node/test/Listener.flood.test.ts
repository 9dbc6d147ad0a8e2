import type { Connection } from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerMetrics from "@effect-listener/core/ListenerMetrics"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Net from "node:net"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Listening from "./support/listening.ts"

const limit = 100
const maxQueued = 511
const size = 5000
/** How many of a flood are on their way at a time: fewer than the kernel's queue holds, so that it drops none. */
const onTheirWay = 300

/** Collects garbage, and answers how many bytes are in use. */
const memory = Effect.promise(async () => {
  setFlagsFromString("--expose-gc")
  const gc: () => void = runInNewContext("gc")
  // what weak references and finalizers hold is let go between two collections
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setImmediate(resolve))
    gc()
  }
  return process.memoryUsage().heapUsed
})

/** Connects one after another, never more on their way than that; over when no more stay than the server holds. */
const makeFlood = (target: Net.NetConnectOpts, held: number) => {
  const open = new Set<Net.Socket>()
  const ends: Record<string, number> = {}
  let begun = 0
  const more = () => {
    while (begun < size && open.size < held + onTheirWay) connect()
  }
  const connect = () => {
    begun++
    const socket = Net.connect(target)
    open.add(socket)
    const ended = (how: string) => {
      if (!open.delete(socket)) return
      ends[how] = (ends[how] ?? 0) + 1
      more()
    }
    socket.on("end", () => ended("FIN"))
    socket.on("error", (error: NodeJS.ErrnoException) => ended(error.code ?? error.message))
    socket.on("close", () => ended("closed"))
    socket.resume()
  }
  more()
  return { ends, until: (left: number) => Listening.until(`${left} stay`, () => begun === size && open.size === left) }
}

describe("a client that waits for a place when a listener closes", () => {
  it.live("gets a FIN, whatever it has sent, before any other has ended", () =>
    Effect.gen(function*() {
      const listener = yield* Listening.listen(Listening.kinds[0]!, { admission: { maxConnections: 1 } })
      const gate = yield* Deferred.make<void>()
      yield* Listening.start(Listener.serve(listener, () => Deferred.await(gate)))
      const first = yield* Listening.connect(listener)
      yield* Listening.until("it is served", () => Effect.runSync(listener.dryRun).active === 1)
      const others = yield* Listening.many(20, Listening.connect(listener))
      yield* Effect.forEach(others, (client) => client.send("hello\n"))
      yield* Listening.until("the others wait", () => Effect.runSync(listener.dryRun).queued === 20)
      const closing = yield* Listening.start(listener.close())
      for (const client of others) assert.strictEqual(yield* client.ending, "FIN")
      assert.isUndefined(closing.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* first.ending, "FIN")
      const { connections } = yield* Fiber.join(closing)
      assert.deepInclude(connections, { total: 21, drained: 1, neverAccepted: 20 })
    }).pipe(Listening.quiet))
})

describe("a flood of 5,000 connections over a limit of 100", () => {
  it.live("never more than 100 handlers, all counted, none reset, memory flat, and a close is in time", () =>
    Effect.gen(function*() {
      let handlers = 0
      let mostHandlers = 0
      const listener = yield* Listening.listen(Listening.kinds[0]!, {
        name: "flooded",
        admission: { maxConnections: limit, maxQueued },
        drain: { deadline: "10 seconds" }
      })
      const echo = Effect.fnUntraced(function*({ socket }: Connection) {
        mostHandlers = Math.max(mostHandlers, ++handlers)
        yield* Effect.addFinalizer(() => Effect.sync(() => handlers--))
        const { pull } = yield* socket.reader
        const { write } = yield* socket.writer
        while (true) {
          for (const chunk of yield* pull) yield* write(chunk)
        }
      })
      yield* Listening.start(Listener.serve(listener, echo, { idle: "pull" }))
      const target = yield* Listening.target(listener)
      const existing = yield* Listening.many(limit, Listening.connect(listener))
      const allAnswered = Effect.forEach(existing, (client) => Effect.andThen(client.send("hello\n"), client.line), {
        concurrency: "unbounded"
      })
      yield* allAnswered
      const of = { listener: "flooded" }
      const refused = Effect.map(
        Metric.value(Metric.withAttributes(ListenerMetrics.connectionsRefused, { ...of, reason: "maxQueued" })),
        ({ count }) => count
      )
      const gauge = (metric: Metric.Gauge<number>) =>
        Effect.map(Metric.value(Metric.withAttributes(metric, of)), ({ value }) => value)

      const first = makeFlood(target, maxQueued)
      yield* first.until(maxQueued)
      const before = yield* memory
      for (const more of [1, 2]) {
        const flood = makeFlood(target, 0)
        yield* allAnswered
        yield* flood.until(0)
        assert.deepStrictEqual(flood.ends, { FIN: size })
        assert.strictEqual(yield* refused, size - maxQueued + more * size)
      }
      yield* allAnswered
      assert.deepStrictEqual(first.ends, { FIN: size - maxQueued })
      assert.strictEqual(yield* gauge(ListenerMetrics.connectionsQueued), maxQueued)
      assert.strictEqual(yield* gauge(ListenerMetrics.connectionsOpen), limit + maxQueued)
      // what is kept of ten thousand connections would show, a kilobyte of each
      assert.isBelow((yield* memory) - before, 8 << 20)

      const report = yield* listener.close()
      assert.deepInclude(report.connections, { total: limit + maxQueued, idle: limit, neverAccepted: maxQueued })
      assert.isBelow(report.duration, 10_000)
      yield* first.until(0)
      assert.deepStrictEqual(first.ends, { FIN: size })
      for (const client of existing) assert.strictEqual(yield* client.ending, "FIN")
      assert.deepStrictEqual([handlers, mostHandlers], [0, limit])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))
})
