/**
 * Figures of the documentation that a benchmark has found. A comment behind each
 * names where it is from:
 *
 *     22,760<!-- accept / throughput / ours -->          a median
 *     0.85<!-- accept / throughput / ours to bare -->    a ratio: more is better
 *     2.6<!-- workers / CPU of a connection / cluster, round robin times 1 process -->    how many times as much
 *     2026-11-30<!-- accept / date -->                   when it was measured
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Found from "../../benchmarks/support/found.ts"
import { summarize } from "../../benchmarks/support/statistics.ts"

const figure = /([\d.,-]*\d)<!-- ([^>]+?) -->/g

/** The guides, the decisions, and the pages of the repository's root. */
export const pages = (root: string): ReadonlyArray<string> =>
  Fs.globSync(["*.md", "docs/*.md", "docs/decisions/*.md"], { cwd: root }).map((file) => Path.join(root, file))

/** How many figures a text has that a benchmark has found. */
export const count = (text: string): number => Array.from(text.matchAll(figure)).length

/** A text with its figures as they were found last. Throws where a comment names what no benchmark has found. */
export const withFigures = (text: string): string =>
  text.replace(figure, (_, written: string, from: string) => `${valueOf(from, written)}<!-- ${from} -->`)

const valueOf = (from: string, written: string): string => {
  const [name = "", label, contender = ""] = from.split(" / ")
  const found = Found.load(name)
  if (found !== undefined && label === "date") return found.date.slice(0, "2026-11-30".length)
  const series = found?.series.find((one) => one.label === label)
  const [who = "", base] = contender.split(/ (?:to|times) /)
  const rounds = series?.rounds[who]
  if (series === undefined || rounds === undefined || (base !== undefined && series.rounds[base] === undefined)) {
    throw new Error(`"${from}" names nothing that a benchmark has found`)
  }
  if (base === undefined) return Found.number(summarize(rounds).median)
  const ratio = Found.ratioOf(series, who, base).median
  const upsideDown = contender.includes(" times ") && series.better === "less"
  // as many digits as the text has
  return (upsideDown ? 1 / ratio : ratio).toFixed(written.split(".")[1]?.length ?? 0)
}
