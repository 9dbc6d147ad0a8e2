import { assert, describe, it } from "@effect/vitest"
import * as Packet from "dns-packet"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { Resolver } from "node:dns/promises"
import type * as Process from "../../packages/node/test/support/process.ts"
import { describe as describeQuery, respond } from "../support/dnsZone.ts"
import { type Client, framed, query, start, tcp, udp } from "./support/dnsClient.ts"

const events = (exit: Process.Exit): ReadonlyArray<Record<string, unknown>> =>
  exit.stdout.map((line): Record<string, unknown> => JSON.parse(line))

const text = (lines: ReadonlyArray<string>) => lines.join("\n")

/** How a response says that it went: RFC 1035 §4.1.1. */
const codeOf = (response: Packet.DecodedPacket): number => (response.flags ?? 0) & 15

/** What a report says of this listener. */
const reportOf = (exit: Process.Exit, listener: string): Record<string, unknown> | undefined => {
  const closed = events(exit).at(-1)
  // what the example prints
  const { listeners } = closed!["report"] as { readonly listeners: ReadonlyArray<Record<string, unknown>> }
  return listeners.find((one) => one["listener"] === listener)
}

describe("examples/dns.ts", () => {
  it.live("answers the resolver of Node: addresses, texts that take their time, and names there are not", () =>
    Effect.gen(function*() {
      const program = yield* start()
      const open = yield* program.event("open")
      assert.deepStrictEqual(open["ports"], { tcp: open["port"], udp: open["port"] })
      assert.strictEqual(open["address"], `127.0.0.1:${String(open["port"])}`)
      const resolver = new Resolver({ timeout: 30_000, tries: 1 })
      resolver.setServers([`127.0.0.1:${String(open["port"])}`])
      const ask = <A>(ask: () => Promise<A>) => Effect.promise(ask)
      assert.deepStrictEqual(yield* ask(() => resolver.resolve4("one.test")), ["192.0.2.1"])
      assert.deepStrictEqual(yield* ask(() => resolver.resolve4("ONE.Test")), ["192.0.2.1"])
      assert.deepStrictEqual(yield* ask(() => resolver.resolveTxt("sleep-20.test")), [["slept 20"]])
      assert.deepStrictEqual(yield* ask(() => resolver.resolveTxt("block-20.test")), [["blocked 20"]])
      const failure = (lookup: () => Promise<unknown>) =>
        ask(() => lookup().then(() => "found", (error: NodeJS.ErrnoException) => error.code))
      assert.strictEqual(yield* failure(() => resolver.resolve4("two.test")), "ENOTFOUND")
      assert.strictEqual(yield* failure(() => resolver.resolve6("one.test")), "ENODATA")
    }))

  it.live("answers over TCP as well, as it comes: byte by byte, together, out of turn, and after the client's end", () =>
    Effect.gen(function*() {
      const port = yield* (yield* start()).port
      const client = yield* tcp(port)
      for (const byte of framed(query(1, "A", "one.test"))) yield* client.send(Uint8Array.of(byte))
      assert.strictEqual((yield* client.answers.of(1)).answers?.length, 1)
      const slow = framed(query(2, "TXT", "sleep-1500.test"))
      yield* client.send(Buffer.concat([slow, framed(query(3, "A", "one.test")), framed(query(4, "A", "none.test"))]))
      client.socket.end()
      assert.strictEqual(codeOf(yield* client.answers.of(4)), 3)
      assert.isFalse(client.answers.byId.has(2))
      yield* client.answers.of(2)
      yield* client.ended
      assert.deepStrictEqual([...client.answers.byId.keys()], [1, 3, 4, 2])
    }))

  it.live("is answered by dig", () =>
    Effect.gen(function*() {
      const port = yield* (yield* start()).port
      const dig = (...args: ReadonlyArray<string>) =>
        execFileSync("dig", ["@127.0.0.1", "-p", String(port), "+tries=1", ...args], { encoding: "utf8" })
      assert.strictEqual(dig("+short", "one.test").trim(), "192.0.2.1")
      assert.strictEqual(dig("+short", "+tcp", "one.test").trim(), "192.0.2.1")
      assert.strictEqual(dig("+short", "sleep-50.test", "TXT").trim(), "\"slept 50\"")
      assert.match(dig("two.test"), /status: NXDOMAIN/)
    }), { tags: ["dig"] })

  it.live("SIGTERM: every query is answered that had reached the machine before it, over both", () =>
    Effect.gen(function*() {
      const program = yield* start()
      const port = yield* program.port
      const overUdp = yield* udp(port)
      const overTcp = yield* tcp(port)
      // held, so that what follows waits in the kernel when the signal comes
      yield* overUdp.send(query(1, "TXT", "block-500.test"))
      yield* program.stderr((line) => line.startsWith("blocking for") || undefined)
      for (let id = 2; id < 200; id++) overUdp.socket.send(query(id, "A", "one.test"), port, "127.0.0.1")
      yield* overUdp.send(query(200, "TXT", "sleep-500.test"))
      yield* overTcp.send(Buffer.concat([framed(query(1, "TXT", "sleep-700.test")), framed(query(2, "A", "one.test"))]))
      yield* program.signal("SIGTERM")
      yield* overTcp.answers.of(1)
      yield* overUdp.answers.of(200)
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 0, text(exit.stderr))
      assert.strictEqual(overUdp.answers.byId.size, 200)
      assert.strictEqual(overTcp.answers.byId.size, 2)
      assert.deepInclude(reportOf(exit, "udp"), { outcome: "Drained", reason: "SIGTERM" })
      assert.deepInclude(reportOf(exit, "udp")?.["datagrams"], { received: 200, answered: 200 })
    }))

  it.live("124 at the deadline, with the query that was cut by name", () =>
    Effect.gen(function*() {
      const program = yield* start({ DRAIN_DEADLINE_MS: "400" })
      const client = yield* udp(yield* program.port)
      yield* client.send(query(1, "TXT", "sleep-60000.test"))
      yield* client.send(query(2, "A", "one.test"))
      yield* client.answers.of(2)
      yield* program.signal("SIGINT")
      const exit = yield* program.exit
      assert.strictEqual(exit.code, 124, text(exit.stderr))
      assert.match(text(exit.stderr), /cut #1 127\.0\.0\.1:\d+ udp Active, TXT sleep-60000\.test /)
      assert.deepInclude(reportOf(exit, "udp")?.["datagrams"], { received: 2, answered: 1, cut: 1 })
    }))

  it.live("a port that is taken for one of the two: exit code 1, and none stays open", () =>
    Effect.gen(function*() {
      const first = yield* start()
      const port = yield* first.port
      const exit = yield* (yield* start({ PORT: String(port) })).exit
      assert.strictEqual(exit.code, 1)
      assert.match(text(exit.stderr), new RegExp(`PORT ${port}`))
      assert.deepStrictEqual(exit.stdout, [])
    }))

  it.live("is not brought down by what is no query, and says so where that can be said", () =>
    Effect.gen(function*() {
      const program = yield* start()
      const port = yield* program.port
      const client = yield* udp(port)
      const whole = query(7, "A", "one.test")
      // nothing, half a header, a response, another opcode, a question that is cut off
      yield* client.send(new Uint8Array(0))
      yield* client.send(whole.subarray(0, 5))
      yield* client.send(Packet.encode({ type: "response", id: 8, questions: [{ type: "A", name: "one.test" }] }))
      const status = query(9, "A", "one.test")
      status[2] = 2 << 3
      yield* client.send(status)
      assert.strictEqual(codeOf(yield* client.answers.of(9)), 4)
      const cut = query(10, "A", "one.test").subarray(0, 20)
      yield* client.send(cut)
      assert.strictEqual(codeOf(yield* client.answers.of(10)), 1)
      yield* client.send(whole)
      yield* client.answers.of(7)
      assert.deepStrictEqual(new Set(client.answers.byId.keys()), new Set([9, 10, 7]))
      // a length without a message, and one that is a lie
      const stream: Client = yield* tcp(port)
      yield* stream.send(Uint8Array.of(0, 0, 0, 3, 1, 2, 3))
      yield* stream.send(framed(query(11, "A", "one.test")))
      yield* stream.answers.of(11)
      yield* program.signal("SIGTERM")
      assert.strictEqual((yield* program.exit).code, 0)
    }))

  it.effect("whatever bytes come, there is a response of the same number or none", () =>
    Effect.gen(function*() {
      // xorshift: the same bytes in every run
      let state = 88_172_645
      const random = (below: number): number => {
        state ^= state << 13
        state ^= state >>> 17
        state ^= state << 5
        return (state >>> 0) % below
      }
      const seeds = [query(0x1234, "A", "one.test"), query(0x1234, "TXT", "sleep-0.test"), query(0x1234, "A", "x.test")]
      let answered = 0
      for (let i = 0; i < 5000; i++) {
        const message = Uint8Array.from(seeds[i % seeds.length]!)
        for (let changes = random(4); changes >= 0; changes--) message[2 + random(message.length - 2)] = random(256)
        const some = message.subarray(0, random(3) === 0 ? random(message.length) : message.length)
        assert.isString(describeQuery(some))
        const response = yield* Effect.raceFirst(respond(some), Effect.yieldNow)
        if (response === undefined) continue
        assert.deepStrictEqual([response[0], response[1], response[2]! & 0x80], [0x12, 0x34, 0x80])
        answered++
      }
      assert.isAbove(answered, 500)
    }))
})
