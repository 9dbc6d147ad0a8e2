import { assert, describe, it } from "@effect/vitest"
import { type AheadEvent, type AheadStage, readAhead } from "../src/internal/connection/draining/readAhead.ts"

const events: ReadonlyArray<AheadEvent> = ["graceOver", "reads", "readsBeyond", "turnOver", "turnEmptied"]

/** What happens at each stage, in the order of the events; `-`: nothing. */
const cells: Record<AheadStage, ReadonlyArray<string>> = {
  Grace: ["Due, Look", "-", "-", "-", "-"],
  Due: ["-", "Turn, AwaitTurn", "Turn, AwaitTurn", "-", "-"],
  Turn: ["-", "-", "-", "Due, Look", "Fenced, Fence"],
  Fenced: ["-", "-", "Fenced, SayGoodbye", "-", "-"]
}

const said = (stage: AheadStage, event: AheadEvent): string => {
  const { action, next } = readAhead(stage, event)
  return action !== "None" ? `${next}, ${action}` : next === stage ? "-" : next
}

describe("the drain of a connection that reads on while it works", () => {
  // Object.keys widens the keys of what is given
  for (const stage of Object.keys(cells) as ReadonlyArray<AheadStage>) {
    events.forEach((event, i) => {
      it(`${stage}, ${event}: ${cells[stage][i]}`, () => {
        assert.strictEqual(said(stage, event), cells[stage][i])
      })
    })
  }
})
