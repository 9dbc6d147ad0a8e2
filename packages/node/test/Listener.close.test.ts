import * as Listener from "@effect-listener/core/Listener"
import * as ListenerError from "@effect-listener/core/ListenerError"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import { now } from "./support/clock.ts"
import { answerLines, echo, makeHolder, makeHolderWith } from "./support/handlers.ts"
import {
  connect,
  descriptors,
  kinds,
  listen,
  many,
  start,
  target,
  timed,
  until,
  untilDescriptors,
  untilStage
} from "./support/listening.ts"
import * as NetClient from "./support/netClient.ts"
import * as Process from "./support/process.ts"
import { turns } from "./support/resources.ts"

const main = new URL("./programs/main.ts", import.meta.url)

describe("close, a program that gets SIGTERM", () => {
  it.live("200 idle clients see a FIN before any of 100 exchanges in flight is answered, all are, and it exits 0", () =>
    Effect.gen(function*() {
      const order: Array<"idle" | "answer"> = []
      const program = yield* Process.start(main, { args: ["serve"] })
      const address = { host: "127.0.0.1", port: yield* program.port }

      const idle = yield* many(200, NetClient.connect(address))
      for (const client of idle) {
        yield* client.send("hello\n")
        assert.strictEqual(yield* client.line, "hello")
        client.socket.once("end", () => order.push("idle"))
      }
      const busy = yield* many(100, NetClient.connect(address))
      for (const [i, client] of busy.entries()) {
        // what was sent together is answered together, however long the first takes
        yield* client.send(i < 20 ? "sleep 2000\nsecond\nthird\n" : "sleep 2000\n")
        client.socket.once("data", () => order.push("answer"))
      }
      yield* program.signal("SIGTERM")

      for (const client of idle) assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "FIN" })
      for (const [i, client] of busy.entries()) {
        const lines = i < 20 ? ["sleep 2000", "second", "third"] : ["sleep 2000"]
        assert.deepStrictEqual(yield* client.rest, { lines, ending: "FIN" })
      }
      assert.deepStrictEqual(order, [...Array(200).fill("idle"), ...Array(100).fill("answer")])
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
    }))
})

/** Lets a client read no more than `rate` bytes a millisecond. */
const slowDown = ({ socket }: NetClient.NetClient, rate: number): void => {
  const since = now()
  let count = 0
  socket.on("data", (chunk) => {
    count += chunk.length
    const ahead = count / rate - (now() - since)
    if (ahead <= 0) return
    socket.pause()
    setTimeout(() => socket.resume(), ahead)
  })
}

const size = 64 * 1024 * 1024

describe.each(kinds)("close, $name", (kind) => {
  it.live("a slow reader gets all of 64 MiB; one that never reads is cut and named with its pending bytes; others end well", () =>
    Effect.gen(function*() {
      const deadline = 6000
      const listener = yield* listen(kind, { drain: { deadline } })
      const body = "x".repeat(size)
      const { handler, held, release } = yield* makeHolderWith((line) =>
        Effect.succeed(line === "export" ? body : line)
      )
      yield* start(Listener.serve(listener, handler, { idle: "pull" }))
      const slow = yield* connect(listener)
      const never = yield* connect(listener)
      const idle = yield* many(20, connect(listener))
      const busy = yield* many(10, connect(listener))
      for (const client of idle) {
        yield* client.send("hello\n")
        assert.strictEqual(yield* client.line, "hello")
      }
      for (const client of busy) yield* client.send("hold\n")
      yield* held(10)
      never.socket.pause()
      yield* never.send("export\n")
      slowDown(slow, size / 2500)
      yield* slow.send("export\n")
      yield* Effect.callback<void>((resume) => {
        slow.socket.once("data", () => resume(Effect.void))
      })

      const closing = yield* start(timed(Effect.flip(listener.close())))
      yield* untilStage(listener, "Draining")
      yield* release
      for (const client of idle) assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "FIN" })
      for (const client of busy) assert.deepStrictEqual(yield* client.rest, { lines: ["released hold"], ending: "FIN" })
      const whole = yield* slow.rest
      assert.deepStrictEqual(whole.lines.map((line) => line.length), [size])
      assert.strictEqual(whole.ending, "FIN")

      const [error, millis] = yield* Fiber.join(closing)
      assert.instanceOf(error, ListenerError.OperationTimedOut)
      assert.isAtLeast(millis, deadline - 1)
      assert.isBelow(millis, deadline + 2000)
      const report = error.report!
      assert.deepStrictEqual(
        report.cut.map(({ bytesIn, exchanges, phase }) => ({ bytesIn, phase, labels: exchanges.map((e) => e.label) })),
        [{ bytesIn: "export\n".length, phase: "Active", labels: ["export"] }]
      )
      if (kind.name === "TCP") assert.strictEqual(report.cut[0]?.remote, `127.0.0.1:${never.socket.localPort}`)
      const { bytesOut, bytesPending } = report.cut[0]!
      assert.isAbove(bytesPending, 0)
      assert.isAtMost(bytesPending, size + 1)
      assert.isAtLeast(bytesOut, bytesPending)
      assert.deepStrictEqual(report.handlersLeftBehind, [])
      const { cut, drained, idle: ended, total } = report.connections
      assert.deepStrictEqual({ cut, drained, ended, total }, { cut: 1, drained: 11, ended: 20, total: 32 })
      never.socket.resume()
      assert.deepStrictEqual((yield* never.rest).lines, [])
    }))

  it.live("three messages in one chunk, an exchange each, close during the first: three answers", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind, { drain: { idleGrace: 0 } })
      const { handler, held, release } = yield* makeHolder
      yield* start(Listener.serve(listener, handler, { idle: "pull" }))
      const client = yield* connect(listener)
      yield* client.send("hold\nsecond\nthird\n")
      yield* held(1)
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* turns(5)
      yield* release
      assert.deepStrictEqual(yield* client.rest, { lines: ["released hold", "second", "third"], ending: "FIN" })
      assert.strictEqual((yield* Fiber.join(closing)).connections.drained, 1)
    }))

  it.live("half a message whose exchange is open is waited for", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind, { drain: { idleGrace: 0 } })
      yield* start(Listener.serve(listener, echo, { idle: "pull" }))
      const client = yield* connect(listener)
      yield* client.send("whole\nha")
      assert.strictEqual(yield* client.line, "whole")
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* turns(5)
      yield* client.send("lf\n")
      assert.deepStrictEqual(yield* client.rest, { lines: ["half"], ending: "FIN" })
      assert.strictEqual((yield* Fiber.join(closing)).connections.drained, 1)
    }))

  it.live("a client that waits for its answers is ended with the first of the drain, however long the grace", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind, { drain: { idleGrace: "1 minute", deadline: "10 minutes" } })
      yield* start(Listener.serve(listener, echo, { idle: "pull" }))
      const client = yield* connect(listener)
      yield* client.send("one\n")
      assert.strictEqual(yield* client.line, "one")
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* turns(5)
      yield* client.send("two\n")
      assert.deepStrictEqual(yield* client.rest, { lines: ["two"], ending: "FIN" })
      assert.strictEqual((yield* Fiber.join(closing)).outcome, "Drained")
    }))

  it.live("and one that does not wait is answered all that has come by then", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind, { drain: { idleGrace: "1 minute", deadline: "10 minutes" } })
      const { handler, held, release } = yield* makeHolder
      yield* start(Listener.serve(listener, handler, { idle: "pull" }))
      const client = yield* connect(listener)
      yield* client.send("one\n")
      assert.strictEqual(yield* client.line, "one")
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* turns(5)
      yield* client.send("hold\n")
      yield* held(1)
      yield* client.send("second\n")
      yield* until("it was read", () => Effect.runSync(listener.connections)[0]?.bytesIn === 16)
      yield* release
      assert.deepStrictEqual(yield* client.rest, { lines: ["released hold", "second"], ending: "FIN" })
      yield* Fiber.join(closing)
    }))

  it.live.each([0, 5])(
    "clients that ask again and again, 10 closes, idleGrace %i: no line is handled and then not answered",
    (idleGrace) =>
      Effect.gen(function*() {
        let handled = 0
        const handler = answerLines((line) => Effect.sync(() => `${line} ${++handled}`))
        const listener = yield* listen(kind, { drain: { idleGrace } })
        for (let life = 1; life <= 10; life++) {
          yield* start(Listener.serve(listener, handler, { idle: "pull" }))
          const clients = yield* many(32, connect(listener))
          let answered = 0
          for (const { socket } of clients) {
            socket.on("data", (answers) => {
              answered += answers.toString().split("\n").length - 1
              socket.write("again\n")
            })
            socket.write("begin\n")
          }
          handled = 0
          yield* until("a thousand answers", () => answered >= 1000)
          const report = yield* listener.close()
          assert.deepStrictEqual(new Set(yield* Effect.forEach(clients, ({ ending }) => ending)), new Set(["FIN"]))
          assert.strictEqual(answered, handled)
          assert.strictEqual(report.connections.total, 32)
          yield* listener.reset
          yield* listener.open
        }
      })
  )

  describe("at the deadline", () => {
    const deadline = 500
    const abortGrace = 400

    it.live("it fails OperationTimedOut, and cuts and names what was in flight; no server socket is left", () =>
      Effect.gen(function*() {
        const before = descriptors()
        const listener = yield* listen(kind, { drain: { deadline, abortGrace } })
        const address = yield* target(listener)
        yield* start(Listener.serve(listener, answerLines(() => Effect.never), { idle: "pull" }))
        const clients = yield* many(10, connect(listener))
        for (const client of clients) yield* client.send("stuck\n")
        const [error, millis] = yield* timed(Effect.flip(listener.close()))
        assert.isAtLeast(millis, deadline - 1)
        assert.isBelow(millis, deadline + abortGrace + 2000)
        assert.instanceOf(error, ListenerError.OperationTimedOut)
        assert.strictEqual(error.deadline, deadline)
        const report = error.report!
        assert.strictEqual(report.outcome, "DeadlineExceeded")
        assert.deepStrictEqual(report.cut.map((info) => info.exchanges[0]?.label), Array(10).fill("stuck"))
        assert.deepStrictEqual(report.handlersLeftBehind, [])
        assert.strictEqual(yield* listener.state, "Closed")
        assert.strictEqual(yield* NetClient.refusal(address), kind.refusal)
        for (const client of clients) assert.strictEqual(yield* client.ending, kind.cut)
        yield* untilDescriptors(before)
      }))

    it.live("an uninterruptible handler is left behind and named, within the deadline plus the abort grace", () =>
      Effect.gen(function*() {
        const before = descriptors()
        const listener = yield* listen(kind, { drain: { deadline, abortGrace } })
        const address = yield* target(listener)
        const released = yield* Latch.make()
        const stubborn = answerLines((line) => Effect.as(Effect.uninterruptible(released.await), line))
        const serving = yield* start(Listener.serve(listener, stubborn, { idle: "pull" }))
        const client = yield* connect(listener)
        yield* client.send("stubborn\n")
        const [error, millis] = yield* timed(Effect.flip(listener.close()))
        // Node's timers count in whole milliseconds, and may be early by a part of one
        assert.isAtLeast(millis, deadline + abortGrace - 1)
        assert.isBelow(millis, deadline + abortGrace + 2000)
        assert.instanceOf(error, ListenerError.OperationTimedOut)
        const report = error.report!
        assert.strictEqual(report.cut.length, 1)
        assert.deepStrictEqual(report.handlersLeftBehind, report.cut)
        assert.strictEqual(report.cut[0]?.exchanges[0]?.label, "stubborn")
        assert.strictEqual(yield* listener.state, "Closed")
        assert.deepStrictEqual(yield* Fiber.join(serving), report)
        assert.strictEqual(yield* NetClient.refusal(address), kind.refusal)
        assert.strictEqual(yield* client.ending, kind.cut)
        // the handler still runs, and holds nothing
        yield* untilDescriptors(before)
        yield* released.open
      }))
  })
})

describe("close, with a protocol that throws where it should say goodbye", () => {
  it.live("is kept waiting by that connection alone", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kinds[0]!)
      const serving = Listener.serveDriver(listener, (connection, events) => ({
        busy: () => false,
        exchanges: () => [],
        lastActive: () => -Infinity,
        drainNotified: () => {},
        goodbye: () => {
          if (connection.id === 3) throw new Error("speechless")
          connection.transport.fast?.goodbyeDetached?.("none", () => events.closed("normal"))
        },
        cut: () => {},
        running: () => false
      }))
      yield* start(serving)
      const clients = yield* many(10, NetClient.connect(yield* target(listener)))
      yield* until("10 open", () => Effect.runSync(listener.dryRun).idle === 10)
      const error = yield* Effect.flip(listener.close({ deadline: "300 millis", idleGrace: 0 }))
      assert.instanceOf(error, ListenerError.OperationTimedOut)
      const endings = yield* Effect.forEach(clients, (client) => Effect.map(client.rest, ({ ending }) => ending))
      assert.deepStrictEqual(endings.filter((ending) => ending !== "FIN"), ["ECONNRESET"])
    }))
})
