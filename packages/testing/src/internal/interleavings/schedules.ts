/**
 * Which schedules to run, and when enough were.
 */
import { DepthFirst, pct, random } from "./strategies.ts"
import type { RunResult, Strategy } from "./types.ts"

export interface Plan {
  readonly strategy: Strategy
  readonly bound: number
}

export interface Budget {
  readonly strategy: "bounded" | "random" | "pct" | "all"
  readonly bound: number
  readonly maxSchedules: number
  readonly seed: number
}

/** Yields one plan a run and is given back the run; returns whether every schedule within the bound was run. */
export type Search = Generator<Plan, boolean, RunResult>

export function* search({ bound, maxSchedules, seed, strategy }: Budget): Search {
  const randomAt = (index: number) => random(seedOf(seed, index))
  const pctAt = (index: number, length: number) => pct(seedOf(seed, index), 2 + index % 3, length)
  switch (strategy) {
    case "bounded":
      return (yield* bounded(bound, maxSchedules)).covered !== "some"
    case "random":
      return yield* sampled(maxSchedules, randomAt)
    case "pct":
      return yield* sampled(maxSchedules, pctAt)
    case "all": {
      const { covered, runs } = yield* bounded(bound, Math.ceil(maxSchedules / 2))
      if (covered === "all") return true
      yield* sampled(
        maxSchedules - runs,
        (index, length) => index % 2 === 0 ? randomAt(index) : pctAt((index - 1) / 2, length)
      )
      return covered === "bound"
    }
  }
}

interface Coverage {
  /** All schedules there are, all within the bound, or some: as many as the budget allowed. */
  readonly covered: "all" | "bound" | "some"
  readonly runs: number
}

/** Depth-first with ever more preemptions, so that the first schedule found to fail is one with the fewest. */
function* bounded(bound: number, maxRuns: number): Generator<Plan, Coverage, RunResult> {
  let runs = 0
  // without a bound there is nothing to deepen: one pass visits every schedule once, and nothing is cut.
  for (let level = bound === Infinity ? Infinity : 0; level <= bound; level++) {
    const strategy = new DepthFirst()
    let cut = false
    do {
      if (runs === maxRuns) return { covered: "some", runs }
      runs++
      const run = yield { strategy, bound: level }
      cut ||= run.cut
    } while (strategy.advance())
    if (!cut) return { covered: "all", runs }
  }
  return { covered: "bound", runs }
}

function* sampled(
  runs: number,
  strategyOf: (index: number, length: number) => Strategy
): Generator<Plan, false, RunResult> {
  let length = 0
  for (let index = 0; index < runs; index++) {
    const run = yield { strategy: strategyOf(index, length), bound: Infinity }
    length = Math.max(length, run.points)
  }
  return false
}

const seedOf = (seed: number, index: number): number => Math.imul(seed | 0, 1000003) + index
