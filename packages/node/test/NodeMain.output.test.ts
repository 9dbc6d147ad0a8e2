import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import { connect, start } from "./support/mainProgram.ts"
import type * as Process from "./support/process.ts"

/** Two progress entries and the close's are due while it waits, and none of them can be written. */
const drains = (program: Process.Program, spoil: Effect.Effect<void>) =>
  Effect.gen(function*() {
    const client = yield* connect(yield* program.port)
    yield* client.send("sleep 2200\n")
    yield* spoil
    yield* program.signal("SIGTERM")
    assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 2200"], ending: "FIN" })
    const exit = yield* program.exit
    assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
    return exit
  })

describe("what cannot be written fails nothing", () => {
  it.live.each([{ outputs: ["stderr"] }, { outputs: ["stdout"] }, { outputs: ["stderr", "stdout"] }] as const)(
    "the reader of $outputs is gone",
    ({ outputs }) =>
      Effect.gen(function*() {
        const program = yield* start("announcesClosed", { progress: "line" })
        yield* drains(program, Effect.forEach(outputs, program.stopReading, { discard: true }))
      })
  )

  it.live.each(["line", "log", "none"] as const)(
    "stderr is on a full disk, with progress: %s",
    (progress) =>
      Effect.gen(function*() {
        const full = yield* Effect.acquireRelease(
          Effect.sync(() => Fs.openSync("/dev/full", "w")),
          (fd) => Effect.sync(() => Fs.closeSync(fd))
        )
        const exit = yield* drains(yield* start("announcesClosed", { progress }, { stderr: full }), Effect.void)
        assert.include(exit.stdout.join("\n"), `"event":"closed"`)
      })
  )

  it.live("the reader of stderr has stopped reading, and the pipe is full: the exit waits for it for 1 s at most", () =>
    Effect.gen(function*() {
      const program = yield* start("chatty", { drain: { deadline: "30 seconds" } })
      yield* program.pauseReading("stderr")
      const client = yield* connect(yield* program.port)
      yield* client.send("sleep 1200\n")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 1200"], ending: "FIN" })
      const answered = performance.now()
      assert.strictEqual((yield* program.event("exit"))["handlers"], 0)
      assert.isBelow(performance.now() - answered, 1000 + 2000)
    }))

  it.live("a forced exit, too, waits for a full pipe for 1 s at most", () =>
    Effect.gen(function*() {
      const program = yield* start("chatty", { drain: { deadline: "30 seconds" } })
      yield* program.pauseReading("stderr")
      const client = yield* connect(yield* program.port)
      yield* client.send("sleep 60000\n")
      yield* program.signal("SIGTERM")
      // until no copy of it can come, which no output tells here
      yield* Effect.sleep(1000 + 2000)
      const forced = performance.now()
      yield* program.signal("SIGTERM")
      yield* program.event("exit")
      assert.isBelow(performance.now() - forced, 1000 + 2000)
      yield* program.resumeReading
      assert.strictEqual((yield* program.exit).code, 143)
    }))

  it.live(
    "the terminal is closed: that is a signal as well, and what is in flight is answered",
    () =>
      Effect.gen(function*() {
        const program = yield* start("announcesClosed", {}, { terminal: true })
        const client = yield* connect(yield* port(program))
        yield* client.send("sleep 2200\n")
        yield* program.signal("SIGKILL")
        assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 2200"], ending: "FIN" })
      }),
    { tags: ["script"] }
  )
})

/** On a terminal lines end in CR LF, and what is typed is among them. */
const port = (program: Process.Program) =>
  program.stdout((line) => {
    const port = /"port":(\d+)/.exec(line)?.[1]
    return port === undefined ? undefined : Number(port)
  })

describe("what was written has gone out before the process ends", () => {
  it.live("1,000 connections that were cut: the closed line is whole, and each is on stderr", () =>
    Effect.gen(function*() {
      const count = 1000
      const program = yield* start("announcesClosed", { drain: { deadline: 1000 } })
      const listening = yield* program.port
      const locals = yield* Effect.acquireRelease(
        Effect.promise(() => crowd(listening, count)),
        (sockets) => Effect.sync(() => sockets.forEach((socket) => socket.destroy()))
      ).pipe(Effect.map((sockets) => sockets.map((socket) => `127.0.0.1:${socket.localPort}`)))
      yield* program.signal("SIGTERM")
      // read only when all has been written, as by a slow shipper of logs
      yield* program.pauseReading("stdout")
      yield* program.pauseReading("stderr")
      yield* Effect.sleep(1300)
      yield* program.resumeReading
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 124)
      const closed: Record<string, unknown> = JSON.parse(exit.stdout.find((line) => line.includes(`"closed"`)) ?? "{}")
      const { report } = closed as { readonly report: { readonly cut: ReadonlyArray<unknown> } }
      assert.strictEqual(report.cut.length, count)
      const said = new Set(
        exit.stderr.join("\n").match(/cut #\d+ 127\.0\.0\.1:\d+/g)?.map((line) => line.split(" ")[2])
      )
      assert.deepStrictEqual(locals.filter((local) => !said.has(local)), [])
    }))
})

/** Sockets that have each been answered and ask for an hour. */
const crowd = async (port: number, count: number): Promise<ReadonlyArray<Net.Socket>> => {
  const sockets: Array<Net.Socket> = []
  while (sockets.length < count) {
    sockets.push(
      ...await Promise.all(Array.from({ length: 50 }, () =>
        new Promise<Net.Socket>((resolve, reject) => {
          const socket = Net.connect({ port, host: "127.0.0.1" })
          socket.on("error", reject)
          // with the label, all of them are more than a socket or a pipe holds
          socket.write(`hello\nsleep 3600000 ${"x".repeat(150)}\n`)
          socket.once("data", () => {
            socket.off("error", reject).on("error", () => {})
            resolve(socket)
          })
        })))
    )
  }
  return sockets
}

/** What a terminal shows in the end, line by line. */
const screen = (text: string): ReadonlyArray<string> => {
  const lines: Array<Array<string>> = [[]]
  let column = 0
  const line = () => lines[lines.length - 1]!
  // U+001B begins a sequence of a terminal
  for (const [part, escape] of text.replaceAll("\u001b", "␛").matchAll(/␛\[([0-9;?]*[A-Za-z])|[^]/g)) {
    if (escape === "2K") line().length = 0
    else if (escape !== undefined) continue
    else if (part === "\n") lines.push([])
    else if (part === "\r") column = 0
    else {
      while (line().length < column) line().push(" ")
      line()[column++] = part
    }
  }
  return lines.map((line) => line.join("").trimEnd())
}

describe("on a terminal", { tags: ["script"] }, () => {
  it.live("that is stopped, by Ctrl-S, the drain goes on; what was written comes when it is let go", () =>
    Effect.gen(function*() {
      const program = yield* start("announcesClosed", {}, { terminal: true })
      const client = yield* connect(yield* port(program))
      yield* client.send("sleep 2000\n")
      yield* program.type("\u0003")
      yield* program.stdout((line) => line.includes("draining 1 of 1") ? true : undefined)
      yield* program.type("\u0013")
      assert.deepStrictEqual(yield* Effect.timeout(client.rest, "6 seconds"), { lines: ["sleep 2000"], ending: "FIN" })
      yield* program.type("\u0011")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0)
      assert.include(exit.text, "drained in")
    }))

  it.live("there is one live line, of which nothing is left, and log entries have lines of their own", () =>
    Effect.gen(function*() {
      const program = yield* start("announcesClosed", {}, { terminal: true })
      const client = yield* connect(yield* port(program))
      yield* client.send("sleep 1500\n")
      yield* program.type("\u0003")
      assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 1500"], ending: "FIN" })
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0)
      const raw = exit.text
      assert.match(raw, /draining 1 of 1 · \d+ s left/)
      const shown = screen(raw)
      assert.isUndefined(shown.find((line) => line.includes("draining 1 of 1")))
      const closed = shown.find((line) => line.includes("drained in"))
      assert.match(closed ?? "", /^(\^C)?\[\d\d:\d\d:\d\d\.\d{3}\] INFO/)
    }))
})
