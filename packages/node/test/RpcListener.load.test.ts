import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { restartedInTurn } from "./support/rpcLoad.ts"
import { run } from "./support/rpcRestarts.ts"

// at length in `RpcListener.load.long.test.ts`, and with Effect's own server: node packages/node/test/programs/rpcRestarts.ts
restartedInTurn(4)

describe("RpcListener over processes", () => {
  it.live(
    "under Effect's own client each call is answered once, or fails before it is executed",
    () =>
      Effect.gen(function*() {
        const figures = yield* run({ server: "listener", client: "effect" }, {
          restarts: 2,
          inFlight: 100,
          between: 250
        })
        assert.deepStrictEqual(figures, {
          restarts: 2,
          calls: figures.calls,
          answered: figures.calls - figures.failedUnexecuted,
          failedUnexecuted: figures.failedUnexecuted,
          lost: 0,
          executedTwice: 0,
          exits: [0, 0]
        })
      }),
    300_000
  )
})
