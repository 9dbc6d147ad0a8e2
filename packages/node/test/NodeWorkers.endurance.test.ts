/** What `NodeWorkers.load.test.ts` and `NodeWorkers.test.ts` test once, again and again, with figures of what clients saw. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as BusyClients from "./support/busyClients.ts"
import { Sessions } from "./support/tlsSessions.ts"
import { replaceUnderLoad, stopsUnderLoad } from "./support/workerRounds.ts"
import * as Workers from "./support/workers.ts"

const kinds: ReadonlyArray<Workers.Kind> = ["http", "https", "http2", "webSocket", "tcp", "tls", "unix", "rpc"]

const minutes = (n: number): number => n * 60_000

describe("20 replacements of two workers under 16 clients that never stop, half of them connecting anew", () => {
  it.live.each(kinds)("%s: refused, reset, unanswered, hung: 0", (kind) =>
    Effect.gen(function*() {
      const { answered, told } = yield* replaceUnderLoad(kind, 20)
      yield* Effect.log(
        `${kind}: 40 workers replaced, ${answered} requests answered, ${told} told to ask again, 0 lost`
      )
    }), minutes(15))
})

describe("60 replacements with new connections only", () => {
  it.live("tcp: refused, reset, unanswered, hung: 0", () =>
    Effect.gen(function*() {
      const { answered } = yield* replaceUnderLoad("tcp", 30, { fresh: "all", pause: 2 })
      yield* Effect.log(`60 workers replaced, ${answered} new connections, 0 lost`)
    }), minutes(15))
})

describe("20 crashes under load", () => {
  it.live("none refused, none hung", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tcp")
      const stop = yield* BusyClients.start("tcp", supervisor.target, { fresh: "all" })
      const known = new Set(yield* supervisor.pids)
      for (let i = 0; i < 20; i++) {
        const { slot, pid } = (yield* supervisor.inspection).workers!.workers[i % 2]!
        process.kill(pid, "SIGKILL")
        const next = yield* supervisor.line((line) =>
          line.what === "Accepting" && line.slot === slot && !known.has(line.pid)
        )
        known.add(next.pid)
      }
      const { answered, hung, refused, reset, unanswered } = yield* stop
      assert.deepStrictEqual({ hung, refused }, { hung: 0, refused: 0 })
      yield* Effect.log(
        `20 crashes: ${answered} answered, ${reset + unanswered} that a dying process had, 0 refused, 0 hung`
      )
      yield* supervisor.end()
    }), minutes(10))
})

describe("a final stop under 24 clients that never stop", () => {
  it.live("resets none, in at least nine of ten", () => stopsUnderLoad(10, 9), minutes(10))
})

describe("40 TLS reconnects", () => {
  it.live("over two workers, and over replacements: 40 are resumed", () =>
    Effect.gen(function*() {
      const supervisor = yield* Workers.start("tls")
      const sessions = new Sessions(supervisor.target)
      yield* Effect.promise(() => sessions.connect(21))
      yield* supervisor.replace()
      yield* Effect.promise(() => sessions.connect(20))
      assert.deepStrictEqual([sessions.resumed, sessions.connected], [40, 41])
      yield* supervisor.end()
    }), minutes(5))
})
