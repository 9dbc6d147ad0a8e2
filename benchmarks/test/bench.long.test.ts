import { assert, describe, it } from "@effect/vitest"
import { smoke } from "./smoke.ts"

const names =
  "accept echo http tls http2 pipeline upload download datagrams idle close stall restart handover latency start weight cores workers growth waiters"

describe("the benchmarks", () => {
  it("all run, and each measures something", async () => {
    assert.deepStrictEqual(await smoke(), new Set(names.split(" ")))
  }, 320_000)
})
