/**
 * What was found: one JSON file a benchmark, with every round, and from all of
 * them `RESULTS.md` and its charts.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Benchmark, Series, Target } from "./benchmark.ts"
import { barChart } from "./chart.ts"
import * as Found from "./found.ts"
import { summarize } from "./statistics.ts"
import * as Tools from "./tools.ts"

const root = Path.join(import.meta.dirname, "..")

export const save = (name: string, series: ReadonlyArray<Series>): void => {
  Fs.mkdirSync(Found.folder, { recursive: true })
  const result: Found.Found = {
    name,
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    node: process.version,
    cpus: `${Os.availableParallelism()} × ${Os.cpus()[0]?.model.trim() ?? "unknown"}`,
    pinned: Tools.pinned,
    load: Os.loadavg().map((load) => load.toFixed(1)).join(" "),
    series
  }
  Fs.writeFileSync(Found.fileOf(name), `${JSON.stringify(result, undefined, 1)}\n`)
}

/** Where the base is zero there is none. */
const ratioText = (ratio: number): string => Number.isFinite(ratio) ? ratio.toFixed(2) : "–"

/** Which of the others had the best median. */
const bestOther = ({ better, rounds }: Series, who: string): string | undefined => {
  const median = (one: string) => summarize(rounds[one] ?? []).median
  const others = Object.keys(rounds).filter((one) => one !== who).sort((a, b) => median(a) - median(b))
  return better === "less" ? others[0] : others.at(-1)
}

const targetLine = (target: Target, all: ReadonlyArray<Series>): string => {
  const series = all.find((series) => series.label === target.series)
  if (series?.rounds[target.who] === undefined) return `- not measured: ${target.series}, ${target.who}`
  const base = (target.base === "the best other" ? bestOther(series, target.who) : target.base) ?? series.base
  const ratio = Found.ratioOf(series, target.who, base).median
  const value = target.of === "value"
    ? summarize(series.rounds[target.who]!).median
    // ratios are made so that more is better
    : target.atMost !== undefined && series.better === "less"
    ? 1 / ratio
    : ratio
  const met = value >= (target.atLeast ?? -Infinity) && value <= (target.atMost ?? Infinity)
  const bound = target.atLeast === undefined ? `≤ ${target.atMost}` : `≥ ${target.atLeast}`
  const what = target.of === "ratio" ? `${target.series}, ${target.who} to ${base}` : `${target.series}, ${target.who}`
  return `- ${met ? "reached" : "**missed**"}: ${what}: ${value.toFixed(2)} (must be ${bound})`
}

const table = (series: Series): string => {
  const rows = Object.entries(series.rounds).map(([who, rounds]) => {
    const { high, low, median } = summarize(rounds)
    const ratio = Found.ratioOf(series, who)
    const raw = rounds.map(Found.number).join(" ")
    return `| ${who} | ${Found.number(median)} | ${Found.number(low)} – ${Found.number(high)} | ${
      ratioText(ratio.median)
    } `
      + `(${ratioText(ratio.low)} – ${ratioText(ratio.high)}) | ${raw} |`
  })
  return [
    `| ${series.label}, ${series.unit} | median | middle half | ratio to ${series.base} | rounds |`,
    "|---|---|---|---|---|",
    ...rows
  ].join("\n")
}

/** What one benchmark found, for the terminal. */
export const print = (benchmark: Benchmark, series: ReadonlyArray<Series>): void => {
  console.log(`${benchmark.name}: ${benchmark.title}`)
  for (const one of series) {
    console.log(`  ${one.label} (${one.unit}), ratio to ${one.base}`)
    for (const [who, rounds] of Object.entries(one.rounds)) {
      const { high, low, median } = summarize(rounds)
      const spread = `${Found.number(low)} – ${Found.number(high)}`
      const ratio = ratioText(Found.ratioOf(one, who).median)
      console.log(`    ${who.padEnd(20)} ${Found.number(median).padStart(9)}  ${spread.padStart(19)}   ${ratio}`)
    }
  }
  for (const target of benchmark.targets) console.log(`  ${targetLine(target, series).replaceAll("*", "")}`)
}

/** Writes `RESULTS.md` and the charts from everything that has been measured. */
export const publish = (benchmarks: ReadonlyArray<Benchmark>): void => {
  const sections = benchmarks.map((benchmark) => {
    const heading = `## ${benchmark.name}: ${benchmark.title}\n\n${benchmark.description}`
    const result = Found.load(benchmark.name)
    return result === undefined ? `${heading}\n\nNot run yet.` : `${heading}\n\n${section(benchmark, result)}`
  })
  Fs.writeFileSync(Path.join(root, "RESULTS.md"), `${["# Results", introduction(), ...sections].join("\n\n")}\n`)
}

const versionOf = (name: string): string => {
  const file = Path.join(root, "node_modules", name, "package.json")
  // an npm package's own file has its version
  return `${name} ${(JSON.parse(Fs.readFileSync(file, "utf8")) as { readonly version: string }).version}`
}

const introduction = (): string =>
  `Written by \`pnpm bench\`: run it for figures of your machine. Every figure is one of a pair: the
same client, the same machine, rounds interleaved; under load new processes every few rounds, because the same code runs
by a tenth faster in one than in another. Ratios are medians of the ratios of pairs from the same round, made
so that more is better. The spread is what the middle half of the rounds lies in; the raw rounds are in the last column.
Throughput depends on who else has the machine, and the load averages say how busy it was; CPU time of the server for one
operation depends on it less. How long each benchmark takes is little: its figures are for comparing, not for planning.

With ${["effect", "@effect/platform-node", "http-terminator", "stoppable"].map(versionOf).join(", ")}; load by ${
    Tools.wrk === undefined ? "clients on node:net" : "wrk, and clients on Node where it does not do"
  }; ${Tools.go === undefined ? "Go was not installed" : Tools.goVersion()}.`

/** A server and its client make a load of two. */
const busy = (load: string): boolean => Number(load.split(" ")[0]) > 3

const section = (benchmark: Benchmark, { cpus, date, load, node, pinned, series }: Found.Found): string => {
  const first = series[0]!
  const chart = `results/${benchmark.name}.svg`
  const bars = Object.entries(first.rounds).map(([who, rounds]) => ({ who, ...summarize(rounds) }))
  Fs.writeFileSync(Path.join(root, chart), barChart(`${benchmark.name}: ${first.label} (${first.unit})`, bars))
  const costs = (benchmark.costs ?? []).map(([what, where]) => `| ${what} | ${where} |`)
  return [
    benchmark.targets.map((target) => targetLine(target, series)).join("\n"),
    `![${benchmark.title}](${chart})`,
    ...series.map(table),
    costs.length === 0 ? "" : ["| what it costs | where |", "|---|---|", ...costs].join("\n"),
    `Measured ${date} UTC, Node ${node}, ${cpus}, load ${load}, ${
      pinned ? "servers and clients pinned to processors of their own" : "not pinned"
    }.${busy(load) ? " **Others used the machine meanwhile: these figures are rough.**" : ""}`
  ].filter((part) => part !== "").join("\n\n")
}
