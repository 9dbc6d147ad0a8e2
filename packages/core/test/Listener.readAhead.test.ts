import { type Connection, Listener } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import { listen, listening, serving, start, tagOf, untilStage } from "./support/listening.ts"

/** How long a message is worked on and how often one comes, in milliseconds: there is always one in work. */
const work = 30
const pause = 5

/** Works on lines while it reads on. Each is an exchange, begun with its first byte where `fromFirstByte`. */
const multiplexed = (taken: Array<string>, fromFirstByte: boolean) =>
  Effect.fnUntraced(function*(connection: Connection.Connection) {
    const pull = yield* Socket.readerString(connection.socket)
    const { write } = yield* connection.socket.writer
    let text = ""
    let endExchange: (() => void) | undefined
    while (true) {
      text += (yield* pull).join("")
      while (text !== "") {
        if (fromFirstByte) endExchange ??= connection.beginExchange("line")
        const end = text.indexOf("\n") + 1
        if (end === 0) break
        const line = text.slice(0, end)
        text = text.slice(end)
        taken.push(line)
        const answer = Effect.andThen(Effect.sleep(work), write(line))
        yield* Effect.forkScoped(connection.exchange("line", answer), { startImmediately: true })
        endExchange?.()
        endExchange = undefined
      }
    }
  })

/** Sends a line each `pause` until the server ends, and ends too. */
const sendOn = (client: MemoryTransport.Client) => {
  let next = 0
  const line = Effect.suspend(() => client.write(`${next++}\n`))
  return Effect.raceFirst(Effect.forever(Effect.andThen(line, Effect.sleep(pause))), client.ended).pipe(
    Effect.andThen(client.end)
  )
}

describe("a client that sends on while its messages are worked on", () => {
  for (const idle of ["pull", "exchange"] as const) {
    for (const idleGrace of [0, 250]) {
      it.effect(`is told goodbye after the grace of ${idleGrace} ms and what is in work, by ${idle}`, () =>
        Effect.gen(function*() {
          const taken: Array<string> = []
          const { listener, transport } = yield* serving(multiplexed(taken, idle === "pull"), {
            drain: { deadline: "20 seconds", idleGrace },
            idle
          })
          const client = yield* transport.connect
          yield* start(sendOn(client))
          yield* TestClock.adjust(1000)
          const before = taken.length
          const closing = yield* start(listener.close())
          yield* TestClock.adjust("30 seconds")
          const report = yield* Fiber.join(closing)
          assert.deepStrictEqual([report.outcome, report.connections.drained], ["Drained", 1])
          assert.isAtLeast(report.duration, idleGrace)
          assert.isAtMost(report.duration, idleGrace + 2 * work + 4 * pause)
          assert.isAtLeast(taken.length, before)
          assert.strictEqual(yield* client.readAllText, taken.join(""))
        }))
    }
  }

  it.effect("has the message finished that had begun to arrive, however late the rest of it comes", () =>
    Effect.gen(function*() {
      const taken: Array<string> = []
      const { listener, transport } = yield* serving(multiplexed(taken, true), {
        drain: { deadline: "20 seconds" },
        idle: "pull"
      })
      const client = yield* transport.connect
      yield* client.write("first\nsec")
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* client.state, "Open")
      // and half of one more, which is lost
      yield* client.write("ond\nthi")
      yield* TestClock.adjust("30 seconds")
      const report = yield* Fiber.join(closing)
      assert.deepStrictEqual([report.outcome, report.connections.drained], ["Drained", 1])
      assert.strictEqual(yield* client.readAllText, "first\nsecond\n")
    }))

  it.effect("of whose messages one takes long has all of them answered that came before that one ended", () =>
    Effect.gen(function*() {
      const taken: Array<string> = []
      const { listener, transport } = yield* listening({ drain: { deadline: "20 seconds" } })
      const handle = multiplexed(taken, false)
      yield* start(Listener.serve(listener, (connection) =>
        Effect.andThen(
          Effect.forkScoped(connection.exchange("long", Effect.sleep("3 seconds")), { startImmediately: true }),
          handle(connection)
        ), { idle: "exchange" }))
      const client = yield* transport.connect
      yield* start(sendOn(client))
      yield* TestClock.adjust(1000)
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("30 seconds")
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.outcome, "Drained")
      assert.isAtLeast(report.duration, 2000)
      assert.isAtMost(report.duration, 2000 + work + pause)
      assert.isAbove(taken.length, 2900 / pause)
      assert.strictEqual(yield* client.readAllText, taken.join(""))
    }))

  it.effect("and sends more than its handler takes, has what had come worked on until the deadline, which names it", () =>
    Effect.gen(function*() {
      const taken: Array<string> = []
      const { listener, transport } = yield* listening({ drain: { deadline: "20 seconds" } })
      // one after another, and nothing is read meanwhile
      yield* start(Listener.serve(listener, (connection) =>
        Effect.gen(function*() {
          const pull = yield* Socket.readerString(connection.socket)
          while (true) {
            for (const line of (yield* pull).join("").trim().split("\n")) {
              taken.push(line)
              yield* connection.exchange("line", Effect.sleep(10 * pause))
            }
          }
        }), { idle: "pull" }))
      const client = yield* transport.connect
      yield* start(sendOn(client))
      yield* TestClock.adjust("10 seconds")
      const closing = yield* start(listener.close())
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* tagOf(Fiber.join(closing)), "OperationTimedOut")
      const report = yield* listener.closed
      assert.strictEqual(report.outcome, "DeadlineExceeded")
      assert.deepStrictEqual(report.cut.map(({ exchanges }) => exchanges.map(({ label }) => label)), [["line"]])
      assert.isAtLeast(taken.length, 30_000 / (10 * pause) - 2)
    }))

  it.effect("is ended by its age as well, with all its messages answered that were taken", () =>
    Effect.gen(function*() {
      const taken: Array<string> = []
      const transport = yield* MemoryTransport.make()
      const listener = yield* listen(transport, { timeouts: { age: { max: "2 seconds", jitter: 0 } } })
      yield* start(Listener.serve(listener, multiplexed(taken, false), { idle: "exchange" }))
      const client = yield* transport.connect
      yield* start(sendOn(client))
      yield* TestClock.adjust("1900 millis")
      assert.strictEqual(yield* client.state, "Open")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* client.ended, "Fin")
      assert.isBelow(taken.length, 2400 / pause)
      assert.strictEqual(yield* client.readAllText, taken.join(""))
      assert.strictEqual((yield* listener.connections).length, 0)
    }))
})
