import {
  DatagramListener,
  type DatagramTransport,
  DrainReport,
  Listener,
  ListenerHost,
  ListenerMetrics,
  ListenerRegistry,
  Transport
} from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Metric, Option, Queue, References, Scope, Stream, Tracer } from "effect"
import type { DatagramSocket } from "effect/socket"
import { TestClock } from "effect/testing"
import type { DatagramListenerImpl } from "../src/internal/datagrams/datagramListener.ts"
import { echo, listen, remotesServed, serving, settled, textOf } from "./support/datagrams.ts"
import { start, tagOf, untilStage } from "./support/listening.ts"
import { keptLog } from "./support/logs.ts"
import { withThrowingTracer } from "./support/tracers.ts"

const sum = (counts: DrainReport.DatagramCounts | undefined): boolean => {
  if (counts === undefined) return false
  const { dropped, received, ...ends } = counts
  return received === [...Object.values(ends), ...Object.values(dropped)].reduce((a, b) => a + b, 0)
}

const kindOf = ({ reason }: DatagramSocket.DatagramSocketError): string => "kind" in reason ? reason.kind : reason._tag

describe("datagrams", () => {
  it.effect("are served, answered and counted", () =>
    Effect.gen(function*() {
      const { listener, served, transport } = yield* serving(echo)
      const client = yield* transport.client
      for (const text of ["one", "two", "three"]) yield* client.send(text)
      assert.deepStrictEqual([yield* client.receiveText, yield* client.receiveText], ["one", "two"])
      assert.strictEqual(yield* client.receiveText, "three")
      yield* settled
      const report = yield* listener.close({ reason: "test" })
      assert.deepStrictEqual([report.datagrams?.received, report.datagrams?.answered], [3, 3])
      assert.isTrue(sum(report.datagrams))
      assert.strictEqual(report.outcome, "Drained")
      assert.deepStrictEqual(yield* Fiber.join(served), report)
      assert.strictEqual(yield* transport.open, 0)
      assert.strictEqual(
        DrainReport.format({ ...report, duration: 0 }),
        "memory-datagrams: drained in 0 ms (test)\n  0 exchanges\n  3 datagrams in all: 3 answered"
      )
    }))

  it.effect("are answered when there are many at the same time, from many remotes", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(
        (datagram, reply) => Effect.andThen(Effect.sleep("1 second"), reply(datagram.payload))
      )
      const clients = yield* Effect.forEach(Array.from({ length: 50 }), () => transport.client)
      for (const [i, client] of clients.entries()) yield* client.send(String(i))
      yield* settled
      assert.strictEqual((yield* listener.exchanges).length, 50)
      yield* TestClock.adjust("1 second")
      for (const [i, client] of clients.entries()) assert.deepStrictEqual(yield* client.received, [String(i)])
      assert.strictEqual((yield* listener.exchanges).length, 0)
    }))

  it.effect("may be answered more than once, or not at all, and by a handler with finalizers", () =>
    Effect.gen(function*() {
      const finalized: Array<string> = []
      const { listener, transport } = yield* serving(Effect.fnUntraced(function*(datagram, reply) {
        const text = textOf(datagram)
        yield* Effect.addFinalizer(() => Effect.sync(() => finalized.push(text)))
        for (let i = 0; i < Number(text); i++) yield* reply(`${text}/${i}`)
      }))
      const client = yield* transport.client
      yield* client.send("0")
      yield* client.send("2")
      yield* settled
      assert.deepStrictEqual(yield* client.received, ["2/0", "2/1"])
      assert.deepStrictEqual(finalized, ["0", "2"])
      assert.strictEqual((yield* listener.close()).datagrams?.answered, 2)
    }))

  it.effect("that are lost, doubled, delayed or reordered on their way are so for client and server alike", () =>
    Effect.gen(function*() {
      const fates = [{ copies: 0 }, { copies: 2 }, { behind: 1 }, {}, { delay: "1 second" }] as const
      const { listener, transport } = yield* serving(echo, {
        memory: { fate: ({ direction, number }) => direction === "toServer" ? fates[number % 5]! : {} }
      })
      const client = yield* transport.client
      for (const text of ["lost", "doubled", "behind", "usual", "late"]) yield* client.send(text)
      yield* settled
      assert.deepStrictEqual(yield* client.received, ["doubled", "doubled", "usual", "behind"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* client.received, ["doubled", "doubled", "usual", "behind", "late"])
      assert.strictEqual((yield* listener.close()).datagrams?.received, 5)
    }))
})

describe("receive", () => {
  it.effect("gives datagrams first come first served, and each once", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const listener = yield* listen(transport)
      const waiting = yield* Effect.forEach([1, 2, 3], () =>
        start(Effect.scoped(Effect.flatMap(listener.receive, (datagram) =>
          datagram.reply(`to ${textOf(datagram)}`)))))
      const client = yield* transport.client
      for (const text of ["a", "b", "c", "d"]) {
        yield* client.send(text)
      }
      for (const fiber of waiting) {
        yield* Fiber.join(fiber)
      }
      assert.deepStrictEqual(yield* client.received, ["to a", "to b", "to c"])
      assert.strictEqual(textOf(yield* Effect.scoped(listener.receive)), "d")
      assert.strictEqual((yield* listener.close()).datagrams?.answered, 4)
    }))

  it.effect("loses none when it is interrupted", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const listener = yield* listen(transport)
      const first = yield* start(Effect.scoped(listener.receive))
      const second = yield* start(Effect.scoped(Effect.map(listener.receive, textOf)))
      yield* Fiber.interrupt(first)
      const client = yield* transport.client
      yield* client.send("kept")
      assert.strictEqual(yield* Fiber.join(second), "kept")
    }))

  it.effect("is an exchange as long as its scope lasts, and a close waits for that", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const listener = yield* listen(transport)
      const client = yield* transport.client
      yield* client.send("slow")
      const scope = yield* Scope.make()
      const answered = yield* start(
        Effect.gen(function*() {
          const datagram = yield* Scope.provide(listener.receive, scope)
          yield* Effect.sleep("5 seconds")
          yield* datagram.reply("done")
          yield* Scope.close(scope, yield* Effect.exit(Effect.void))
        })
      )
      yield* settled
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(answered)
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* client.received, ["done"])
      assert.strictEqual(report.connections.drained, 1)
    }))

  it.effect("fails by name: what waits as a close ends, as an abort does, and what comes after", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const listener = yield* DatagramListener.make(transport)
      const early = yield* Effect.flip(Effect.scoped(listener.receive))
      assert.deepStrictEqual([early._tag, early.operation], ["InvalidOperation", "receive"])
      yield* listener.open
      const waiting = yield* start(tagOf(Effect.scoped(listener.receive)))
      yield* listener.close()
      assert.strictEqual(yield* Fiber.join(waiting), "OperationAborted")
      assert.strictEqual(yield* tagOf(Effect.scoped(listener.receive)), "InvalidOperation")
      yield* listener.reset
      yield* listener.open
      const cut = yield* start(tagOf(Effect.scoped(listener.receive)))
      yield* listener.abort
      assert.strictEqual(yield* Fiber.join(cut), "OperationAborted")
      assert.strictEqual(yield* tagOf(Effect.scoped(listener.receive)), "ListenerFaulted")
    }))

  it.effect("and serve share what comes, in turn", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo)
      const received = yield* start(Effect.scoped(Effect.map(listener.receive, textOf)))
      const client = yield* transport.client
      for (const text of ["a", "b", "c"]) yield* client.send(text)
      yield* settled
      const all = [...yield* client.received, yield* Fiber.join(received)]
      assert.deepStrictEqual(all.sort(), ["a", "b", "c"])
    }))
})

describe("serve", () => {
  it.effect("takes what comes at once when the other of two has left", () =>
    Effect.gen(function*() {
      const { listener, served, transport } = yield* serving(echo)
      // what the queue knows of its consumers is its own affair, and this test's
      const { manager } = listener as unknown as { readonly manager: DatagramListenerImpl["manager"] }
      const { sole } = manager.queue
      const other = yield* start(DatagramListener.serve(listener, echo))
      assert.deepStrictEqual([sole === undefined, manager.queue.sole], [false, undefined])
      yield* Fiber.interrupt(other)
      assert.strictEqual(manager.queue.sole, sole)
      const client = yield* transport.client
      yield* client.send("x")
      assert.strictEqual(yield* client.receiveText, "x")
      yield* Fiber.interrupt(served)
      assert.isUndefined(manager.queue.sole)
    }))
})

describe("a close", () => {
  it.effect("answers what waits in the kernel", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo)
      yield* transport.hold
      const client = yield* transport.client
      for (let i = 0; i < 201; i++) yield* client.send(String(i))
      assert.strictEqual(yield* transport.queued, 201)
      const report = yield* listener.close()
      assert.strictEqual((yield* client.received).length, 201)
      assert.strictEqual(report.swept, 201)
      assert.strictEqual(report.datagrams?.answered, 201)
    }))

  it.effect("releases the socket only after the answers, which may take their time", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(
        (datagram, reply) => Effect.andThen(Effect.sleep("500 millis"), reply(datagram.payload))
      )
      const client = yield* transport.client
      for (let i = 0; i < 10; i++) yield* client.send(String(i))
      yield* settled
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      assert.isFalse(yield* listener.readiness)
      yield* client.send("late")
      yield* TestClock.adjust("499 millis")
      assert.deepStrictEqual([yield* transport.open, (yield* client.received).length], [1, 0])
      yield* TestClock.adjust("1 millis")
      const report = yield* Fiber.join(closing)
      assert.strictEqual((yield* client.received).length, 10)
      assert.strictEqual(yield* transport.open, 0)
      // what came after it had stopped is dropped, and counted
      assert.strictEqual(report.datagrams?.dropped.transport, 1)
      assert.isTrue(sum(report.datagrams))
    }))

  it.effect("waits for an answer that the kernel has no room for", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo)
      yield* transport.holdSends
      const client = yield* transport.client
      yield* client.send("full")
      yield* settled
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      const [info] = yield* listener.exchanges
      assert.strictEqual(info?.bytesPending, 4)
      yield* transport.releaseSends
      assert.strictEqual((yield* Fiber.join(closing)).datagrams?.answered, 1)
      assert.deepStrictEqual(yield* client.received, ["full"])
    }))

  it.effect("cuts a handler that never ends at the deadline, and names it", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(() => Effect.never, {
        label: (datagram) => `query ${textOf(datagram)}`
      })
      const client = yield* transport.client
      yield* client.send("forever")
      yield* settled
      const closing = yield* start(Effect.flip(listener.close({ deadline: "3 seconds" })))
      yield* TestClock.adjust("3 seconds")
      const error = yield* Fiber.join(closing)
      assert(error._tag === "OperationTimedOut" && error.report !== undefined)
      assert.deepStrictEqual(error.report.cut.map(({ exchanges }) => exchanges[0]?.label), ["query forever"])
      assert.strictEqual(error.report.datagrams?.cut, 1)
      assert.isTrue(sum(error.report.datagrams))
      assert.deepStrictEqual([yield* listener.state, yield* transport.open], ["Closed", 0])
    }))

  it.effect("leaves a handler behind that cannot be interrupted, and names it", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(() => Effect.uninterruptible(Effect.never), {
        label: () => {
          throw new Error("no label")
        }
      })
      const client = yield* transport.client
      yield* client.send("x")
      yield* settled
      const closing = yield* start(Effect.flip(listener.close({ deadline: "1 second", abortGrace: "1 second" })))
      yield* TestClock.adjust("2 seconds")
      const error = yield* Fiber.join(closing)
      assert(error._tag === "OperationTimedOut" && error.report !== undefined)
      assert.deepStrictEqual(
        error.report.handlersLeftBehind.map(({ exchanges }) => exchanges[0]?.label),
        ["datagram of 1 byte"]
      )
    }))

  it.effect("does not wait for the handler that asked for it, which can still answer", () =>
    Effect.gen(function*() {
      const closing = yield* Deferred.make<DatagramListener.DatagramListener>()
      const { listener, transport } = yield* serving(Effect.fnUntraced(function*(datagram, reply) {
        if (textOf(datagram) === "slow") return yield* Effect.andThen(Effect.sleep("1 second"), reply("slow"))
        const report = yield* (yield* Deferred.await(closing)).close()
        yield* reply(report.outcome)
      }))
      yield* Deferred.succeed(closing, listener)
      const client = yield* transport.client
      yield* client.send("slow")
      yield* client.send("close")
      yield* settled
      assert.strictEqual(yield* listener.state, "Closing")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* client.received, ["slow", "Drained"])
      const report = yield* listener.closed
      assert.deepStrictEqual([report.datagrams?.closer, report.datagrams?.answered], [1, 1])
      assert.strictEqual(yield* transport.open, 0)
    }))

  const underTimeOut = (listener: DatagramListener.DatagramListener) => Effect.timeout(listener.close(), "7 seconds")

  it.effect("under a time-out does not wait for the handler that asked for it either", () =>
    Effect.gen(function*() {
      const closing = yield* Deferred.make<DatagramListener.DatagramListener>()
      const { listener, transport } = yield* serving(Effect.fnUntraced(function*(_, reply) {
        const report = yield* underTimeOut(yield* Deferred.await(closing))
        yield* reply(report.outcome)
      }))
      yield* Deferred.succeed(closing, listener)
      const client = yield* transport.client
      yield* client.send("close")
      yield* TestClock.adjust("8 seconds")
      assert.deepStrictEqual(yield* client.received, ["Drained"])
      const report = yield* listener.closed
      assert.deepStrictEqual([report.datagrams?.closer, report.datagrams?.answered], [1, 0])
      assert.isBelow(report.duration, 1000)
    }))

  it.effect("under a time-out does not wait for what the fiber that asked for it has received, but for what others have", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const listener = yield* listen(transport)
      const client = yield* transport.client
      for (const text of ["a", "b"]) yield* client.send(text)
      const other = yield* start(Effect.scoped(Effect.andThen(listener.receive, Effect.sleep("3 seconds"))))
      const closing = yield* start(Effect.scoped(Effect.andThen(listener.receive, underTimeOut(listener))))
      yield* TestClock.adjust("8 seconds")
      yield* Fiber.join(other)
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual([report.datagrams?.answered, report.datagrams?.closer], [1, 1])
      assert.isAtLeast(report.duration, 3000)
      assert.isBelow(report.duration, 7000)
    }))

  it.effect("whose time-out is over waits for what the handler does from then on", () =>
    Effect.gen(function*() {
      const closing = yield* Deferred.make<DatagramListener.DatagramListener>()
      const { listener, transport } = yield* serving(Effect.fnUntraced(function*(datagram, reply) {
        if (textOf(datagram) === "close") {
          yield* Effect.ignore(Effect.timeout((yield* Deferred.await(closing)).close(), "1 second"))
          yield* Effect.sleep("6 seconds")
        } else yield* Effect.sleep("3 seconds")
        yield* reply(textOf(datagram))
      }))
      yield* Deferred.succeed(closing, listener)
      const client = yield* transport.client
      yield* client.send("close")
      yield* client.send("other")
      yield* TestClock.adjust("8 seconds")
      assert.deepStrictEqual(yield* client.received, ["other", "close"])
      const report = yield* listener.closed
      assert.deepStrictEqual([report.datagrams?.closer, report.datagrams?.answered], [0, 2])
    }))

  it.effect("that the handler has forked waits for what the handler does meanwhile", () =>
    Effect.gen(function*() {
      const closing = yield* Deferred.make<DatagramListener.DatagramListener>()
      const { listener, transport } = yield* serving(Effect.fnUntraced(function*(_, reply) {
        yield* Effect.forkDetach((yield* Deferred.await(closing)).close(), { startImmediately: true })
        yield* Effect.sleep("5 seconds")
        yield* reply("done")
      }))
      yield* Deferred.succeed(closing, listener)
      const client = yield* transport.client
      yield* client.send("close")
      yield* TestClock.adjust("8 seconds")
      assert.deepStrictEqual(yield* client.received, ["done"])
      const report = yield* listener.closed
      assert.deepStrictEqual([report.datagrams?.closer, report.datagrams?.answered], [0, 1])
    }))

  it.effect("waits for what the fiber that closes has received and given to others", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const listener = yield* listen(transport)
      const client = yield* transport.client
      for (const text of ["a", "b", "c"]) yield* client.send(text)
      const closing = yield* start(Effect.gen(function*() {
        for (let i = 0; i < 3; i++) {
          const scope = yield* Scope.make()
          const datagram = yield* Scope.provide(listener.receive, scope)
          const answer = Effect.andThen(Effect.sleep("2500 millis"), Effect.ignore(datagram.reply(datagram.payload)))
          yield* Effect.forkDetach(
            Effect.andThen(answer, Effect.flatMap(Effect.exit(Effect.void), (exit) => Scope.close(scope, exit)))
          )
        }
        return yield* listener.close()
      }))
      yield* TestClock.adjust("2500 millis")
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* client.received, ["a", "b", "c"])
      assert.deepStrictEqual([report.datagrams?.answered, report.datagrams?.closer], [3, 0])
    }))

  it.effect("has a lame duck, in which datagrams are served still", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo)
      const closing = yield* start(listener.close({ lameDuck: "5 seconds" }))
      yield* untilStage(listener, "LameDuck")
      assert.deepStrictEqual([yield* listener.state, yield* listener.readiness], ["Open", false])
      const client = yield* transport.client
      yield* client.send("x")
      assert.strictEqual(yield* client.receiveText, "x")
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(closing)
    }))

  it.effect("by the end of the owner's scope drains as well", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const client = yield* transport.client
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(
        DatagramListener.layerServe(transport, (_, reply) => Effect.andThen(Effect.sleep("1 second"), reply("answer"))),
        scope
      )
      yield* client.send("x")
      yield* settled
      const ended = yield* start(Scope.close(scope, yield* Effect.exit(Effect.void)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(ended)
      assert.deepStrictEqual(yield* client.received, ["answer"])
      assert.strictEqual(yield* transport.open, 0)
    }))

  it.effect("1,000 times over leaves nothing", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const listener = yield* DatagramListener.make(transport)
      const client = yield* transport.client
      for (let i = 0; i < 1000; i++) {
        yield* listener.open
        const served = yield* start(DatagramListener.serve(listener, echo))
        yield* client.send(String(i))
        yield* listener.close()
        assert.strictEqual((yield* Fiber.join(served)).datagrams?.answered, 1)
        yield* listener.reset
        assert.strictEqual(yield* transport.open, 0)
      }
      assert.strictEqual((yield* client.received).length, 1000)
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))
})

describe("an abort", () => {
  it.effect("cuts what is in flight, frees the address, and the close after it says what was cut", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const { listener, served, transport } = yield* serving(() =>
        Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      )
      const client = yield* transport.client
      yield* client.send("x")
      yield* settled
      yield* listener.abort
      yield* Deferred.await(interrupted)
      assert.strictEqual(yield* listener.state, "Faulted")
      assert.strictEqual(yield* tagOf(Fiber.join(served)), "ListenerFaulted")
      const report = yield* listener.close()
      assert.deepStrictEqual([report.outcome, report.datagrams?.cut, report.cut.length], ["Aborted", 1, 1])
      assert.strictEqual(yield* transport.open, 0)
      yield* listener.reset
      yield* listener.open
      assert.strictEqual(yield* listener.state, "Open")
    }))

  it.effect("makes the answer of what was cut fail, and not go out", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const listener = yield* listen(transport)
      const client = yield* transport.client
      yield* client.send("x")
      const datagram = yield* listener.receive
      yield* listener.abort
      assert.strictEqual(kindOf(yield* Effect.flip(datagram.reply("late"))), "DatagramSocketClosedError")
      assert.deepStrictEqual(yield* client.received, [])
    }))

  it.effect("of an open that is under way leaves it as it was", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const gate = yield* Deferred.make<void>()
      const slow = { ...transport, bind: Effect.andThen(Deferred.await(gate), transport.bind) }
      const listener = yield* DatagramListener.make(slow)
      const opening = yield* start(tagOf(listener.open))
      yield* listener.abort
      assert.strictEqual(yield* Fiber.join(opening), "OperationAborted")
      assert.deepStrictEqual([yield* listener.state, yield* transport.open], ["Created", 0])
    }))
})

describe("admission", () => {
  it.effect("maxExchanges: of 1,000 datagrams as many are dropped as are not answered", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(
        (datagram, reply) => Effect.andThen(Effect.sleep("10 millis"), reply(datagram.payload)),
        { admission: { maxExchanges: 10 } }
      )
      const client = yield* transport.client
      for (let i = 0; i < 100; i++) {
        for (let j = 0; j < 10; j++) yield* client.send(`${i}/${j}`)
        yield* settled
        assert.isAtMost((yield* listener.exchanges).length, 10)
        yield* TestClock.adjust("5 millis")
      }
      yield* TestClock.adjust("10 millis")
      const answered = (yield* client.received).length
      const { datagrams } = yield* listener.close()
      assert.deepStrictEqual([datagrams?.received, datagrams?.answered], [1000, answered])
      assert.strictEqual(datagrams?.dropped.maxExchanges, 1000 - answered)
      assert.isAbove(answered, 10)
      assert.isBelow(answered, 1000)
    }))

  it.effect("receiveRate: a number in an interval, the others are dropped and counted", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo, {
        admission: { receiveRate: { limit: 5, interval: "1 second" } }
      })
      const client = yield* transport.client
      for (let second = 0; second < 3; second++) {
        for (let i = 0; i < 8; i++) yield* client.send("x")
        yield* settled
        yield* TestClock.adjust("1 second")
      }
      const { datagrams } = yield* listener.close()
      assert.deepStrictEqual([datagrams?.answered, datagrams?.dropped.receiveRate], [15, 9])
    }))

  it.effect("maxPerRemote: each remote has its own, and nothing is kept of 10,000 that have gone", () =>
    Effect.gen(function*() {
      const finish = yield* Queue.unbounded<void>()
      const remotes = yield* remotesServed({ maxPerRemote: 1 }, () => Queue.take(finish))
      for (let batch = 0; batch < 10; batch++) {
        for (let i = 0; i < 1000; i++) {
          remotes.arrive(batch * 1000 + i)
          remotes.arrive(batch * 1000 + i)
        }
        assert.strictEqual(remotes.kept(), 1000)
        for (let i = 0; i < 1000; i++) yield* Queue.offer(finish, undefined)
        yield* settled
        assert.strictEqual(remotes.kept(), 0)
      }
      const { datagrams } = yield* remotes.listener.close()
      assert.deepStrictEqual([datagrams?.answered, datagrams?.dropped.maxPerRemote], [10_000, 10_000])
    }).pipe(Effect.scoped))

  it.effect("maxQueued: what nothing receives waits, more is dropped, and what is left at a close is counted", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const listener = yield* listen(transport, { admission: { maxQueued: 3 } })
      const client = yield* transport.client
      for (let i = 0; i < 5; i++) yield* client.send(String(i))
      yield* settled
      assert.strictEqual((yield* listener.dryRun).queued, 3)
      assert.strictEqual(textOf(yield* Effect.scoped(listener.receive)), "0")
      const { connections, datagrams } = yield* listener.close()
      assert.deepStrictEqual([datagrams?.dropped.maxQueued, datagrams?.dropped.neverReceived], [2, 2])
      assert.strictEqual(connections.neverAccepted, 2)
      assert.isTrue(sum(datagrams))
    }))

  it.effect("can be changed while the listener runs, and outlives a reset", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(() => Effect.never)
      const client = yield* transport.client
      yield* client.send("a")
      yield* client.send("b")
      yield* settled
      yield* listener.setAdmission({ maxExchanges: 2 })
      yield* client.send("c")
      yield* settled
      assert.strictEqual((yield* listener.exchanges).length, 2)
      const bad = yield* Effect.flip(listener.setAdmission({ maxExchanges: 0 }))
      assert.strictEqual(bad.parameter, "admission.maxExchanges")
      yield* listener.abort
      assert.strictEqual((yield* listener.close()).datagrams?.dropped.maxExchanges, 1)
    }))

  it.effect("options that cannot be used fail the open, by name", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      for (
        const [parameter, options] of [
          ["admission.maxExchanges", { admission: { maxExchanges: -1 } }],
          ["admission.receiveRate.limit", { admission: { receiveRate: { limit: 0, interval: 1 } } }],
          ["admission.receiveRate.interval", { admission: { receiveRate: { limit: 1, interval: 0 } } }],
          ["admission.maxPerRemote", { admission: { maxPerRemote: 1.5 } }],
          ["admission.maxQueued", { admission: { maxQueued: Number.NaN } }],
          ["drain.deadline", { drain: { deadline: "Infinity" } }],
          ["timeouts.open", { timeouts: { open: -1 } }]
        ] as const
      ) {
        const listener = yield* DatagramListener.make(transport, options)
        const error = yield* Effect.flip(listener.open)
        assert(error._tag === "InvalidArgument")
        assert.strictEqual(error.parameter, parameter)
      }
    }))
})

describe("failures", () => {
  it.effect("of a handler end its exchange, and nothing else", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving((datagram, reply) => {
        switch (textOf(datagram)) {
          case "fails":
            return Effect.fail("no")
          case "dies":
            return Effect.die("no")
          case "throws":
            throw new Error("no")
          case "finalizer":
            return Effect.addFinalizer(() => Effect.die("no"))
          case "interrupts":
            return Effect.interrupt
          default:
            return reply("fine")
        }
      })
      const client = yield* transport.client
      const bad = ["fails", "dies", "throws", "finalizer", "interrupts"]
      for (const text of [...bad, "ok"]) yield* client.send(text)
      assert.strictEqual(yield* client.receiveText, "fine")
      const { datagrams } = yield* listener.close()
      assert.deepStrictEqual([datagrams?.failed, datagrams?.answered], [bad.length, 1])
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))

  it.effect("to send fail the reply by their kind, with and without a fiber, and are no alarm", () =>
    Effect.gen(function*() {
      const kinds: Array<string> = []
      const { listener, transport } = yield* serving(
        (datagram, reply) =>
          textOf(datagram) === "echo"
            ? reply(new Uint8Array(20))
            : Effect.tapError(reply("x"), (error) => Effect.sync(() => kinds.push(kindOf(error)))),
        { memory: { largest: 10 } }
      )
      const client = yield* transport.client
      yield* transport.failSend("Unreachable")
      yield* client.send("a")
      yield* client.send("echo")
      yield* client.send("b")
      assert.strictEqual(yield* client.receiveText, "x")
      assert.deepStrictEqual(kinds, ["Unreachable"])
      const { datagrams } = yield* listener.close()
      assert.deepStrictEqual([datagrams?.failed, datagrams?.answered], [2, 1])
    }))

  it.effect("to receive are retried: an ECONNREFUSED of an earlier answer never ends the listener", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(echo)
      const refused = new Transport.TransportAcceptError({ class: "transient", code: "ECONNREFUSED", cause: "icmp" })
      const full = new Transport.TransportAcceptError({ class: "exhausted", code: "ENOBUFS", cause: "full" })
      const client = yield* transport.client
      yield* transport.failReceive(refused, 100)
      yield* client.send("a")
      yield* settled
      yield* Effect.repeat(Effect.yieldNow, { times: 500 })
      assert.deepStrictEqual(yield* client.received, ["a"])
      yield* transport.failReceive(full, 3)
      yield* client.send("b")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* client.received, ["a", "b"])
      assert.strictEqual(yield* listener.state, "Open")
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))

  it.effect("of the socket fault the listener; its close still reports", () =>
    Effect.gen(function*() {
      const { listener, served, transport } = yield* serving(() => Effect.never)
      const client = yield* transport.client
      yield* client.send("x")
      yield* settled
      const waiting = yield* start(tagOf(Effect.scoped(listener.receive)))
      yield* transport.fault(new Transport.TransportAcceptError({ class: "fatal", code: "EBADF", cause: "gone" }))
      assert.strictEqual(yield* tagOf(Fiber.join(served)), "ListenerFaulted")
      assert.strictEqual(yield* Fiber.join(waiting), "ListenerFaulted")
      assert.strictEqual(yield* listener.state, "Faulted")
      const closing = yield* start(tagOf(listener.close({ deadline: "1 second" })))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(closing), "OperationTimedOut")
      assert.strictEqual(yield* transport.open, 0)
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))

  it.effect("to bind leave the listener Created, with the error by its name", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const first = yield* listen(transport)
      const listener = yield* DatagramListener.make(transport)
      assert.strictEqual(yield* tagOf(listener.open), "AddressInUse")
      yield* first.close()
      yield* transport.failBind(Transport.TransportBindError.AccessDenied({ address: "127.0.0.1:53" }))
      assert.strictEqual(yield* tagOf(listener.open), "AccessDenied")
      assert.strictEqual(yield* listener.state, "Created")
      yield* listener.open
    }))

  it.effect("to post an answer fall back to sending it, and one that was posted is not sent again", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const posted: Array<string> = []
      const posting = {
        ...transport,
        bind: Effect.map(transport.bind, (bound) => ({
          address: bound.address,
          stop: bound.stop,
          dropped: bound.dropped,
          receiveAll: (arrive: Parameters<typeof bound.receiveAll>[0]) =>
            bound.receiveAll((datagram) =>
              arrive({
                ...datagram,
                post: (payload) => {
                  const text = textOf({ ...datagram, payload })
                  if (text === "throws") return assert.fail("thrown by the transport")
                  if (text !== "posted") return false
                  posted.push(text)
                  return true
                }
              })
            )
        }))
      }
      const listener = yield* DatagramListener.listen(posting)
      yield* start(DatagramListener.serve(listener, echo))
      const client = yield* transport.client
      for (const text of ["posted", "throws", "sent"]) yield* client.send(text)
      yield* settled
      assert.deepStrictEqual([posted, yield* client.received], [["posted"], ["sent"]])
      const { datagrams } = yield* listener.close()
      assert.deepStrictEqual([datagrams?.answered, datagrams?.failed], [2, 1])
    }))

  it.effect.each(["span", "end"] as const)(
    "of a tracer in %s leave exchanges, and the close, as they are",
    (member) =>
      Effect.gen(function*() {
        const { listener, transport } = yield* serving(echo, { tracing: { exchanges: true } })
        const client = yield* transport.client
        for (const text of ["one", "two"]) yield* client.send(text)
        yield* settled
        assert.deepStrictEqual(yield* client.received, ["one", "two"])
        const { datagrams, duration } = yield* listener.close()
        assert.deepStrictEqual([datagrams?.answered, sum(datagrams), duration], [2, true, 0])
      }).pipe(withThrowingTracer(member, ({ name }) => name === "Listener.exchange"))
  )

  /** A transport one of whose datagrams throws, named `bad`, and what is said of it. */
  const broken = (
    change: (datagram: DatagramTransport.TransportDatagram) => DatagramTransport.TransportDatagram,
    options?: DatagramListener.DatagramListenerOptions
  ) =>
    Effect.gen(function*() {
      const { lines, logged } = keptLog()
      const memory = yield* MemoryTransport.datagrams()
      const transport: DatagramTransport.DatagramTransport = {
        name: "broken",
        bind: Effect.map(memory.bind, (bound) => ({
          address: bound.address,
          stop: bound.stop,
          dropped: () => 0,
          receiveAll: (arrive) =>
            bound.receiveAll((datagram) => arrive(textOf(datagram) === "bad" ? change(datagram) : datagram))
        }))
      }
      const listener = yield* Effect.tap(
        DatagramListener.listen(transport, options),
        (listener) => Effect.addFinalizer(() => listener.abort)
      ).pipe(logged)
      return { client: yield* memory.client, lines: () => lines.filter((line) => line.includes("threw")), listener }
    })

  const thrown = (): never => {
    throw new Error("the socket is gone")
  }
  type Change = (datagram: DatagramTransport.TransportDatagram) => DatagramTransport.TransportDatagram
  const throwing = (member: "remote" | "payload"): Change => (datagram) =>
    Object.defineProperty({ ...datagram, remote: datagram.remote }, member, { get: thrown })

  const datagrams: Readonly<Record<string, Change>> = {
    "whose remote throws": throwing("remote"),
    "whose remote cannot be read": (datagram) => ({
      ...datagram,
      remote: Object.create(datagram.remote, { address: { get: thrown } })
    }),
    "whose payload throws": throwing("payload")
  }
  for (const [what, change] of Object.entries(datagrams)) {
    it.effect(`of a datagram ${what} are its own, with a limit of each remote, and at a cut`, () =>
      Effect.gen(function*() {
        const { client, lines, listener } = yield* broken(change, {
          admission: { maxPerRemote: 1000 },
          drain: { deadline: "1 second", abortGrace: 0 }
        })
        yield* start(Effect.ignore(DatagramListener.serve(
          listener,
          (datagram, reply) => textOf(datagram) === "held" ? Effect.never : reply(datagram.payload)
        )))
        for (const text of ["one", "bad", "held", "two"]) yield* client.send(text)
        yield* settled
        const received = yield* client.received
        assert.deepStrictEqual(received.filter((text) => text !== "bad"), ["one", "two"])
        assert.strictEqual((yield* listener.exchanges).length, 1)
        const closing = yield* start(Effect.exit(listener.close()))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(closing)
        const report = yield* listener.closed
        assert.deepStrictEqual([report.datagrams?.received, sum(report.datagrams), report.cut.length], [4, true, 1])
        assert.strictEqual(lines().length, 1)
      }))

    it.effect(`of a datagram ${what} do not keep it from being received, nor a close from its end`, () =>
      Effect.gen(function*() {
        const { client, listener } = yield* broken(change, { drain: { deadline: "1 second", abortGrace: 0 } })
        for (const text of ["bad", "good"]) yield* client.send(text)
        yield* Effect.scoped(Effect.exit(listener.receive))
        assert.strictEqual(textOf(yield* Effect.scoped(listener.receive)), "good")
        yield* client.send("bad")
        const scope = yield* Scope.make()
        yield* Effect.exit(Scope.provide(listener.receive, scope))
        yield* listener.exchanges
        const closing = yield* start(Effect.exit(listener.close()))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(closing)
        const { datagrams } = yield* listener.closed
        assert.deepStrictEqual([datagrams?.received, sum(datagrams), datagrams?.cut], [3, true, 1])
      }))
  }

  it.effect("of a transport that cannot say what it has dropped leave the rest of the report as it is", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryTransport.datagrams()
      const listener = yield* DatagramListener.listen({
        name: "broken",
        bind: Effect.map(memory.bind, (bound) => ({
          address: bound.address,
          stop: bound.stop,
          dropped: thrown,
          receiveAll: (arrive) => bound.receiveAll(arrive)
        }))
      })
      yield* start(DatagramListener.serve(listener, echo))
      const client = yield* memory.client
      yield* client.send("x")
      yield* settled
      const { datagrams } = yield* listener.close()
      assert.deepStrictEqual([datagrams?.answered, sum(datagrams)], [1, true])
    }))

  it.effect("of a transport whose send throws fail that reply alone", () =>
    Effect.gen(function*() {
      const transport = yield* MemoryTransport.datagrams()
      const throwing = {
        ...transport,
        bind: Effect.map(transport.bind, (bound) => ({
          ...bound,
          address: bound.address,
          stop: bound.stop,
          receiveAll: (arrive: Parameters<typeof bound.receiveAll>[0]) =>
            bound.receiveAll((datagram) =>
              arrive(
                textOf(datagram) === "bad"
                  ? { ...datagram, send: () => assert.fail("thrown by the transport") }
                  : datagram
              )
            )
        }))
      }
      const listener = yield* DatagramListener.listen(throwing)
      yield* start(DatagramListener.serve(listener, echo))
      const client = yield* transport.client
      yield* client.send("bad")
      yield* client.send("good")
      assert.strictEqual(yield* client.receiveText, "good")
      const { datagrams } = yield* listener.close()
      assert.deepStrictEqual([datagrams?.failed, datagrams?.answered], [1, 1])
    }))
})

describe("what can be seen", () => {
  it.effect("states, progress, exchanges and a dry run", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(() => Effect.sleep("2 seconds"), { maskRemote: true })
      const states = yield* start(Stream.runCollect(Stream.take(listener.changes, 3)))
      const client = yield* transport.client
      yield* client.send("hello")
      yield* settled
      const [info] = yield* listener.exchanges
      assert.deepStrictEqual(info, {
        id: 1,
        remote: "masked",
        protocol: "memory-datagrams",
        phase: "Active",
        exchanges: [{ label: "datagram of 5 bytes", age: 0 }],
        age: 0,
        bytesIn: 5,
        bytesOut: 0,
        bytesPending: 0
      })
      assert.strictEqual((yield* listener.dryRun).active, 1)
      const progress = yield* start(Stream.runLast(listener.progress))
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("2 seconds")
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* Fiber.join(states), ["Open", "Closing", "Closed"])
      const last = Option.getOrThrow(yield* Fiber.join(progress))
      assert.deepStrictEqual([last.stage, last.connections], ["Closed", report.connections.total])
    }))

  it.effect("metrics, whose sums are right at any time", () =>
    Effect.gen(function*() {
      const { listener, transport } = yield* serving(
        (datagram) => textOf(datagram) === "bad" ? Effect.fail("no") : Effect.sleep("1 second"),
        { name: "dns", admission: { maxExchanges: 2 } }
      )
      const value = (
        metric: Metric.Metric<number, Metric.CounterState<number>>,
        attributes: Record<string, string> = {}
      ) =>
        Effect.map(
          Metric.value(Metric.withAttributes(metric, { listener: "dns", ...attributes })),
          ({ count }) => count
        )
      const client = yield* transport.client
      for (const text of ["bad", "a", "b", "c"]) yield* client.send(text)
      yield* settled
      assert.strictEqual(yield* value(ListenerMetrics.datagramsReceived), 4)
      assert.strictEqual(yield* value(ListenerMetrics.datagramsHandled, { reason: "failed" }), 1)
      assert.strictEqual(yield* value(ListenerMetrics.datagramsDropped, { reason: "maxExchanges" }), 1)
      assert.strictEqual(yield* value(ListenerMetrics.exchanges), 3)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* value(ListenerMetrics.datagramsHandled, { reason: "answered" }), 2)
      yield* listener.close()
      assert.strictEqual(yield* value(ListenerMetrics.closes, { outcome: "Drained" }), 1)
    }).pipe(
      Effect.provideService(Metric.MetricRegistry, new Map()),
      Effect.provideService(References.MinimumLogLevel, "None")
    ))

  it.effect("a span for each exchange that is traced, with what its handler does below it", () =>
    Effect.gen(function*() {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      yield* Effect.gen(function*() {
        const { listener, transport } = yield* serving(
          (_, reply) => Effect.withSpan(reply("x"), "answering"),
          { tracing: { exchanges: true }, label: textOf }
        )
        const client = yield* transport.client
        yield* client.send("hello")
        yield* client.receiveText
        yield* listener.close()
      }).pipe(Effect.withTracer(tracer))
      const exchange = spans.find(({ name }) => name === "Listener.exchange")
      const below = spans.find(({ name }) => name === "answering")
      assert(exchange !== undefined && below !== undefined)
      assert.deepStrictEqual([exchange.attributes.get("label"), exchange.status._tag], ["hello", "Ended"])
      assert.strictEqual(Option.getOrUndefined(below.parent)?.spanId, exchange.spanId)
    }))
})

describe("the registry of a program", () => {
  it.effect("has it while it is there, closes it with a deadline, and sees what it has in flight", () =>
    Effect.gen(function*() {
      const registry = ListenerRegistry.make()
      const scope = yield* Scope.make()
      const transport = yield* MemoryTransport.datagrams()
      const listener = yield* DatagramListener.listen(transport, { name: "udp" }).pipe(
        Effect.provideService(ListenerRegistry.CurrentRegistry, Option.some(registry)),
        Scope.provide(scope)
      )
      yield* start(DatagramListener.serve(listener, () => Effect.never, { label: () => "query" }))
      const client = yield* transport.client
      yield* client.send("x")
      yield* settled
      const [member] = registry.members()
      assert(member?.listeners !== undefined)
      assert.strictEqual(member.listener, listener)
      const [inside] = yield* member.listeners
      assert.deepStrictEqual((yield* inside!.connections).map(({ exchanges }) => exchanges[0]?.label), ["query"])
      const closing = yield* start(member.shutdown({ reason: "SIGTERM", deadline: "2 seconds" }))
      yield* TestClock.adjust("3 seconds")
      const [report] = yield* Fiber.join(closing)
      assert.deepStrictEqual([report?.outcome, report?.reason], ["DeadlineExceeded", "SIGTERM"])
      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      assert.deepStrictEqual(registry.members(), [])
    }))
})

describe("a host of both kinds", () => {
  it.effect("opens, is ready, and closes as one, with one report", () =>
    Effect.gen(function*() {
      const tcp = yield* MemoryTransport.make()
      const udp = yield* MemoryTransport.datagrams()
      const connections = yield* Listener.make(tcp, { name: "tcp" })
      const datagrams = yield* DatagramListener.make(udp, { name: "udp" })
      yield* start(
        DatagramListener.serve(datagrams, (_, reply) => Effect.andThen(Effect.sleep("3 seconds"), reply("x")))
      )
      const host = yield* ListenerHost.make([connections, datagrams])
      assert.isTrue(yield* host.readiness)
      assert.deepStrictEqual((yield* host.datagramListeners).map(({ name }) => name), ["udp"])
      const client = yield* udp.client
      yield* client.send("query")
      yield* settled
      const closing = yield* start(host.close())
      yield* settled
      assert.deepStrictEqual([yield* host.readiness, yield* datagrams.readiness], [false, false])
      yield* TestClock.adjust("3 seconds")
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual(report.listeners.map(({ listener }) => listener), ["tcp", "udp"])
      assert.strictEqual(report.totals.connections.drained, 1)
      assert.strictEqual(report.listeners[1]?.datagrams?.answered, 1)
      assert.deepStrictEqual(yield* client.received, ["x"])
    }))

  it.effect("none stays open when one cannot be opened", () =>
    Effect.gen(function*() {
      const tcp = yield* MemoryTransport.make()
      const udp = yield* MemoryTransport.datagrams()
      yield* tcp.failBind(Transport.TransportBindError.AddressInUse({ address: "127.0.0.1:53" }))
      const datagrams = yield* DatagramListener.make(udp, { name: "udp" })
      const connections = yield* Listener.make(tcp, { name: "tcp" })
      assert.strictEqual(yield* tagOf(ListenerHost.make([datagrams, connections])), "AddressInUse")
      assert.deepStrictEqual([yield* datagrams.state, yield* udp.open], ["Created", 0])
    }))

  it.effect("what layers make belongs to it", () =>
    Effect.gen(function*() {
      const udp = yield* MemoryTransport.datagrams()
      const app = DatagramListener.layerServe(udp, echo, { name: "udp" })
      yield* Effect.gen(function*() {
        const host = yield* ListenerHost.ListenerHost
        assert.deepStrictEqual((yield* host.datagramListeners).map(({ name }) => name), ["udp"])
        const client = yield* udp.client
        yield* client.send("x")
        assert.strictEqual(yield* client.receiveText, "x")
        const report = yield* host.close()
        assert.strictEqual(report.listeners[0]?.datagrams?.answered, 1)
      }).pipe(Effect.provide(ListenerHost.provide(app)))
    }))
})
