import { assert, describe, it } from "@effect/vitest"
import type { ConnectionCounts, DrainReport, Outcome } from "../src/DrainReport.ts"
import { budget, merge, share, stageOf, totals, worst } from "../src/internal/host/hostPolicy.ts"
import { lameDuckEnds } from "../src/internal/lifecycle/closing/lameDuck.ts"
import { report as sample } from "./support/errors.ts"

const reportOf = (n: number, outcome: Outcome): DrainReport => ({
  ...sample,
  listener: `l${n}`,
  outcome,
  swept: n,
  sweepCut: n === 2,
  queue: "swept",
  refused: 10 * n
})

describe("the deadline of a host", () => {
  it.each<[string, Parameters<typeof budget>[0], ReturnType<typeof budget>]>([
    [
      "the abort grace comes out of it",
      { deadline: 20_000, reserve: 0, abortGrace: 1000, admin: false },
      { total: 20_000, drain: 19_000, grace: 1000 }
    ],
    [
      "the reserve too",
      { deadline: 20_000, reserve: 5000, abortGrace: 1000, admin: false },
      { total: 15_000, drain: 14_000, grace: 1000 }
    ],
    [
      "admin listeners have half a second at the end",
      { deadline: 20_000, reserve: 0, abortGrace: 1000, admin: true },
      { total: 20_000, drain: 18_500, grace: 1000 }
    ],
    [
      "of a short one they get a part",
      { deadline: 1000, reserve: 0, abortGrace: 1000, admin: true },
      { total: 1000, drain: 855, grace: 95 }
    ],
    [
      "all of it may be reserved",
      { deadline: 2000, reserve: 2000, abortGrace: 1000, admin: true },
      { total: 0, drain: 0, grace: 0 }
    ],
    [
      "none is for ever",
      { deadline: Infinity, reserve: 2000, abortGrace: 1000, admin: true },
      { total: Infinity, drain: Infinity, grace: 1000 }
    ]
  ])("%s", (_, options, expected) => {
    assert.deepStrictEqual(budget(options), expected)
    assert.isAtMost(expected.drain + expected.grace, expected.total)
  })

  it("what is left is shared in the same way, and time that is over is none", () => {
    assert.deepStrictEqual(share(400, 1000), { drain: 360, grace: 40 })
    assert.deepStrictEqual(share(-5, 1000), { drain: 0, grace: 0 })
  })
})

describe("several listeners taken together", () => {
  it.each<[ReadonlyArray<Outcome>, Outcome]>([
    [[], "Drained"],
    [["Drained", "Drained"], "Drained"],
    [["Drained", "DeadlineExceeded", "Drained"], "DeadlineExceeded"],
    [["Aborted", "DeadlineExceeded"], "Aborted"],
    [["DeadlineExceeded", "Aborted"], "Aborted"]
  ])("the worst of %j is %s", (outcomes, expected) => {
    assert.strictEqual(worst(outcomes), expected)
  })

  it("totals add up field by field", () => {
    const reports = [reportOf(1, "Drained"), reportOf(2, "DeadlineExceeded")]
    const sums = totals(reports)
    assert.deepStrictEqual([sums.swept, sums.refused, sums.cut, sums.handlersLeftBehind], [3, 30, 2, 2])
    for (const key of Object.keys(sample.connections) as Array<keyof ConnectionCounts>) {
      assert.strictEqual(sums.connections[key], 2 * sample.connections[key], key)
    }
    assert.strictEqual(totals([]).connections.total, 0)
  })

  it("merged into one report nothing is lost", () => {
    const listeners = [reportOf(1, "Drained"), reportOf(2, "DeadlineExceeded")]
    const merged = merge({
      host: "service",
      reason: "SIGTERM",
      outcome: "DeadlineExceeded",
      duration: 5,
      listeners,
      totals: totals(listeners)
    })
    assert.deepStrictEqual(merged.cut, [...sample.cut, ...sample.cut])
    assert.deepStrictEqual(merged.handlersLeftBehind, [...sample.handlersLeftBehind, ...sample.handlersLeftBehind])
    assert.deepStrictEqual([merged.listener, merged.reason, merged.duration, merged.sweepCut, merged.swept], [
      "service",
      "SIGTERM",
      5,
      true,
      3
    ])
  })

  it("the stage is the one an operator should know of", () => {
    assert.strictEqual(stageOf([]), "Draining")
    assert.strictEqual(stageOf(["Draining", "Sweeping", "Draining"]), "Sweeping")
    assert.strictEqual(stageOf(["Aborting", "Sweeping"]), "Aborting")
  })
})

describe("the end of a lame duck", () => {
  const lame = { min: 2000, quiet: 1000, max: 10_000 }
  it.each<[string, number, number]>([
    ["min, when it is quiet from the start", 100, 2100],
    ["quiet after the last arrival", 1900, 2900],
    ["at most max", 9800, 10_100],
    ["an arrival before it does not count", 0, 2100]
  ])("%s", (_, lastArrival, expected) => {
    assert.strictEqual(lameDuckEnds(lame, { startedAt: 100, lastArrival }), expected)
  })
  it("a fixed one has no quiet", () => {
    assert.strictEqual(lameDuckEnds({ min: 500, quiet: 0, max: 500 }, { startedAt: 100, lastArrival: 400 }), 600)
  })
})
