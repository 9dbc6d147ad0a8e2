import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as LineClient from "./support/lineClient.ts"
import * as Process from "./support/process.ts"

const main = new URL("./programs/main.ts", import.meta.url)

const start = (name: string, options: object = {}) => Process.start(main, { args: [name, JSON.stringify(options)] })

/** Starts a program that listens, and a client that has been served. */
const startWithClient = (name: string, options: object = {}) =>
  Effect.gen(function*() {
    const program = yield* start(name, options)
    const client = yield* connect(yield* program.port)
    return { program, client }
  })

const connect = (port: number) =>
  Effect.gen(function*() {
    const client = yield* LineClient.connect(port)
    yield* client.send("hello\n")
    assert.strictEqual(yield* client.line, "hello")
    return client
  })

const events = (exit: Process.Exit): ReadonlyArray<Record<string, unknown>> =>
  exit.stdout.map((line): Record<string, unknown> => JSON.parse(line))
const names = (exit: Process.Exit) => events(exit).map(({ event }) => event)
const text = (lines: ReadonlyArray<string>) => lines.join("\n")

/** Waits until the server says that it is draining: then the first signal has been handled. */
const draining = (program: Process.Program) => program.stderr((line) => line.startsWith("draining ") ? line : undefined)

describe("NodeMain.runMain, in a process of its own", () => {
  it.live.each(["SIGTERM", "SIGINT"] as const)(
    "%s: what is in flight is answered, and the exit code is 0",
    (signal) =>
      Effect.gen(function*() {
        const { client, program } = yield* startWithClient("serve")
        const idle = yield* connect(yield* program.port)
        yield* client.send("sleep 1500\n")
        yield* program.signal(signal)
        assert.deepStrictEqual(yield* idle.rest, { lines: [], end: "fin" })
        assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 1500"], end: "fin" })
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
      const client = yield* LineClient.connect(yield* program.port)
      yield* client.send("work\n")
      assert.strictEqual(yield* client.line, "done")
      yield* client.send("work\n")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual(yield* client.rest, { lines: ["done"], end: "fin" })
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

  it.live("124 at the deadline, and who was cut is named on stderr", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("serve", { drain: { deadline: 1500 } })
      yield* client.send("sleep 60000\n")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual(yield* client.rest, { lines: [], end: "reset" })
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 124, text(exit.stderr))
      assert.match(text(exit.stderr), /deadline exceeded after [1-3]\.\d s \(SIGTERM\)/)
      assert.match(text(exit.stderr), /^tcp: cut #\d+ 127\.0\.0\.1:\d+ tcp Active, sleep 60000 [1-3]\.\d s/m)
    }))

  it.live("says once a second on stderr where it stands", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("serve", { drain: { deadline: "30 seconds" } })
      yield* client.send("sleep 2500\n")
      yield* program.signal("SIGTERM")
      yield* client.rest
      const exit = yield* program.exit
      const lines = exit.stderr.filter((line) => line.startsWith("draining "))
      assert.isAtLeast(lines.length, 2, text(exit.stderr))
      for (const line of lines) {
        assert.match(line, /^draining 1 of 1 · 2\d s left · oldest sleep 2500 \d s from 127\.0\.0\.1:\d+$/)
      }
    }))

  it.live.each([["SIGTERM", 143], ["SIGINT", 130]] as const)(
    "a second signal, %s, ends it at once: %i",
    ([signal, code]) =>
      Effect.gen(function*() {
        const { client, program } = yield* startWithClient("serve")
        yield* client.send("sleep 60000\n")
        yield* program.signal("SIGTERM")
        yield* draining(program)
        yield* program.signal(signal)
        const exit = yield* program.exit
        assert.strictEqual(exit.code, code, text(exit.stderr))
        assert.deepStrictEqual(names(exit), ["open", "exit"])
      })
  )

  it.live("a second signal also ends a finalizer that does not end", () =>
    Effect.gen(function*() {
      const program = yield* start("stuckFinalizer")
      yield* program.port
      yield* program.signal("SIGTERM")
      yield* program.event("finalizing")
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
      const clients: Array<LineClient.LineClient> = []
      yield* program.stdout((line) => {
        const { event, port } = JSON.parse(line)
        if (event === "open") ports.push(port)
        return ports.length === 2 ? true : undefined
      })
      for (const port of ports) clients.push(yield* connect(port))
      for (const client of clients) yield* client.send("sleep 1500\n")
      yield* program.signal("SIGTERM")
      assert.match(yield* draining(program), /^draining 2 of 2 /)
      for (const client of clients) assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 1500"], end: "fin" })
      assert.strictEqual((yield* program.exit).code, 0)
    }))

  it.live("a program that waits in accept is ended by the signal without a failure", () =>
    Effect.gen(function*() {
      const program = yield* start("acceptLoop")
      const client = yield* LineClient.connect(yield* program.port)
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

  it.live("a program that fails while it is closed: 1, though somebody was cut", () =>
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

  it.live("a program that cuts somebody as it ends by itself keeps its own exit code", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("stays", { drain: { deadline: 500 } })
      const stuck = yield* connect(yield* program.port)
      yield* stuck.send("sleep 60000\n")
      yield* client.send("fail\n")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      assert.match(text(exit.stderr), /cut #\d+ .* sleep 60000/)
    }))

  it.live.each([-1, "soon", null])(
    "a host deadline of %s is an InvalidArgument",
    (hostDeadline) =>
      Effect.gen(function*() {
        const exit = yield* (yield* start("serve", { hostDeadline })).exit
        assert.strictEqual(exit.code, 1)
        assert.match(text(exit.stderr), /InvalidArgument.*hostDeadline is not a duration/)
        assert.deepStrictEqual(names(exit), ["exit"])
      })
  )
})
