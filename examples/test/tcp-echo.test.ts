import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as NetClient from "../../packages/node/test/support/netClient.ts"
import { connect } from "../../packages/node/test/support/peer.ts"
import * as Process from "../../packages/node/test/support/process.ts"
import { connectTls } from "../../packages/node/test/support/tlsClient.ts"
import { tlsFiles } from "./support/httpExample.ts"

const start = (env: Record<string, string> = {}) =>
  Process.start(new URL("../tcp-echo.ts", import.meta.url), {
    // what the shell of the tests has set is not theirs
    env: {
      PORT: "",
      HOST: "",
      DRAIN_DEADLINE_MS: "",
      LAME_DUCK_MS: "",
      MAX_CONNECTIONS: "",
      TLS_KEY: "",
      TLS_CERT: "",
      ...env
    }
  })

const startWithClient = (env?: Record<string, string>) =>
  Effect.gen(function*() {
    const program = yield* start(env)
    const client = yield* NetClient.connect(yield* program.port)
    yield* client.send("hello\n")
    assert.strictEqual(yield* client.line, "hello")
    return { program, client }
  })

const events = (exit: Process.Exit): ReadonlyArray<Record<string, unknown>> =>
  exit.stdout.map((line): Record<string, unknown> => JSON.parse(line))
const text = (lines: ReadonlyArray<string>) => lines.join("\n")

describe("examples/tcp-echo.ts", () => {
  it.live("echoes lines byte by byte, and sleeps", () =>
    Effect.gen(function*() {
      const { client } = yield* startWithClient()
      yield* client.send("\uFEFFa\r\n\nsleep 20\nsleep x\ntwo ")
      yield* client.send("pieces €\n")
      const lines: Array<string> = []
      while (lines.length < 5) lines.push(yield* client.line)
      assert.deepStrictEqual(lines, ["\uFEFFa\r", "", "slept 20", "sleep x", "two pieces €"])
    }))

  it.live("SIGTERM: answers what is in flight, half a line included, and prints JSON lines only", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient()
      const half = yield* NetClient.connect(yield* program.port)
      yield* client.send("sleep 500\nsleep 600\nthird\n")
      yield* half.send("first\nhal")
      assert.strictEqual(yield* half.line, "first")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual(yield* client.rest, { lines: ["slept 500", "slept 600", "third"], ending: "FIN" })
      yield* half.send("f\n")
      assert.deepStrictEqual(yield* half.rest, { lines: ["half"], ending: "FIN" })
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      const [open, closed, ...others] = events(exit)
      assert.deepStrictEqual(others, [])
      assert.strictEqual(open?.["address"], `127.0.0.1:${String(open?.["port"])}`)
      assert.strictEqual(closed?.["event"], "closed")
      assert.include(closed?.["report"], { outcome: "Drained", reason: "SIGTERM" })
    }))

  it.live("TLS_KEY and TLS_CERT: the same over TLS, and half a handshake holds up no other", () =>
    Effect.gen(function*() {
      const files = yield* tlsFiles
      const ca = Fs.readFileSync(files.TLS_CERT)
      const program = yield* start(files)
      const port = yield* program.port
      const busy = yield* connectTls(port, { ca })
      const idle = yield* connectTls(port, { ca })
      const half = yield* connect({ host: "127.0.0.1", port })
      yield* busy.send("hello\n")
      yield* busy.received(6)
      yield* half.send(Uint8Array.of(0x16, 0x03, 0x01))
      yield* busy.send("sleep 2000\n")
      yield* program.signal("SIGTERM")
      assert.strictEqual(yield* idle.ending, "FIN")
      assert.strictEqual(yield* half.ending, "FIN")
      assert.strictEqual(busy.socket.bytesRead, 6)
      const { data, ending } = yield* busy.rest
      assert.deepStrictEqual([data.toString(), ending], ["hello\nslept 2000\n", "FIN"])
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      assert.deepInclude(events(exit).at(-1)?.["report"], { listener: "tls", outcome: "Drained" })
    }))

  it.live("TLS_KEY of another certificate: exit code 1, and the variables are named on stderr", () =>
    Effect.gen(function*() {
      const exit = yield* (yield* start({
        TLS_KEY: (yield* tlsFiles).TLS_KEY,
        TLS_CERT: (yield* tlsFiles).TLS_CERT
      })).exit
      assert.strictEqual(exit.code, 1)
      assert.match(text(exit.stderr), /TLS_KEY and TLS_CERT/)
      assert.match(text(exit.stderr), /key is not the private key of the certificate of CN=localhost/)
      assert.deepStrictEqual(exit.stdout, [])
    }))

  it.live("124 at the deadline, with the closed line", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient({ DRAIN_DEADLINE_MS: "400" })
      yield* client.send("sleep 60000\n")
      yield* program.signal("SIGINT")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 124, text(exit.stderr))
      assert.include(events(exit).at(-1)?.["report"], { outcome: "DeadlineExceeded", reason: "SIGINT" })
      assert.match(text(exit.stderr), /cut #\d+ 127\.0\.0\.1:\d+ tcp Active, line /)
    }))

  it.live("no closed line after a signal that forces", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient()
      yield* client.send("sleep 60000\n")
      yield* program.signal("SIGTERM")
      let lines = 0
      // the second line: no copy of the first signal can come after it
      yield* program.stderr((line) => line.includes("draining 1 of 1") && ++lines === 2 ? line : undefined)
      yield* program.signal("SIGINT")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 130)
      assert.deepStrictEqual(events(exit).map(({ event }) => event), ["open"])
    }))

  it.live("LAME_DUCK_MS: new connections are served until it is over", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient({ LAME_DUCK_MS: "4000" })
      yield* program.signal("SIGTERM")
      yield* program.stderr((line) => line.includes("lame duck 1 of 1 ") ? line : undefined)
      const late = yield* NetClient.connect(yield* program.port)
      yield* late.send("late\n")
      assert.strictEqual(yield* late.line, "late")
      assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "FIN" })
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      assert.deepInclude(events(exit).at(-1)?.["report"], { outcome: "Drained" })
    }))

  it.live("MAX_CONNECTIONS: a client too many waits for a place", () =>
    Effect.gen(function*() {
      const { client, program } = yield* startWithClient({ MAX_CONNECTIONS: "1" })
      // idle for a while, the first would make room for it
      yield* client.send("still first\nsleep 2000\n")
      assert.strictEqual(yield* client.line, "still first")
      const second = yield* NetClient.connect(yield* program.port)
      yield* second.send("second\n")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual(yield* second.rest, { lines: [], ending: "FIN" })
      assert.strictEqual(yield* client.line, "slept 2000")
      assert.strictEqual((yield* program.exit).code, 0)
    }))

  it.live.each(
    [
      ["PORT", "65536"],
      ["PORT", "http"],
      ["HOST", "256.1.1.1"],
      ["DRAIN_DEADLINE_MS", "-1"],
      ["DRAIN_DEADLINE_MS", "20 s"],
      ["LAME_DUCK_MS", "1.5"],
      ["MAX_CONNECTIONS", "0"],
      ["TLS_KEY", "key.pem"],
      ["TLS_CERT", "cert.pem"]
    ] as const
  )("%s=%s: exit code 1, and the variable is named on stderr", ([variable, value]) =>
    Effect.gen(function*() {
      const exit = yield* (yield* start({ [variable]: value })).exit
      assert.strictEqual(exit.code, 1)
      assert.include(text(exit.stderr), variable)
      assert.deepStrictEqual(exit.stdout, [])
    }))
})
