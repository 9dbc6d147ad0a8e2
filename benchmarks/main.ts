/**
 * Measures, prints ratios, and writes `RESULTS.md`.
 *
 *     pnpm bench                                all of them
 *     pnpm bench accept echo                    these
 *     pnpm bench --rounds 3 --seconds 2 accept
 *     pnpm bench --smoke                        each as small as can be, and nothing written
 *     pnpm bench --publish                      none: `RESULTS.md` of what has been measured
 *     pnpm bench profile accept                 what takes the time: a CPU profile of each server, and the share of each file
 *
 * Figures are on stdout, progress on stderr. What is run replaces what is in
 * `results/`; `RESULTS.md` is made anew of everything there.
 */
import * as Path from "node:path"
import { parseArgs } from "node:util"
import { close, growth, idle, stall } from "./connections.ts"
import { handover, workers } from "./continuity.ts"
import { datagram } from "./datagrams.ts"
import { http, http2, tls } from "./http.ts"
import { pipeline, waiters } from "./many.ts"
import { cores, latency, restart, start } from "./programs.ts"
import type { Benchmark } from "./support/benchmark.ts"
import { forProfiles, small, usual } from "./support/benchmark.ts"
import * as Profile from "./support/profile.ts"
import * as Results from "./support/results.ts"
import * as Tools from "./support/tools.ts"
import { accept, download, echo, upload } from "./tcp.ts"
import { weight } from "./weight.ts"

const benchmarks: ReadonlyArray<Benchmark> = [
  accept,
  echo,
  http,
  tls,
  http2,
  pipeline,
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
  weight,
  cores,
  workers,
  growth,
  waiters
]

const { positionals: words, values } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string" },
    seconds: { type: "string" },
    smoke: { type: "boolean", default: false },
    publish: { type: "boolean", default: false }
  }
})
const base = values.smoke ? small : words[0] === "profile" ? forProfiles : usual
const settings = {
  ...base,
  rounds: Number(values.rounds ?? base.rounds),
  seconds: Number(values.seconds ?? base.seconds)
}
const [first, ...rest] = words
const profiles = first === "profile" ? Path.join(import.meta.dirname, "profiles", rest[0] ?? "") : undefined
const positionals = profiles === undefined ? words : rest
const unknown = positionals.filter((name) => !benchmarks.some((benchmark) => benchmark.name === name))
const oneToProfile = profiles === undefined || positionals.length === 1
if (unknown.length > 0 || !oneToProfile || !(settings.rounds >= 1) || !(settings.seconds > 0)) {
  const names = benchmarks.map(({ name }) => name)
  console.error(`usage: pnpm bench [profile] [--rounds n] [--seconds n] [--smoke | --publish] [${names.join("] [")}]`)
  process.exit(1)
}
for (const line of Tools.missing) console.error(line)

const run = async (benchmark: Benchmark): Promise<void> => {
  console.error(`${benchmark.name}: ${benchmark.title}`)
  const began = performance.now()
  const series = await benchmark.run(settings)
  console.error(`${benchmark.name} took ${((performance.now() - began) / 1000).toFixed(1)} s`)
  Results.print(benchmark, series)
  if (!values.smoke && profiles === undefined) Results.save(benchmark.name, series)
}

const chosen = values.publish
  ? []
  : benchmarks.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
for (const { prepare } of chosen) prepare?.()
if (profiles !== undefined) {
  Profile.leaveProfiles(profiles)
  for (const benchmark of chosen) await run(benchmark)
  Profile.printProfiles(profiles)
} else if (values.smoke) {
  // its figures mean nothing: several at a time
  const left = chosen.values()
  await Promise.all(Array.from({ length: 3 }, async () => {
    for (const benchmark of left) await run(benchmark)
  }))
} else {
  for (const benchmark of chosen) await run(benchmark)
  Results.publish(benchmarks)
}
