import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import { many, timed } from "./support/listening.ts"
import * as NetClient from "./support/netClient.ts"
import * as Process from "./support/process.ts"

const file = new URL("./programs/exhausted.ts", import.meta.url)

/** A server with room for few descriptors, some clients it serves, and one of them to command it by. */
const server = Effect.gen(function*() {
  const program = yield* Process.start(file, { descriptors: 64 })
  const target = { host: "127.0.0.1", port: yield* program.port }
  const clients = yield* many(5, NetClient.connect(target))
  const commander = yield* NetClient.connect(target)
  const command = (line: string) => NetClient.ask(commander, line)
  return { program, target, clients, command, commander }
})

/** What becomes of a client that connects now: answered, or how its connection was over. */
const arrive = (target: Net.NetConnectOpts, asks: boolean): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const socket = Net.connect(target)
    let ending = "FIN"
    if (asks) socket.on("connect", () => socket.write("ping\n"))
    socket.on("data", () => {
      ending = "answered"
      socket.end()
    })
    socket.on("error", (error: NodeJS.ErrnoException) => {
      ending = error.code ?? error.message
    })
    socket.on("close", () => resume(Effect.succeed(ending)))
  })

describe("a process without free descriptors", () => {
  it.live("goes on serving, costs no more CPU, accepts again when there are some, and still closes in time", () =>
    Effect.gen(function*() {
      const { clients, command, commander, program, target } = yield* server

      /** The same load each time, over the same time: connected clients ask, and others arrive. */
      const load = (rounds: number) =>
        Effect.gen(function*() {
          const outcomes: Record<string, number> = {}
          const before = Number(yield* command("cpu"))
          for (let round = 0; round < rounds; round++) {
            yield* Effect.sleep("20 millis")
            const arrivals = many(2, arrive(target, true))
            const [endings] = yield* Effect.all([
              arrivals,
              Effect.forEach(clients, (client) =>
                Effect.map(NetClient.ask(client, "ping"), (answer) => assert.strictEqual(answer, "ping")))
            ], { concurrency: "unbounded" })
            for (const ending of endings) {
              outcomes[ending] = (outcomes[ending] ?? 0) + 1
            }
          }
          return { outcomes, cpu: Number(yield* command("cpu")) - before }
        })

      yield* load(40)
      const free = yield* load(100)
      assert.deepStrictEqual(free.outcomes, { answered: 200 })

      assert.match(yield* command("exhaust"), /^took \d+$/)
      const exhausted = yield* load(100)
      const silent = yield* many(20, arrive(target, false))
      console.log(
        `100 rounds with free descriptors: ${JSON.stringify(free.outcomes)}, ${free.cpu / 1000} ms CPU; ` +
          `with none: ${JSON.stringify(exhausted.outcomes)}, ${exhausted.cpu / 1000} ms CPU; ` +
          `20 silent clients: ${silent.join(" ")}`
      )
      // libuv accepts and closes them at once, with a reset when their request was faster
      assert.deepStrictEqual(Object.keys(exhausted.outcomes).filter((ending) => !/^(FIN|ECONNRESET)$/.test(ending)), [])
      assert.deepStrictEqual(new Set(silent), new Set(["FIN"]))
      assert.isAtMost(exhausted.cpu, free.cpu * 2)

      assert.strictEqual(yield* command("free"), "free")
      assert.deepStrictEqual(yield* many(20, arrive(target, true)), Array(20).fill("answered"))

      assert.match(yield* command("exhaust"), /^took \d+$/)
      yield* commander.send("sleep 500\n")
      yield* program.signal("SIGTERM")
      const [exit, millis] = yield* timed(program.exit)
      assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
      assert.isBelow(millis, 20_000)
      assert.deepStrictEqual(yield* commander.rest, { lines: ["sleep 500"], ending: "FIN" })
      for (const client of clients) assert.deepStrictEqual(yield* client.rest, { lines: [], ending: "FIN" })
      assert.match(
        exit.stderr.join("\n"),
        /tcp: drained in [\d.]+ m?s \(SIGTERM\)\n {2}6 connections: 1 drained, 5 idle/
      )
    }))
})
