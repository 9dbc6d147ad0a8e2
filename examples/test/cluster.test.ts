import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Process from "../../packages/node/test/support/process.ts"
import { order, withCluster } from "./support/clusterRestarts.ts"

/** What the last line of a runner says its close did. */
const reportOf = (exit: Process.Exit) => JSON.parse(exit.stdout.at(-1) ?? "{}")["report"]

describe("examples/cluster.ts on PostgreSQL", { tags: ["postgres"] }, () => {
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
