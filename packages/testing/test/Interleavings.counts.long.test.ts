import { describe, it } from "@effect/vitest"
import { countsAll } from "./support/counts.ts"

describe("the number of schedules is the multinomial (nk)!/(k!)^n, at length", () => {
  it.live("of 9 fibers of 1 step", () => countsAll(9, 1))
})
