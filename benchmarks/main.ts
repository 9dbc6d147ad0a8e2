/**
 * Measures, prints ratios, and writes `RESULTS.md`.
 *
 *     pnpm bench                     all of them
 *     pnpm bench accept echo         these
 *     pnpm bench --rounds 3 --seconds 2 accept
 */
import { parseArgs } from "node:util"
import type { Benchmark } from "./support/benchmark.ts"
import * as Results from "./support/results.ts"
import * as Tools from "./support/tools.ts"
import { accept, echo } from "./tcp.ts"

const benchmarks: ReadonlyArray<Benchmark> = [accept, echo]

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "5" }, seconds: { type: "string", default: "3" } }
})
const settings = { rounds: Number(values.rounds), seconds: Number(values.seconds) }
const unknown = positionals.filter((name) => !benchmarks.some((benchmark) => benchmark.name === name))
if (unknown.length > 0 || !(settings.rounds >= 1) || !(settings.seconds >= 1)) {
  console.error(`usage: pnpm bench [--rounds n] [--seconds n] [${benchmarks.map(({ name }) => name).join("] [")}]`)
  process.exit(1)
}
if (Tools.wrk === undefined) console.log("not run: wrk; a client on node:net makes the load, and is the bottleneck")

for (const benchmark of benchmarks) {
  if (positionals.length > 0 && !positionals.includes(benchmark.name)) continue
  console.log(`${benchmark.name}: ${benchmark.title}`)
  const series = await benchmark.run(settings)
  Results.print(benchmark, series)
  Results.save(benchmark.name, series, Tools.pinned)
}
Results.publish(benchmarks)
