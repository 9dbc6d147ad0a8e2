/**
 * Measures, prints ratios, and writes `RESULTS.md`.
 *
 *     pnpm bench                                all of them
 *     pnpm bench accept echo                    these
 *     pnpm bench --rounds 3 --seconds 2 accept
 *     pnpm bench --smoke                        each as small as can be, and nothing written
 *     pnpm bench --publish                      none: `RESULTS.md` of what has been measured
 *
 * Figures are on stdout, progress on stderr. What is run replaces what is in
 * `results/`; `RESULTS.md` is made anew of everything there.
 */
import { parseArgs } from "node:util"
import { close, growth, idle, stall } from "./connections.ts"
import { handover, workers } from "./continuity.ts"
import { datagram } from "./datagrams.ts"
import { http, http2, tls } from "./http.ts"
import { cores, latency, restart, start } from "./programs.ts"
import type { Benchmark } from "./support/benchmark.ts"
import { small, usual } from "./support/benchmark.ts"
import * as Results from "./support/results.ts"
import * as Tools from "./support/tools.ts"
import { accept, download, echo, upload } from "./tcp.ts"

const benchmarks: ReadonlyArray<Benchmark> = [
  accept,
  echo,
  http,
  tls,
  http2,
  upload,
  download,
  datagram,
  idle,
  close,
  stall,
  restart,
  handover,
  latency,
  start,
  cores,
  workers,
  growth
]

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string" },
    seconds: { type: "string" },
    smoke: { type: "boolean", default: false },
    publish: { type: "boolean", default: false }
  }
})
const base = values.smoke ? small : usual
const settings = {
  ...base,
  rounds: Number(values.rounds ?? base.rounds),
  seconds: Number(values.seconds ?? base.seconds)
}
const unknown = positionals.filter((name) => !benchmarks.some((benchmark) => benchmark.name === name))
if (unknown.length > 0 || !(settings.rounds >= 1) || !(settings.seconds > 0)) {
  const names = benchmarks.map(({ name }) => name)
  console.error(`usage: pnpm bench [--rounds n] [--seconds n] [--smoke | --publish] [${names.join("] [")}]`)
  process.exit(1)
}
for (const line of Tools.missing) console.error(line)

const run = async (benchmark: Benchmark): Promise<void> => {
  console.error(`${benchmark.name}: ${benchmark.title}`)
  const began = performance.now()
  const series = await benchmark.run(settings)
  console.error(`${benchmark.name} took ${((performance.now() - began) / 1000).toFixed(1)} s`)
  Results.print(benchmark, series)
  if (!values.smoke) Results.save(benchmark.name, series)
}

const chosen = values.publish
  ? []
  : benchmarks.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
if (values.smoke) {
  // its figures mean nothing: several at a time
  const left = chosen.values()
  await Promise.all(Array.from({ length: 3 }, async () => {
    for (const benchmark of left) await run(benchmark)
  }))
} else {
  for (const benchmark of chosen) await run(benchmark)
  Results.publish(benchmarks)
}
