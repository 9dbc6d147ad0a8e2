/** The contract of the examples on runtimes that are not Node: their binaries come as npm packages. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import * as HttpPeer from "../../packages/node/test/support/httpPeer.ts"
import * as NetClient from "../../packages/node/test/support/netClient.ts"
import * as Process from "../../packages/node/test/support/process.ts"
import { tlsFiles } from "./support/httpExample.ts"

/** Where `npx` has put it. */
const binary = (name: string, ...print: ReadonlyArray<string>): string =>
  execFileSync("npx", ["-y", "-p", name, "--", name.split("@")[0]!, ...print], { encoding: "utf8" }).trim()

const bun = [binary("bun@1.4.5", "-e", "console.log(process.execPath)")]
const deno = [binary("deno@2.9.6", "eval", "console.log(Deno.execPath())"), "run", "-A"]

const clean = {
  PORT: "",
  HOST: "",
  DRAIN_DEADLINE_MS: "10000",
  LAME_DUCK_MS: "",
  MAX_CONNECTIONS: "",
  TLS_KEY: "",
  TLS_CERT: ""
}

const start = (runtime: ReadonlyArray<string>, file: string, env: Record<string, string> = {}) =>
  Process.start(new URL(`../${file}`, import.meta.url), { runtime, env: { ...clean, ...env } })

const events = ({ stdout }: Process.Exit): ReadonlyArray<unknown> => stdout.map((line) => JSON.parse(line).event)

describe.each([["Bun", bun], ["Deno", deno]] as const)("tcp-echo.ts on %s", (_name, runtime) => {
  it.live("answers what is in flight, ends idle clients by a FIN, and prints its report", () =>
    Effect.gen(function*() {
      const program = yield* start(runtime, "tcp-echo.ts")
      const port = yield* program.port
      const [busy, idle] = [yield* NetClient.connect(port), yield* NetClient.connect(port)]
      for (const client of [busy, idle]) {
        yield* client.send("hello\n")
        assert.strictEqual(yield* client.line, "hello")
      }
      yield* busy.send("sleep 1000\n")
      yield* program.signal("SIGTERM")
      assert.deepStrictEqual(yield* idle.rest, { lines: [], ending: "FIN" })
      assert.deepStrictEqual(yield* busy.rest, { lines: ["slept 1000"], ending: "FIN" })
      const exit = yield* program.exit
      assert.deepStrictEqual([exit.code, events(exit)], [0, ["open", "closed"]], exit.stderr.join("\n"))
    }))
})

describe("http-server.ts on Bun", () => {
  it.live.each(["http", "https"])(
    "keeps connections, and answers what is in flight, with its goodbye: %s",
    (scheme) =>
      Effect.gen(function*() {
        const tls = scheme === "https"
        const program = yield* start(bun, "http-server.ts", tls ? yield* tlsFiles : {})
        const port = yield* program.port
        const [busy, idle] = [yield* HttpPeer.connect(port, { tls }), yield* HttpPeer.connect(port, { tls })]
        for (let request = 0; request < 3; request++) {
          for (const peer of [busy, idle]) assert.strictEqual((yield* peer.get("/")).status, 200)
        }
        assert.strictEqual((yield* busy.get("/bytes?n=1000000")).length, 1_000_000)
        yield* busy.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        assert.strictEqual((yield* busy.response).body, "5")
        yield* busy.send(HttpPeer.get("/slow?ms=3000"))
        // one that is sent later and answered: the other has been read
        yield* idle.get("/")
        yield* program.signal("SIGTERM")
        const answer = yield* busy.response
        assert.deepStrictEqual([answer.status, answer.headers["connection"]], [200, "close"])
        assert.deepStrictEqual(yield* idle.rest, { ending: "FIN", partial: false })
        const exit = yield* program.exit
        assert.deepStrictEqual([exit.code, events(exit)], [0, ["open", "closed"]], exit.stderr.join("\n"))
      })
  )

  it.live("cuts at the deadline, names what it cut, and ends with 124; by force with 143", () =>
    Effect.gen(function*() {
      const late = yield* start(bun, "http-server.ts", { DRAIN_DEADLINE_MS: "500" })
      const never = yield* HttpPeer.connect(yield* late.port)
      yield* never.send(HttpPeer.get("/never"))
      yield* (yield* HttpPeer.connect(yield* late.port)).get("/")
      yield* late.signal("SIGTERM")
      const exit = yield* late.exit
      assert.strictEqual(exit.code, 124)
      assert.include(exit.stderr.join("\n"), "GET /never")

      const forced = yield* start(bun, "http-server.ts")
      yield* (yield* HttpPeer.connect(yield* forced.port)).send(HttpPeer.get("/never"))
      yield* (yield* HttpPeer.connect(yield* forced.port)).get("/")
      yield* forced.signal("SIGTERM")
      // until no copy of it can come
      yield* Effect.sleep(1000 + 2000)
      yield* forced.signal("SIGTERM")
      assert.strictEqual((yield* forced.exit).code, 143)
    }))
})

describe("http-server.ts on Deno", () => {
  it.live("is refused, because Deno ends each connection after its first answer", () =>
    Effect.gen(function*() {
      const exit = yield* (yield* start(deno, "http-server.ts")).exit
      assert.strictEqual(exit.code, 1)
      const said = exit.stderr.join("\n")
      assert.include(said, "NotSupported")
      assert.match(said, /http on Deno [0-9.]+ .*the second request on a connection would be reset/)
    }))
})
