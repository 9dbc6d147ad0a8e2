/** Hand-overs and stops under load, over every protocol; `NodeHandover.endurance.test.ts` has dozens of them. */
import { describe, it } from "@effect/vitest"
import * as Rounds from "./support/handoverRounds.ts"

/** Long enough for some processes to start on a machine that has other work. */
const slow = 120_000

describe("a service that is handed over under clients that never stop", () => {
  it.live.each(["http", "tls", "unix", "tcp"] as const)(
    "loses nothing in 3 hand-overs: %s",
    (kind) => Rounds.handOverUnderLoad(kind, 3, { clients: 8 }),
    slow
  )

  it.live.each(["http2", "webSocket"] as const)(
    "loses nothing: %s",
    (kind) => Rounds.handOverUnderLoad(kind, 1, { clients: 8 }),
    slow
  )

  it.live("loses nothing: RPC", () => Rounds.callUnderHandOvers(1), slow)

  it.live(
    "refuses none of those that connect anew each time",
    () => Rounds.handOverUnderLoad("tcp", 3, { clients: 8, kept: () => false }),
    slow
  )
})

describe("a final stop", () => {
  it.live.each(["http", "tls", "tcp"] as const)(
    "neither resets nor loses those that keep their connections: %s",
    (kind) => Rounds.stopUnderLoad(kind),
    slow
  )
})

describe("clients whose turns are slow while they are told to go", () => {
  it.live.each(["http", "tls", "unix"] as const)(
    "hear it before they ask again, and lose nothing: %s",
    (kind) => Rounds.handOverBetweenSlowTurns(kind),
    slow
  )
})
