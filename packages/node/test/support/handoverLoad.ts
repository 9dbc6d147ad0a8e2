/** Hand-overs and stops under load: the same tests at length and in short, which differ in protocols and counts. */
import { describe, it } from "@effect/vitest"
import type * as Handover from "./handover.ts"
import * as Rounds from "./handoverRounds.ts"
import type * as Relentless from "./relentless.ts"

/** Long enough for some processes to start on a machine that has other work. */
const slow = 300_000

export const handoverLoadSuite = (suite: {
  /** Protocols, and how often the service is handed over. */
  readonly handedOver: ReadonlyArray<readonly [protocol: Relentless.Protocol, times: number]>
  /** The same with calls of RPC. */
  readonly called: number
  /** The same with clients that connect anew each time. */
  readonly connectedAnew: number
  readonly stopped: ReadonlyArray<Relentless.Protocol>
  readonly slowTurns: ReadonlyArray<Handover.Kind>
}): void => {
  describe("a service that is handed over under clients that never stop", () => {
    it.live.each(suite.handedOver)(
      "loses nothing: %s, handed over %s times",
      ([protocol, times]) => Rounds.handOverUnderLoad(protocol, times, { clients: 8 }),
      slow
    )

    if (suite.called > 0) it.live("loses nothing: RPC", () => Rounds.callUnderHandOvers(suite.called), slow)

    it.live(
      "refuses none of those that connect anew each time",
      () => Rounds.handOverUnderLoad("tcp", suite.connectedAnew, { clients: 8, kept: () => false }),
      slow
    )
  })

  describe("a final stop", () => {
    it.live.each(suite.stopped)(
      "neither resets nor loses those that keep their connections: %s",
      (kind) => Rounds.stopUnderLoad(kind),
      slow
    )
  })

  describe("clients whose turns are slow while they are told to go", () => {
    it.live.each(suite.slowTurns)(
      "hear it before they ask again, and lose nothing: %s",
      (kind) => Rounds.handOverBetweenSlowTurns(kind),
      slow
    )
  })
}
