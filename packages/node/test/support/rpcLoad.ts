/** Calls under restarts, for the short tests and for the long ones. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { run } from "./rpcRestarts.ts"

/** With its own client every call is answered exactly once. */
export const restartedInTurn = (restarts: number): void => {
  describe("RpcListener over processes", () => {
    it.live(
      `two servers restarted ${restarts} times in turn, 100 calls in flight: each call is answered exactly once`,
      () =>
        Effect.gen(function*() {
          const figures = yield* run({ server: "listener", client: "listener" }, {
            restarts,
            inFlight: 100,
            between: 250
          })
          assert.deepStrictEqual(figures, {
            restarts,
            calls: figures.calls,
            answered: figures.calls,
            failedUnexecuted: 0,
            lost: 0,
            executedTwice: 0,
            exits: Array.from({ length: restarts }, () => 0)
          })
        }),
      300_000
    )
  })
}
