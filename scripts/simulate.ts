/**
 * Shows what options are for that only many machines need: `storm`, a rolling
 * restart of 50 instances with 20,000 connections each, in virtual time. Prints a
 * table and draws the charts of docs/scale.md.
 *
 *     pnpm simulate storm
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { lineChart } from "../benchmarks/support/chart.ts"
import { type Storm, storm, type StormResult, wholeStorm } from "./simulate/storm.ts"

if (process.argv[2] !== "storm") {
  console.error("usage: pnpm simulate storm")
  process.exit(64)
}

const spread = 10_000
const age = { max: 600_000, jitter: 60_000 }

const options: ReadonlyArray<
  readonly [name: string, options: Pick<Storm, "spread" | "age"> & Partial<Pick<Storm, "deadline">>]
> = [
  ["neither", { spread: 0, age: undefined }],
  ["spread of 10 s", { spread, age: undefined }],
  ["age of 10 min ± 10 %", { spread: 0, age }],
  ["both", { spread, age }],
  // what the handshakes of one instance can bear
  ["spread of 40 s, age of 1 h", { spread: 40_000, deadline: 60_000, age: { max: 3_600_000, jitter: 360_000 } }]
]

const whole = (value: number): string => Math.round(value).toLocaleString("en")
const seconds = (millis: number | undefined): string => millis === undefined ? "never" : `${whole(millis / 1000)} s`

const row = (balancer: string, name: string, result: StormResult): string =>
  `| ${
    [
      balancer,
      name,
      whole(result.peak),
      `${(result.longest / 1000).toFixed(1)} s`,
      whole(result.lost),
      seconds(result.restart),
      `${whole(result.connections.least)} – ${whole(result.connections.most)}`,
      seconds(result.balanced)
    ].join(" | ")
  } |`

console.log(
  "| balancer | options | peak of reconnects a second, one instance | longest without a connection | requests lost | " +
    "restart of all | connections of an instance at the end | balanced after |"
)
console.log("|---|---|---:|---:|---:|---:|---:|---:|")
const shown: Array<readonly [name: string, result: StormResult]> = []
for (const balancer of ["random", "fewest"] as const) {
  for (const [name, chosen] of options) {
    const result = storm({ ...wholeStorm, ...chosen, balancer })
    if (balancer === "random" && shown.length < 4) shown.push([name, result])
    console.log(row(balancer, name, result))
  }
}

/** The most of each ten seconds: what a peak is, an average would hide. */
const step = 10
const minutes = 20
const peaks = (values: ReadonlyArray<number>): ReadonlyArray<readonly [x: number, y: number]> =>
  Array.from(
    { length: Math.min(minutes * 60, values.length) / step },
    (_, index) => [index * step / 60, Math.max(...values.slice(index * step, (index + 1) * step))] as const
  )

const images = Path.resolve(import.meta.dirname, "../docs/images")
Fs.writeFileSync(
  Path.join(images, "storm-reconnects.svg"),
  lineChart(
    "Reconnects a second to the busiest of 50 instances, by minutes of a rolling restart",
    shown.map(([who, result]) => ({ who, points: peaks(result.seconds.map(({ arrivals }) => arrivals)) }))
  )
)
Fs.writeFileSync(
  Path.join(images, "storm-balance.svg"),
  lineChart(
    "Connections of the fullest of 50 instances, by minutes of a rolling restart",
    shown.map(([who, result]) => ({ who, points: peaks(result.seconds.map(({ fullest }) => fullest)) }))
  )
)
