import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Orders, run } from "./support/clusterRestarts.ts"

// the same at length, and with Effect's own server: node examples/test/programs/clusterRestarts.ts
describe("examples/cluster.ts on PostgreSQL", { tags: ["postgres"] }, () => {
  it.live(
    "three runners restarted one after the other: no message is lost, and none takes effect twice",
    () =>
      Effect.gen(function*() {
        const inFlight = 40
        const figures = yield* run("example", { rounds: 1, inFlight })
        const whole = ({ sent }: Orders): Orders => ({ sent, answered: sent, executedByNobody: 0, executedTwice: 0 })
        const { Keep, Pass, Send } = figures.orders
        assert.deepStrictEqual(
          figures.orders,
          { Keep: whole(Keep), Send: whole(Send), Pass: whole(Pass) },
          JSON.stringify(figures)
        )
        assert.deepStrictEqual(figures.exitCodes, [0, 0, 0])
        // how many there are depends on the machine; of each kind they were more than ever are under way at once
        for (const { sent } of [Keep, Send, Pass]) assert.isAbove(sent, inFlight)
      })
  )
})
