/** Rounds of measurements: medians, spread, and ratios of pairs. */

/** The value below which this part of the values lies, between two of them where need be. */
const quantile = (values: ReadonlyArray<number>, part: number): number => {
  if (values.length === 0) return Number.NaN
  const sorted = values.toSorted((a, b) => a - b)
  const at = (sorted.length - 1) * part
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!]
  return low + (high - low) * (at - Math.floor(at))
}

/** Median, and between which values the middle half lies. */
export interface Summary {
  readonly median: number
  readonly low: number
  readonly high: number
}

export const summarize = (values: ReadonlyArray<number>): Summary => ({
  median: quantile(values, 0.5),
  low: quantile(values, 0.25),
  high: quantile(values, 0.75)
})

/**
 * Measures all contenders in every round, and in every other round in the
 * opposite order: two that are compared were measured in the same minute, and
 * neither always before the other.
 */
export const interleave = async <A>(
  who: ReadonlyArray<string>,
  rounds: number,
  measure: (who: string) => Promise<A>,
  { after = 0, of = rounds }: { readonly after?: number; readonly of?: number } = {}
): Promise<Map<string, Array<A>>> => {
  const measured = new Map<string, Array<A>>(who.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    console.error(`  round ${after + round + 1} of ${of}`)
    for (const name of round % 2 === 0 ? who : who.toReversed()) measured.get(name)!.push(await measure(name))
  }
  return measured
}

/** Ratios of pairs measured in the same round, such that more is better. */
export const ratios = (
  values: ReadonlyArray<number>,
  base: ReadonlyArray<number>,
  better: "more" | "less"
): Array<number> =>
  values.map((value, round) => {
    const other = base[round] ?? Number.NaN
    return better === "more" ? value / other : other / value
  })
