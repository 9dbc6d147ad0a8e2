import { assert, describe, it } from "@effect/vitest"
import { type Storm, storm, wholeStorm } from "../simulate/storm.ts"

/** Six instances of 500 connections, each with handshakes for a fifth of them a second. */
const small: Storm = {
  ...wholeStorm,
  instances: 6,
  connections: 500,
  handshakes: 100,
  balancer: "random",
  spread: 0,
  age: undefined,
  horizon: 300_000
}

const spread = 10_000
const age = { max: 60_000, jitter: 6000 }

describe("a storm of reconnects", () => {
  it("comes to every instance at once, costs requests, and leaves the instances unequal", () => {
    const { balanced, connections, lost, peak, restart } = storm(small)
    assert.isAtLeast(peak, 80)
    assert.isAbove(lost, 0)
    assert.strictEqual(balanced, undefined)
    assert.deepStrictEqual([connections.least, connections.sum], [0, 3000])
    assert.isAtLeast(restart, 6 * 10_000)
  })

  it("is spread over a time by the turns of a drain, and costs none", () => {
    const { longest, lost, peak, restart } = storm({ ...small, spread })
    const without = storm(small)
    assert.isBelow(peak, without.peak / 3)
    assert.strictEqual(lost, 0)
    assert.isAtMost(longest, 200)
    // it takes its time
    assert.isAtLeast(restart, 6 * 20_000)
  })

  it("ends in balance where connections have an age", () => {
    const { balanced, connections, lost } = storm({ ...small, spread, age })
    assert.isDefined(balanced)
    assert.strictEqual(lost, 0)
    assert.isAtLeast(connections.least, 400)
    assert.isAtMost(connections.most, 600)
  })

  it("goes to the one instance that is back, where the balancer chooses the one with the fewest", () => {
    const all = storm({ ...small, balancer: "fewest" })
    const some = storm({ ...small, balancer: "fewest", spread })
    assert.isAtLeast(all.peak, 450)
    assert.isBelow(some.peak, all.peak / 3)
    assert.isAbove(all.lost, some.lost)
    // nothing comes to the last that is back, before connections have an age
    assert.deepStrictEqual([some.balanced, some.connections.least], [undefined, 0])
    assert.isDefined(storm({ ...small, balancer: "fewest", spread, age }).balanced)
  })

  it("is the same each time", () => {
    assert.deepStrictEqual(storm({ ...small, spread, age }), storm({ ...small, spread, age }))
  })
})
