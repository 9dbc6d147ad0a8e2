import { assert, describe, it } from "@effect/vitest"
import { smoke } from "./smoke.ts"

/** One of each kind; `bench.long.test.ts` runs all. */
const names = ["echo", "datagrams", "close", "growth"]

describe("the benchmarks", () => {
  it("run, and each measures something", async () => {
    assert.deepStrictEqual(await smoke(...names), new Set(names))
  }, 320_000)
})
