/**
 * Makes a schedule short: fewer choices, then smaller ones.
 */
import type { Choice, Schedule } from "./schedule.ts"

/**
 * A part of the schedule that still `reproduces`: leaves out ever smaller groups
 * of choices (delta debugging) until no single one can be left out, then lowers
 * what is left. `reproduces` may refuse because time is over: what was found until
 * then is the answer.
 */
export const shrink = (schedule: Schedule, reproduces: (candidate: Schedule) => boolean): Schedule => {
  let best = schedule
  const attempt = (candidate: Schedule): boolean => {
    if (!reproduces(candidate)) return false
    best = candidate
    return true
  }
  if (best.length > 0 && attempt([])) return best
  for (let improved = true; improved;) {
    improved = false
    for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      // from the end: the choices before a removed one keep their points.
      for (let end = best.length; end > 0; end -= size) {
        const start = Math.max(0, end - size)
        improved = attempt([...best.slice(0, start), ...best.slice(end)]) || improved
      }
    }
    for (let index = best.length - 1; index >= 0; index--) {
      for (let take = 1; take < best[index]!.take; take++) {
        if (attempt(withChoice(best, index, { at: best[index]!.at, take }))) {
          improved = true
          break
        }
      }
    }
  }
  return best
}

const withChoice = (schedule: Schedule, index: number, choice: Choice): Schedule =>
  schedule.map((current, position) => position === index ? choice : current)
