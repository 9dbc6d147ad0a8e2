import { Interleavings } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { combinations, program } from "./support/combinations.ts"

/** The budget of one combination here; `pnpm interleavings` spreads a million. */
const maxSchedules = 60

describe("whatever the order, at length", () => {
  for (const combination of combinations) {
    it.live(combination.join(", "), () =>
      Effect.gen(function*() {
        const report = yield* Interleavings.check(program(combination), { maxSchedules })
        assert.isTrue(report.exhaustive || report.schedules >= maxSchedules, Interleavings.format(report))
      }))
  }
})
