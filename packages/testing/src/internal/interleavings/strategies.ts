/**
 * How a run's choices are made.
 *
 * No strategy dominates: depth-first finds every bug that needs few
 * preemptions and proves their absence, but drowns in long programs; random
 * finds wide windows there at once; PCT finds narrow ones.
 */
import { generator } from "../util/random.ts"
import type { Schedule } from "./schedule.ts"
import type { PointKind, RunView, Strategy } from "./types.ts"

/** Repeats a schedule. A choice that the program does not, or no longer, offer is the default. */
export const replay = (schedule: Schedule): Strategy => {
  let next = 0
  return {
    choose(at, _kind, count) {
      while (next < schedule.length && schedule[next]!.at < at) next++
      const choice = schedule[next]
      return choice?.at === at && choice.take < count ? choice.take : 0
    }
  }
}

interface Branch {
  readonly at: number
  readonly count: number
  /** The run's fingerprint at this point, the same whenever the choices before it are. */
  readonly print: number
  take: number
}

/**
 * Visits every sequence of choices once, the last choice first; of those, the
 * ones with at most `limit` choices that are not the default.
 */
export class DepthFirst implements Strategy {
  private readonly limit: number
  private readonly branches: Array<Branch> = []
  private depth = 0

  constructor(limit = Infinity) {
    this.limit = limit
  }

  choose(at: number, _kind: PointKind, count: number, run: RunView): number {
    if (run.taken.length >= this.limit) return 0
    const branch = this.branches[this.depth++]
    if (branch === undefined) {
      this.branches.push({ at, count, print: run.print, take: 0 })
      return 0
    }
    return branch.at === at && branch.count === count && branch.print === run.print ? branch.take : -1
  }

  repeated(): boolean {
    return this.depth >= this.branches.length
  }

  /** Moves on to the next sequence. False when there is none. */
  advance(): boolean {
    const branches = this.branches
    this.depth = 0
    for (let last = branches.at(-1); last !== undefined; last = branches.at(-1)) {
      last.take++
      if (last.take < last.count) return true
      branches.pop()
    }
    return false
  }
}

/**
 * Every choice by chance. A run sticks to the fiber that is running with a
 * probability of its own, because a switch at every second operation never lets
 * one fiber get far ahead of another.
 */
export const random = (seed: number): Strategy => {
  const next = generator(seed)
  const switching = 2 ** -(1 + Math.floor(next() * 5))
  return {
    choose(_at, kind, count) {
      if (kind === "next") return Math.floor(next() * count)
      return next() < switching ? 1 + Math.floor(next() * (count - 1)) : 0
    }
  }
}

/**
 * Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010): actors
 * have random priorities, the highest runs, and at `depth - 1` random points
 * the running one becomes the lowest. Finds a bug of that depth with a
 * probability of at least 1 / (actors · length^(depth - 1)).
 */
export const pct = (seed: number, depth: number, length: number): Strategy => {
  const next = generator(seed)
  const priorities: Array<number> = []
  let lowest = 0
  const priorityOf = (actor: number): number => {
    while (priorities.length <= actor) priorities.push(1 + next())
    return priorities[actor]!
  }
  const demote = (actor: number): void => {
    priorityOf(actor)
    priorities[actor] = --lowest
  }
  const changes = new Set(Array.from({ length: depth - 1 }, () => Math.floor(next() * Math.max(1, length))))
  return {
    choose(at, kind, _count, run) {
      const { ready, running, top } = run
      if (kind === "next" || running === undefined) return highest(ready.map((task) => task.actor), priorityOf)
      if (changes.has(at)) demote(running.actor)
      if (kind === "preempt") return highest([running.actor, ...ready.map((task) => task.actor)], priorityOf)
      const rivals = top === undefined || top === running ? ready : [top, ...ready]
      return rivals.some(({ actor }) => priorityOf(actor) > priorityOf(running.actor)) ? 1 : 0
    },
    // without it a fiber that polls with `yieldNow` would starve the one it waits for.
    yielded: demote
  }
}

/** The index of the actor of the highest priority. */
const highest = (actors: ReadonlyArray<number>, priorityOf: (actor: number) => number): number =>
  actors.reduce((best, actor, index) => priorityOf(actor) > priorityOf(actors[best]!) ? index : best, 0)
