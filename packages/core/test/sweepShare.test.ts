import { assert, describe, it } from "@effect/vitest"
import { sweepEnds, sweepGoesOn, sweepShare } from "../src/internal/lifecycle/closing/sweepShare.ts"

describe("a sweep whose share of the deadline is over", () => {
  const cells: ReadonlyArray<readonly [before: boolean | undefined, now: boolean | undefined, goesOn: boolean]> = [
    [undefined, undefined, false],
    [undefined, false, false],
    [undefined, true, true],
    [false, undefined, false],
    [false, false, false],
    [false, true, true],
    [true, undefined, true],
    [true, false, true],
    [true, true, true]
  ]
  const words = (queued: boolean | undefined) => queued === undefined ? "not known" : queued ? "queued" : "out"
  for (const [before, now, goesOn] of cells) {
    it(`${goesOn ? "goes on" : "ends"} where clients were ${words(before)} and are ${words(now)}`, () => {
      assert.strictEqual(sweepGoesOn(before, now), goesOn)
    })
  }

  it.each([
    ["a share before the deadline", { startedAt: 100, share: 50, deadlineAt: 600 }, 550],
    ["not before it has had one", { startedAt: 100, share: 50, deadlineAt: 170 }, 150],
    ["not after the deadline", { startedAt: 100, share: 50, deadlineAt: 120 }, 120],
    ["never without a deadline", { startedAt: 100, share: Infinity, deadlineAt: Infinity }, Infinity]
  ])("ends %s at the latest", (_, times, at) => {
    assert.strictEqual(sweepEnds(times), at)
  })

  it("is a tenth of it, and at least a millisecond", () => {
    assert.deepStrictEqual([20_000, 500, 3, 0, Infinity].map(sweepShare), [2000, 50, 1, 1, Infinity])
  })
})
