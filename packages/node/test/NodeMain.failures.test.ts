import * as Listening from "@effect-listener/core/Listener"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import { connect, events, names, start, startWithClient, text } from "./support/mainProgram.ts"

describe("a program that cannot start", () => {
  it.live.each([
    { options: { hostDeadline: -1 }, said: "hostDeadline is negative" },
    { options: { hostDeadline: "soon" }, said: "hostDeadline is not a duration" },
    { options: { hostDeadline: null }, said: "hostDeadline is not a duration" },
    // JSON makes null of NaN
    { options: { hostDeadline: { seconds: null } }, said: "hostDeadline is not a duration" },
    { options: { hostDeadline: {} }, said: "hostDeadline is not a duration" },
    { options: { signals: ["SIGKILL"] }, said: "signals has SIGKILL" },
    { options: { signals: ["SIGNOTHING"] }, said: "signals has SIGNOTHING" },
    { options: { progress: "loud" }, said: "progress is none of line, log, none" },
    { options: { uncaught: "ignore" }, said: "uncaught is none of report, drain" }
  ])(
    "a bad option is an InvalidArgument, and nothing is opened: $options",
    ({ options, said }) =>
      Effect.gen(function*() {
        const exit = yield* (yield* start("serve", options)).exit
        assert.strictEqual(exit.code, 1)
        assert.match(text(exit.stderr), /InvalidArgument: runMain on listener "all": /)
        assert.include(text(exit.stderr), said)
        assert.notInclude(text(exit.stderr), "    at ")
        assert.deepStrictEqual(names(exit), ["exit"])
      })
  )

  it.live.each(["tcpAt", "httpAt", "rpcAt", "hostAt"])(
    "says why in two sentences, and shows no stack: %s",
    (name) =>
      Effect.gen(function*() {
        const taken = yield* Listening.listen(NodeTcp.transport({ host: "127.0.0.1", port: 0 }))
        const address = yield* taken.address
        const port = NetAddress.isInetAddress(address) ? address.port : 0
        const exit = yield* (yield* start(name, { port })).exit
        assert.strictEqual(exit.code, 1)
        const said = text(exit.stderr)
        assert.match(
          said,
          /ERROR .*: AddressInUse: open on listener "\w+": 127\.0\.0\.1:\d+ is in use\. Stop .*: errors\/AddressInUse$/m
        )
        assert.notInclude(said, "    at ")
        assert.lengthOf(exit.stderr.filter((line) => line.includes("AddressInUse")), 1)
      })
  )
})

describe("the host's deadline bounds what follows the close as well", () => {
  const bounded = (name: string, hostDeadline: number) =>
    Effect.gen(function*() {
      const program = yield* start(name, { hostDeadline })
      yield* program.event("open")
      const began = performance.now()
      yield* program.signal("SIGTERM")
      const exit = yield* program.exit
      assert.isBelow(performance.now() - began, hostDeadline + 2000 + 2000)
      assert.strictEqual(exit.code, 124, text(exit.stderr))
      return text(exit.stderr)
    })

  it.live("a finalizer that never ends is named", () =>
    Effect.gen(function*() {
      const said = yield* bounded("namedFinalizer", 1000)
      assert.match(said, /still running 1\.\d s after SIGTERM, past the host's deadline: the program, in Pool\.close/)
    }))

  it.live("a program that never started, and cannot be interrupted", () =>
    Effect.gen(function*() {
      assert.include(yield* bounded("neverStarts", 700), "still running")
    }))

  it.live("a close that never ends: its listener is named", () =>
    Effect.gen(function*() {
      assert.match(yield* bounded("stuckClose", 500), /past the host's deadline: the close of stuck/)
    }))

  const silent = [
    /stuck: cannot say what is in flight: it does not answer at once/,
    /dying: cannot say what is in flight: it is broken/,
    /half: cannot say what is in flight: it is broken/,
    /tcp: cut #\d+ .* sleep 60000/
  ]

  it.live("members that cannot say what is in flight are named, and hold up no end", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("silentMembers", { hostDeadline: 500 })
      yield* client.send("sleep 60000\n")
      yield* program.signal("SIGTERM")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 124, text(exit.stderr))
      for (const line of silent.slice(0, 3)) assert.match(text(exit.stderr), line)
    }))

  it.live("nor that of a later signal", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("silentMembers", { drain: { deadline: 60_000 } })
      yield* client.send("sleep 60000\n")
      yield* program.signal("SIGTERM")
      // until no copy of the first signal can come, which no output tells here
      yield* Effect.sleep(1000 + 2000)
      yield* program.signal("SIGTERM")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 143, text(exit.stderr))
      for (const line of silent) assert.match(text(exit.stderr), line)
    }))

  it.live("nor that of an uncaught error", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("silentMembers")
      const busy = yield* connect(yield* program.port)
      yield* busy.send("sleep 60000\n")
      yield* client.send("throw\n")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 1, text(exit.stderr))
      for (const line of [...silent, /Error: thrown/]) assert.match(text(exit.stderr), line)
    }))

  it.live("a teardown that throws is told, and the code is 1", () =>
    Effect.gen(function*() {
      const { program } = yield* startWithClient("teardownThrows")
      yield* program.signal("SIGTERM")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 1, text(exit.stderr))
      assert.match(text(exit.stderr), /the teardown threw: Error: it is torn/)
      assert.deepStrictEqual(events(exit).at(-1), { event: "exit", handlers: 0 })
    }))

  it.live("a teardown that never ends is named", () =>
    Effect.gen(function*() {
      const { program } = yield* startWithClient("teardownNeverEnds", { hostDeadline: 500 })
      yield* program.signal("SIGTERM")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 124, text(exit.stderr))
      assert.match(text(exit.stderr), /the teardown has not ended, past the host's deadline/)
    }))

  it.live("a process that stood still beyond it ends as its close does, and not before", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("serveHeld", { hostDeadline: 500, hold: 3500 })
      yield* client.send("finalize 400\n")
      yield* program.signal("SIGTERM")
      yield* client.rest
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 124)
      assert.notInclude(text(exit.stderr), "still running")
      assert.include(names(exit), "closed")
    }))

  it.live("a close that fails: its cause is told, and the rest ends", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("brokenClose")
      yield* client.send("sleep 500\n")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual((yield* client.rest).lines, ["sleep 500"])
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 1)
      assert.match(text(exit.stderr), /closing broken failed: Error: no close today/)
    }))
})

describe("several main programs in one process", () => {
  it.live("all drain, and the last to end exits", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("mains")
      yield* client.send("sleep 1500\n")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual(yield* client.rest, { lines: ["sleep 1500"], ending: "FIN" })
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      assert.deepStrictEqual(events(exit).at(-1), { event: "exit", handlers: 0 })
    }))

  it.live("one that has failed takes no other with it, and its code is the worst", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient("mainsOneFails", { drain: { deadline: 500 } })
      yield* program.stderr((line) => line.includes("boom") ? true : undefined)
      yield* client.send("still there\n")
      assert.strictEqual(yield* client.line, "still there")
      yield* client.send("sleep 60000\n")
      yield* program.signal("SIGTERM")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 1, text(exit.stderr))
      assert.include(text(exit.stderr), "cut #")
    }))
})

describe("an uncaught error", () => {
  it.live.each([["throw", "Error: thrown"], ["reject", "Error: rejected"]] as const)(
    "%s: ends the process as Node does, after what it cuts has been named",
    ([how, error]) =>
      Effect.gen(function*() {
        const { client, program } = yield* startWithClient("serve")
        const busy = yield* connect(yield* program.port)
        yield* busy.send("sleep 60000\n")
        yield* client.send(`${how}\n`)
        const exit = yield* program.exit
        assert.strictEqual(exit.code, 1)
        const said = text(exit.stderr)
        assert.match(said, /uncaught error; cut by it:[^]*tcp: cut #\d+ .* sleep 60000/)
        assert.include(said, error)
      })
  )

  it.live.each([["throw", "Error: thrown"], ["reject", "Error: rejected"]] as const)(
    "%s, with uncaught: \"drain\": what is in flight is answered, and the code is 1",
    ([how, error]) =>
      Effect.gen(function*() {
        const { client, program } = yield* startWithClient("serve", { uncaught: "drain" })
        const busy = yield* connect(yield* program.port)
        yield* busy.send("sleep 1500\n")
        yield* client.send(`${how}\n`)
        // the first signal of an orchestrator that has noticed: it forces nothing
        yield* program.stderr((line) => line.includes("uncaught error; closing") ? true : undefined)
        yield* program.signal("SIGTERM")
        assert.deepStrictEqual(yield* busy.rest, { lines: ["sleep 1500"], ending: "FIN" })
        const exit = yield* program.exit
        assert.strictEqual(exit.code, 1)
        assert.include(text(exit.stderr), error)
        assert.deepStrictEqual(events(exit).at(-1), { event: "exit", handlers: 0 })
      })
  )
})

it.live("an uncaught error that cannot be shown drains all the same", () =>
  Effect.gen(function*() {
    const { client, program } = yield* startWithClient("serve", { uncaught: "drain" })
    const busy = yield* connect(yield* program.port)
    yield* busy.send("sleep 1500\n")
    yield* client.send("throw strange\n")
    assert.deepStrictEqual(yield* busy.rest, { lines: ["sleep 1500"], ending: "FIN" })
    const exit = yield* program.exit
    assert.strictEqual(exit.code, 1, text(exit.stderr))
    assert.include(text(exit.stderr), "object that cannot be shown")
  }))

it.live("a worker thread says that it gets no signals", () =>
  Effect.gen(function*() {
    const program = yield* start("inWorker")
    yield* program.port
    yield* program.stderr((line) => line.includes("a worker thread gets no signals") ? true : undefined)
    yield* program.signal("SIGTERM")
    assert.strictEqual((yield* program.exit).signal, "SIGTERM")
  }))
