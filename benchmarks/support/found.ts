/**
 * What a benchmark has found, as its file in `results/` has it.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { Series } from "./benchmark.ts"
import { ratios, summarize, type Summary } from "./statistics.ts"

export interface Found {
  readonly name: string
  readonly date: string
  readonly node: string
  readonly cpus: string
  readonly pinned: boolean
  readonly load: string
  readonly series: ReadonlyArray<Series>
}

export const folder = Path.join(import.meta.dirname, "..", "results")

export const fileOf = (name: string): string => Path.join(folder, `${name}.json`)

/** What was found last: JSON has `null` for what could not be measured. */
export const load = (name: string): Found | undefined =>
  Fs.existsSync(fileOf(name))
    ? JSON.parse(Fs.readFileSync(fileOf(name), "utf8"), (_, value) => value === null ? NaN : value) as Found
    : undefined

/** The ratio of one contender to another, of pairs from the same round. */
export const ratioOf = (series: Series, who: string, base: string = series.base): Summary =>
  summarize(ratios(series.rounds[who] ?? [], series.rounds[base] ?? [], series.better))

/** As a table has it: three digits, or whole numbers from a thousand on. */
export const number = (value: number): string =>
  Number.isNaN(value) ? "–" : value >= 1000 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(3))
