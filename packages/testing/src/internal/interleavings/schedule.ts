/**
 * A schedule: the choices that differ from the default, each by the number of
 * the point where it was made. It names nothing of a strategy or its bound, so
 * it replays under any of them.
 *
 * As text: `17,21:2` is alternative 1 at point 17 and alternative 2 at point
 * 21, and the default everywhere else.
 */
export interface Choice {
  /** The point, counted from 0 over the whole run. */
  readonly at: number
  /** The alternative taken there, from 1; 0 is the default and never written. */
  readonly take: number
}

export type Schedule = ReadonlyArray<Choice>

const defaultSchedule = "default"

export const format = (schedule: Schedule): string =>
  schedule.length === 0
    ? defaultSchedule
    : schedule.map(({ at, take }) => take === 1 ? `${at}` : `${at}:${take}`).join(",")

export const parse = (text: string): Schedule => {
  if (text.trim() === defaultSchedule) return []
  let previous = -1
  return text.trim().split(",").map((part) => {
    const match = /^(\d+)(?::(\d+))?$/.exec(part.trim())
    const at = Number(match?.[1] ?? NaN)
    const take = Number(match?.[2] ?? 1)
    if (!(at > previous) || !(take >= 1)) {
      throw new Error(`Interleavings: not a schedule: "${text}" (expected points in ascending order, as in "17,21:2")`)
    }
    previous = at
    return { at, take }
  })
}
