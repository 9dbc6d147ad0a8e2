import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { connect, events, names, start, startWithClient, text } from "./support/mainProgram.ts"
import * as NetClient from "./support/netClient.ts"
import type * as Process from "./support/process.ts"

/** Waits until the server says that it is draining: then the first signal has been handled. */
const draining = (program: Process.Program) => program.stderr((line) => /draining .*/.exec(line)?.[0])

/** Waits until no copy of the first signal can come. */
const copiesOver = (program: Process.Program) => {
  let lines = 0
  return program.stderr((line) => line.includes("draining ") && ++lines === 2 ? line : undefined)
}

describe("NodeMain.runMain, in a process of its own", () => {
  it.live.each(["SIGTERM", "SIGINT"] as const)(
    "%s: what is in flight is answered, and the exit code is 0",
    (signal) =>
      Effect.gen(function*() {
        const { client, program } = yield* startWithClient("serve")
        const idle = yield* connect(yield* program.port)
        yield* client.send("sleep 1500\n")
        yield* program.signal(signal)
        assert.deepStrictEqual(yield* idle.rest, { lines: [], ending: "FIN" })
        assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 1500"], ending: "FIN" })
        const exit = yield* program.exit
        assert.strictEqual(exit.code, 0, text(exit.stderr))
        assert.deepStrictEqual(events(exit).at(-1), { event: "exit", handlers: 0 })
      })
  )

  it.live("the listener is closed before what is built on it is released", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("serveOn")
      yield* client.send("sleep 500\n")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual((yield* client.rest).lines, ["sleep 500"])
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      assert.deepStrictEqual(events(exit).slice(1), [
        { event: "dependent released", state: "Closed" },
        { event: "listener released" },
        { event: "exit", handlers: 0 }
      ])
    }))

  it.live("a launched layer drains before the services its handlers use are released", () =>
    Effect.gen(function*() {
      const program = yield* start("launch")
      const client = yield* NetClient.connect(yield* program.port)
      yield* client.send("work\n")
      assert.strictEqual(yield* client.line, "done")
      yield* client.send("work\n")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual(yield* client.rest, { lines: ["done"], ending: "FIN" })
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      assert.deepStrictEqual(names(exit), ["open", "service released", "exit"])
    }))

  it.live("a signal while a listener opens: no failure", () =>
    Effect.gen(function*() {
      const program = yield* start("opening")
      yield* program.event("opening")
      yield* program.signal("SIGTERM")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      assert.notInclude(text(exit.stderr), "ERROR")
    }))

  it.live("124 at the deadline, and what was cut is named on stderr", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("serve", { drain: { deadline: 1500 } })
      yield* client.send("sleep 60000\n")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "ECONNRESET" })
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 124, text(exit.stderr))
      assert.match(text(exit.stderr), /deadline exceeded after [1-3]\.\d s \(SIGTERM\)/)
      assert.match(text(exit.stderr), /WARN .*: tcp: cut #\d+ 127\.0\.0\.1:\d+ tcp Active, sleep 60000 [1-3]\.\d s/)
    }))

  it.live("says once a second on stderr where it stands", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("serve", { drain: { deadline: "30 seconds" } })
      yield* client.send("sleep 2500\n")
      yield* program.signal("SIGTERM")
      yield* client.rest
      const exit = yield* program.exit
      const lines = exit.stderr.flatMap((line) => /INFO .*: (draining .*)/.exec(line)?.[1] ?? [])
      assert.isAtLeast(lines.length, 2, text(exit.stderr))
      for (const line of lines) {
        assert.match(line, /^draining 1 of 1 · 2\d s left · oldest sleep 2500 \d s from 127\.0\.0\.1:\d+/)
      }
    }))

  it.live.each(
    [["SIGTERM", 143], ["SIGINT", 130], ["SIGHUP", 129], ["SIGQUIT", 131]] as const
  )(
    "a later signal, %s, ends it at once: %i, and what it cuts is named",
    ([signal, code]) =>
      Effect.gen(function*() {
        const { client, program } = yield* startWithClient("serve")
        yield* connect(yield* program.port)
        yield* client.send("sleep 60000\n")
        yield* program.signal("SIGTERM")
        yield* copiesOver(program)
        yield* program.signal(signal)
        const exit = yield* program.exit
        assert.strictEqual(exit.code, code, text(exit.stderr))
        assert.deepStrictEqual(names(exit), ["open", "exit"])
        assert.deepStrictEqual(events(exit).at(-1), { event: "exit", handlers: 0 })
        assert.include(text(exit.stderr), `${signal} again: ends at once, with 1 in flight`)
        assert.match(text(exit.stderr), /tcp: cut #\d+ 127\.0\.0\.1:\d+ tcp Active, sleep 60000/)
      })
  )

  it.live.each([0, 5, 100, 800])(
    "copies of a signal, whichever they are, within %i ms of it are the same stop",
    (gap) =>
      Effect.gen(function*() {
        const { client, program } = yield* startWithClient("serve")
        yield* client.send("sleep 1200\n")
        const began = performance.now()
        for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGINT"] as const) {
          // one that this process sends later than it means to may be none
          if (performance.now() - began > 900) break
          yield* program.signal(signal)
          yield* Effect.sleep(gap / 4)
        }
        assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 1200"], ending: "FIN" })
        assert.strictEqual((yield* program.exit).code, 0)
      })
  )

  it.live("a copy that a busy process hears late is a copy all the same", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("serveHeld")
      yield* client.send("sleep 3000\n")
      yield* program.signal("SIGTERM")
      // it is held from when it has heard the first one to long after the copy has come
      yield* program.event("closing")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 3000"], ending: "FIN" })
      assert.strictEqual((yield* program.exit).code, 0)
    }))

  it.live("a signal that is not listened to does what it does without us, another one closes", () =>
    Effect.gen(function*() {
      const { program } = yield* startWithClient("serve", { signals: ["SIGUSR2"] })
      const other = yield* startWithClient("serve", { signals: ["SIGUSR2"] })
      yield* program.signal("SIGUSR2")
      assert.strictEqual((yield* program.exit).code, 0)
      yield* other.program.signal("SIGHUP")
      assert.strictEqual((yield* other.program.exit).signal, "SIGHUP")
    }))

  it.live("a later signal also ends a finalizer that does not end", () =>
    Effect.gen(function*() {
      const program = yield* start("stuckFinalizer")
      yield* program.port
      yield* program.signal("SIGTERM")
      yield* program.event("finalizing")
      // until no copy of the first signal can come, which no output tells here
      yield* Effect.sleep(1000 + 2000)
      yield* program.signal("SIGTERM")
      assert.strictEqual((yield* program.exit).code, 143)
    }))

  it.live("the host's deadline lowers the listener's", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("serve", { hostDeadline: 1000, drain: { deadline: 60_000 } })
      yield* client.send("sleep 60000\n")
      yield* program.signal("SIGTERM")
      yield* client.rest
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 124)
      assert.match(text(exit.stderr), /deadline exceeded after [1-3]\.\d s/)
    }))

  it.live("two listeners close at once", () =>
    Effect.gen(function*() {
      const program = yield* start("twoListeners")
      const ports: Array<number> = []
      const clients: Array<NetClient.NetClient> = []
      yield* program.stdout((line) => {
        const { event, port } = JSON.parse(line)
        if (event === "open") ports.push(port)
        return ports.length === 2 ? true : undefined
      })
      for (const port of ports) clients.push(yield* connect(port))
      for (const client of clients) yield* client.send("sleep 1500\n")
      yield* program.signal("SIGTERM")
      assert.match(yield* draining(program), /^draining 2 of 2 /)
      for (const client of clients) assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 1500"], ending: "FIN" })
      assert.strictEqual((yield* program.exit).code, 0)
    }))

  it.live("a program that waits in accept is ended by the signal without a failure", () =>
    Effect.gen(function*() {
      const program = yield* start("acceptLoop")
      const client = yield* NetClient.connect(yield* program.port)
      assert.strictEqual(yield* client.line, "hello")
      yield* program.signal("SIGTERM")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      assert.notInclude(text(exit.stderr), "ERROR")
    }))

  it.live("a program without a listener is interrupted at once", () =>
    Effect.gen(function*() {
      const program = yield* start("noListener")
      yield* program.event("open")
      yield* program.signal("SIGTERM")
      assert.strictEqual((yield* program.exit).code, 0)
    }))

  it.live("a program that ends by itself ends, with no handler left", () =>
    Effect.gen(function*() {
      const exit = yield* (yield* start("endsByItself")).exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      assert.deepStrictEqual(events(exit).at(-1), { event: "exit", handlers: 0 })
    }))

  it.live.each([
    { name: "fails", code: 1, stderr: "boom" },
    { name: "ownCode", code: 7, stderr: "OwnCode" },
    { name: "interrupted", code: 130, stderr: "" }
  ])(
    "without a signal the exit code is the program's own: $name, $code",
    ({ code, name, stderr }) =>
      Effect.gen(function*() {
        const exit = yield* (yield* start(name)).exit
        assert.strictEqual(exit.code, code)
        assert.include(text(exit.stderr), stderr)
        assert.notInclude(text(exit.stdout), "boom")
      })
  )

  it.live("a program that fails while it is closed: 1, though a client was cut", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("serve", { drain: { deadline: 3000 } })
      const stuck = yield* connect(yield* program.port)
      yield* stuck.send("sleep 60000\n")
      // fails between the signal and the deadline
      yield* client.send("sleep 1500\nfail\n")
      yield* program.signal("SIGTERM")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 1, text(exit.stderr))
      assert.include(text(exit.stderr), "the program failed")
      assert.match(text(exit.stderr), /cut #\d+ .* sleep 60000/)
    }))

  it.live("a finalizer that fails: 1, and its error is told", () =>
    Effect.gen(function*() {
      const program = yield* start("failingFinalizer")
      yield* program.port
      yield* program.signal("SIGTERM")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 1)
      assert.include(text(exit.stderr), "the finalizer failed")
      assert.include(names(exit), "listener released")
    }))

  it.live("a program that cuts a client as it ends by itself keeps its own exit code", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("stays", { drain: { deadline: 500 } })
      const stuck = yield* connect(yield* program.port)
      yield* stuck.send("sleep 60000\n")
      yield* client.send("fail\n")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      assert.match(text(exit.stderr), /cut #\d+ .* sleep 60000/)
    }))
})
