import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Process from "../../packages/node/test/support/process.ts"
import { order, type Orders, run, withCluster } from "./clusterRestarts.ts"

/** What the last line of a runner says its close did. */
const reportOf = (exit: Process.Exit) => JSON.parse(exit.stdout.at(-1) ?? "{}")["report"]

// the same at length, and with Effect's own server: node examples/test/programs/clusterRestarts.ts
describe("examples/cluster.ts on PostgreSQL", { tags: ["postgres"] }, () => {
  it.live(
    "three runners restarted one after the other: no message is lost, and none is executed twice",
    () =>
      Effect.gen(function*() {
        const inFlight = 40
        const figures = yield* run("example", { rounds: 1, inFlight })
        const whole = ({ sent }: Orders): Orders => ({ sent, answered: sent, executedByNobody: 0, executedTwice: 0 })
        const { Keep, Pass, Send } = figures.orders
        assert.deepStrictEqual(figures.orders, { Keep: whole(Keep), Send: whole(Send), Pass: whole(Pass) })
        assert.deepStrictEqual(figures.exitCodes, [0, 0, 0])
        // how many there are depends on the machine; of each kind they were more than ever are under way at once
        for (const { sent } of [Keep, Send, Pass]) assert.isAbove(sent, inFlight)
      })
  )

  it.live("a runner whose peers are connected and idle ends at once, exit code 0", () =>
    Effect.gen(function*() {
      yield* withCluster("example", ({ client, runners }) =>
        Effect.gen(function*() {
          // enough for every runner to have sent to every other
          yield* Effect.forEach(Array.from({ length: 600 }, (_, n) => order(client, n).answer), (answer) => answer, {
            concurrency: 40
          })
          const [runner] = runners
          yield* runner!.program.signal("SIGTERM")
          const exit = yield* runner!.program.exit
          assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
          const { connections, duration, outcome } = reportOf(exit)
          assert.strictEqual(outcome, "Drained")
          // the two other runners, and the sender of the orders: ended, or gone by themselves when they were told
          assert.strictEqual(connections.total, 3)
          assert.strictEqual(connections.idle + connections.endedByPeer, 3)
          // their grace of 250 ms, and two seconds for a late machine
          assert.isBelow(duration, 2250)
        }))
    }))
})
