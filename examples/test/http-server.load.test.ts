import { describe, it } from "@effect/vitest"
import * as Restart from "./restartRounds.ts"

describe("restarts of examples/http-server.ts under load", () => {
  it.live.each([["http", 2], ["https", 2]] as const)(
    "64 keep-alive clients that send without pause, over %s, %s rounds: nothing is lost",
    ([scheme, rounds]) => Restart.withoutPause(scheme, rounds),
    120_000
  )

  it.live(
    "clients that pause as long as the grace, 4 rounds: what is lost was never executed",
    () => Restart.pausingAsLongAsTheGrace(4),
    120_000
  )
})
