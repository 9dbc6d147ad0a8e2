import * as Connection from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as Faults from "@effect-listener/testing/Faults"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Socket from "effect/socket/Socket"
import * as HeldScheduler from "./support/heldScheduler.ts"
import { connect, type Kind, kinds, listen, start, until, untilStage } from "./support/listening.ts"
import { ask } from "./support/netClient.ts"
import { turns } from "./support/resources.ts"

/** Faults that never come, of connections that are watched for them. */
const harmless = Faults.plan(
  Object.fromEntries(Array.from({ length: 10 }, (_, i) => [i, [Faults.Fault.StuckFlush({ after: Infinity })]]))
)

/** Over transports whose readers give what comes by a call, and over the same where they have to be pulled. */
const ways = kinds.flatMap((kind): ReadonlyArray<{ readonly way: string; readonly kind: Kind }> => [
  { way: `${kind.name}, given`, kind },
  {
    way: `${kind.name}, pulled`,
    kind: { ...kind, transport: Effect.map(kind.transport, (transport) => Faults.wrap(transport, harmless)) }
  }
])

const text = (chunk: Uint8Array | string): string => Buffer.from(chunk).toString()

const closeCode = (error: unknown): unknown =>
  Socket.isSocketError(error) && error.reason._tag === "SocketCloseError" ? error.reason.code : error

/** Serves with this, and tells how it ended on each connection. */
const serve = Effect.fnUntraced(function*<E>(
  kind: Kind,
  handle: (
    chunk: string,
    write: Socket.Writer["write"],
    listener: Listener.Listener
  ) => Effect.Effect<unknown, E | Socket.SocketError>
) {
  const listener = yield* listen(kind)
  const exits = yield* Queue.unbounded<Exit.Exit<never, E | Socket.SocketError>>()
  const handler = Effect.fnUntraced(function*(connection: Connection.Connection) {
    const { write } = yield* connection.socket.writer
    const running = Connection.runForEach(connection, (chunk) => handle(text(chunk), write, listener))
    return yield* Effect.onExit(running, (exit) => Queue.offer(exits, exit))
  })
  const serving = yield* start(Listener.serve(listener, handler, { idle: "pull" }))
  return { listener, exits, serving }
})

const failureOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? closeCode(exit.cause.reasons.map((it) => (it._tag === "Fail" ? it.error : it._tag))[0]) : exit

describe.each(ways)("runForEach, $way", ({ kind }) => {
  it.live("handles what comes, until the client ends", () =>
    Effect.gen(function*() {
      const { exits, listener } = yield* serve(kind, (line, write) => write(line))
      const client = yield* connect(listener)
      for (let i = 0; i < 100; i++) assert.strictEqual(yield* ask(client, `line ${i}`), `line ${i}`)
      client.socket.end()
      assert.strictEqual(yield* client.ending, "FIN")
      assert.strictEqual(failureOf(yield* Queue.take(exits)), 1000)
    }))

  it.live("takes the next when the one before it is done, and reads nothing meanwhile", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const gate = yield* Latch.make()
      const { listener } = yield* serve(kind, (line, write) =>
        Effect.gen(function*() {
          seen.push(`begin ${line.trim()}`)
          yield* gate.await
          seen.push(`end ${line.trim()}`)
          yield* write(line)
        }))
      const client = yield* connect(listener)
      const other = yield* connect(listener)
      yield* client.send("one\n")
      yield* until("the first begins", () => seen.length === 1)
      yield* client.send("two\n")
      // what it has sent has come by now, because this has
      yield* other.send("other\n")
      yield* until("another begins", () => seen.length === 2)
      assert.deepStrictEqual(seen, ["begin one", "begin other"])
      yield* gate.open
      assert.strictEqual(yield* client.line, "one")
      assert.strictEqual(yield* client.line, "two")
      assert.deepStrictEqual(seen.filter((it) => !it.endsWith("other")), [
        "begin one",
        "end one",
        "begin two",
        "end two"
      ])
    }))

  it.live("waits where a write has to wait, and loses nothing", () =>
    Effect.gen(function*() {
      const { listener } = yield* serve(kind, (chunk, write) => write(chunk))
      const client = yield* connect(listener)
      client.socket.pause()
      let received = ""
      client.socket.on("data", (data) => {
        received += data.toString()
      })
      // more than two kernels take
      const sent = Array.from({ length: 2 << 20 }, (_, i) => i.toString().padStart(15, "0") + "\n").join("")
      yield* client.send(sent)
      const pending = () => Effect.runSync(listener.connections)[0]?.bytesPending ?? 0
      yield* until("the server has nowhere to put the answer", () => pending() > 0)
      client.socket.resume()
      yield* until("all has come back", () => received.length === sent.length)
      assert.isTrue(received === sent)
    }))

  it.live("ends where it waits for a chunk when the listener closes", () =>
    Effect.gen(function*() {
      const { exits, listener } = yield* serve(kind, (line, write) => write(line))
      const client = yield* connect(listener)
      assert.strictEqual(yield* ask(client, "here"), "here")
      const report = yield* listener.close()
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(report.connections.idle, 1)
      assert.strictEqual(failureOf(yield* Queue.take(exits)), 1001)
      assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "FIN" })
    }))

  it.live("answers what it handles when the listener closes, and what had come by then", () =>
    Effect.gen(function*() {
      const gate = yield* Latch.make()
      const begun = yield* Deferred.make<void>()
      const { exits, listener } = yield* serve(
        kind,
        (line, write) => Effect.andThen(Deferred.succeed(begun, undefined), Effect.andThen(gate.await, write(line)))
      )
      const client = yield* connect(listener)
      yield* client.send("one\n")
      yield* Deferred.await(begun)
      yield* client.send("two\n")
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      yield* gate.open
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(report.connections.drained, 1)
      assert.deepStrictEqual(yield* client.rest, { lines: ["one", "two"], ending: "FIN" })
      assert.strictEqual(failureOf(yield* Queue.take(exits)), 1001)
    }))

  const failing = [
    { how: "fails", handle: Effect.fail("no such row"), failure: "no such row" },
    { how: "fails later", handle: Effect.andThen(turns(1), Effect.fail("no such row")), failure: "no such row" },
    { how: "dies", handle: Effect.die("a bug"), failure: "Die" },
    { how: "throws", handle: undefined, failure: "Die" },
    { how: "is interrupted", handle: Effect.interrupt, failure: "Interrupt" }
  ]
  it.live.each(failing)("ends when handling a chunk $how", ({ failure, handle }) =>
    Effect.gen(function*() {
      const { exits, listener } = yield* serve(kind, () => {
        if (handle === undefined) throw new Error("thrown")
        return handle
      })
      const client = yield* connect(listener)
      yield* client.send("x\n")
      assert.strictEqual(failureOf(yield* Queue.take(exits)), failure)
      assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "FIN" })
    }))

  it.live("ends with a chunk what was forked to handle it", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const forked = Effect.ensuring(
        Effect.never,
        Effect.andThen(turns(1), Effect.sync(() => void seen.push("released")))
      )
      const { listener } = yield* serve(kind, (line, write) =>
        Effect.gen(function*() {
          seen.push(line.trim())
          yield* Effect.forkChild(forked, { startImmediately: true })
          yield* write(line)
        }))
      const client = yield* connect(listener)
      assert.strictEqual(yield* ask(client, "one"), "one")
      assert.strictEqual(yield* ask(client, "two"), "two")
      yield* until("both are released", () => seen.length === 4)
      assert.deepStrictEqual(seen, ["one", "released", "two", "released"])
    }))

  it.live("leaves what it has not taken to the next reader", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind)
      const gate = yield* Latch.make()
      const begun = yield* Deferred.make<void>()
      const serving = Listener.serve(listener, (connection) =>
        Effect.gen(function*() {
          const { write } = yield* connection.socket.writer
          const first = Connection.runForEach(
            connection,
            () =>
              Deferred.succeed(begun, undefined).pipe(Effect.andThen(gate.await), Effect.andThen(Effect.fail("enough")))
          )
          yield* Effect.flip(first)
          const { pull } = yield* connection.socket.reader
          yield* write((yield* pull).map(text).join(""))
        }))
      yield* start(serving)
      const client = yield* connect(listener)
      yield* client.send("one\n")
      yield* Deferred.await(begun)
      yield* client.send("two\n")
      yield* gate.open
      assert.strictEqual(yield* client.line, "two")
    }))

  it.live("interrupted, interrupts what handles a chunk and waits for it", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind)
      const begun = yield* Deferred.make<void>()
      const seen: Array<string> = []
      const handle = Effect.onInterrupt(
        Effect.andThen(Deferred.succeed(begun, undefined), Effect.never),
        () => Effect.andThen(turns(1), Effect.sync(() => void seen.push("released")))
      )
      const serving = Listener.serve(listener, (connection) =>
        Effect.gen(function*() {
          const { write } = yield* connection.socket.writer
          const running = yield* start(Connection.runForEach(connection, () => handle))
          yield* Deferred.await(begun)
          yield* Fiber.interrupt(running)
          seen.push("interrupted")
          yield* write("interrupted\n")
        }))
      yield* start(serving)
      const client = yield* connect(listener)
      assert.strictEqual(yield* ask(client, "one"), "interrupted")
      assert.deepStrictEqual(seen, ["released", "interrupted"])
    }))

  it.live("interrupted, leaves no chunk being handled, whenever that comes", () =>
    Effect.gen(function*() {
      const listener = yield* listen(kind)
      const outcomes = new Set<string>()
      for (let operations = 0; operations < 30; operations++) {
        const client = yield* connect(listener)
        const connection = yield* listener.accept
        let begun = 0
        let ended = 0
        const handle = Effect.ensuring(
          Effect.suspend(() => {
            begun++
            return Effect.never
          }),
          Effect.sync(() => {
            ended++
          })
        )
        const held = HeldScheduler.make()
        const running = yield* start(held.run(Connection.runForEach(connection, () => handle)))
        held.release()
        running.interruptUnsafe()
        held.step(operations)
        yield* client.send("x")
        yield* until("it is here", () => Effect.runSync(connection.info).bytesIn === 1)
        held.release()
        yield* Fiber.await(running)
        assert.strictEqual(ended, begun)
        outcomes.add(begun === 0 ? "not taken" : "taken")
        if (begun === 0) assert.strictEqual((yield* (yield* connection.socket.reader).pull).map(text).join(""), "x")
      }
      assert.include(outcomes, "not taken")
    }))

  it.live.each([{ when: "at once", before: Effect.void }, { when: "later", before: turns(1) }])(
    "may close its listener while it handles a chunk, $when",
    ({ before }) =>
      Effect.gen(function*() {
        const reports = yield* Queue.unbounded<string>()
        const { listener } = yield* serve(kind, (line, write, listener) =>
          before.pipe(
            Effect.andThen(Effect.orDie(listener.close({ deadline: "2 seconds" }))),
            Effect.andThen(({ outcome }) => Queue.offer(reports, outcome)),
            Effect.andThen(write(line)),
            Effect.andThen(Effect.fail("closed"))
          ))
        const client = yield* connect(listener)
        yield* client.send("last\n")
        assert.strictEqual(yield* Queue.take(reports), "Drained")
        assert.deepStrictEqual(yield* client.rest, { lines: ["last"], ending: "FIN" })
      })
  )
})
