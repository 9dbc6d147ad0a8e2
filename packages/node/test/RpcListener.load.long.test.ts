import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { run } from "./support/rpcRestarts.ts"

// the same at length, and with Effect's own server: node packages/node/test/programs/rpcRestarts.ts
describe("RpcListener over processes", () => {
  it.live(
    "two servers restarted 20 times in turn, 100 calls in flight: each call is answered exactly once",
    () =>
      Effect.gen(function*() {
        const figures = yield* run({ server: "listener", client: "listener" }, {
          restarts: 20,
          inFlight: 100,
          between: 200
        })
        assert.deepStrictEqual(figures, {
          restarts: 20,
          calls: figures.calls,
          answered: figures.calls,
          failedUnexecuted: 0,
          lost: 0,
          executedTwice: 0,
          exits: Array.from({ length: 20 }, () => 0)
        })
        assert.isAbove(figures.calls, 5000)
      }),
    120_000
  )
})
