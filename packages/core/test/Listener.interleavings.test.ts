import { Interleavings } from "@effect-listener/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { combinations, program } from "./support/combinations.ts"

/** The budget of one combination here; `pnpm interleavings` spreads a million. */
const maxSchedules = 40

describe("whatever the order", () => {
  for (const combination of combinations) {
    it.live(combination.join(", "), () =>
      Effect.gen(function*() {
        const report = yield* Interleavings.check(program(combination), { maxSchedules })
        assert.isTrue(report.exhaustive || report.schedules >= maxSchedules, Interleavings.format(report))
      }))
  }
})

describe("races that were found and are no more", () => {
  // the bind waited for the release before it, read after its own cancellation had become that release
  it.live("an open cancelled before its bind had begun waited for itself", () =>
    Effect.gen(function*() {
      const report = yield* Interleavings.explore(program(["interrupt open", "interrupt close"]), { schedule: "32,42" })
      assert.isTrue(Option.isNone(report.finding))
    }))
})
