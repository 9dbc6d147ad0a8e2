/** A service of several processes: what clients notice of its replacement, and what the sharing of a port costs. */
import * as Timers from "node:timers/promises"
import { type Benchmark, compare, type Contenders, type Measured, measuredOf, series } from "./support/benchmark.ts"
import { clients } from "./support/held.ts"
import { type Load, requests } from "./support/load.ts"
import { type ServerOptions, start } from "./support/server.ts"
import { interleave } from "./support/statistics.ts"
import * as Tools from "./support/tools.ts"

const fleet = (kind: string, count: number): ServerOptions => ({
  program: "replaced.ts",
  args: [kind, String(count)],
  anywhere: true
})

const replaced: Contenders = {
  "cluster, round robin": fleet("rr", 2),
  "cluster, none": fleet("none", 2),
  "reuse port": fleet("reusePort", 2),
  ours: fleet("workers", 2),
  ...Tools.nginx === undefined ? {} : { nginx: fleet("nginx", 2) },
  ...Tools.haproxy === undefined ? {} : { haproxy: fleet("haproxy", 2) }
}

interface Seen {
  readonly answered: number
  readonly refused: number
  readonly reset: number
  readonly lost: number
  readonly longest: number
}

/** What clients see of some replacements: counts for each of them, and the longest wait. */
const replacing = async (options: ServerOptions, times: number): Promise<Seen> => {
  const server = await start(options)
  const load = await clients("replacements.ts", [server.port, 16])
  try {
    for (let i = 0; i < times; i++) {
      await Timers.setTimeout(200)
      await server.ask("replaced")
    }
    await Timers.setTimeout(200)
    const seen = await load.tell<Seen>("stop")
    if (seen.answered === 0) throw new Error("no request was answered")
    return { ...seen, refused: seen.refused / times, reset: seen.reset / times, lost: seen.lost / times }
  } finally {
    await load.end()
    // it ends the others of its fleet
    await server.end(5000)
  }
}

export const handover: Benchmark = {
  name: "handover",
  title: "What clients notice of a replacement",
  description: "16 clients that ask again 5 ms after an answer, half of them on a new connection each time, "
    + "while two processes are replaced one after the other: workers of ours, and our listener in workers of "
    + "`node:cluster` with either policy and in processes with `reusePort`. nginx and HAProxy reload in front of two "
    + "processes that stay. Refused, reset and lost (without a whole answer) for each replacement of all; the longest "
    + "wait from a request to its answer, all attempts included.",
  targets: [
    { series: "refused", who: "ours", of: "value", atMost: 0 },
    { series: "reset", who: "ours", of: "value", atMost: 0 },
    { series: "lost", who: "ours", of: "value", atMost: 0 }
  ],
  run: async (settings) => {
    const rounds = Math.min(2, settings.rounds)
    const base = "cluster, round robin"
    const contenders = measuredOf(replaced, base, settings)
    const measured = await interleave(Object.keys(contenders), rounds, (who) => replacing(contenders[who]!, rounds))
    const counts = (label: string) => ({ label, unit: "a replacement", better: "less", base }) as const
    return [
      series(measured, counts("refused"), ({ refused }) => refused),
      series(measured, counts("reset"), ({ reset }) => reset),
      series(measured, counts("lost"), ({ lost }) => lost),
      series(measured, { label: "longest wait", unit: "ms", better: "less", base }, ({ longest }) => longest)
    ]
  }
}

const sharing: Contenders = {
  "1 process": { program: "http/ours.ts", args: ["http"], anywhere: true },
  "1 worker": fleet("workers", 1),
  ours: fleet("workers", 2),
  "4 workers": fleet("workers", 4),
  "cluster, round robin": fleet("rr", 2),
  "cluster, none": fleet("none", 2)
}

export const workers: Benchmark = {
  name: "workers",
  title: "What sharing a port costs",
  description:
    "Processor time of all processes that serve and supervise, for a request on 64 connections that stay and for a "
    + "request on a connection of its own: two workers of ours, one and four, one process alone, and two workers of "
    + "`node:cluster` with either policy, with our listener in each. Where processes and clients share two processors, "
    + "throughput says nothing, and the time does.",
  targets: [
    { series: "CPU of a connection", who: "ours", base: "1 process", of: "ratio", atMost: 1.2 },
    { series: "CPU of a request", who: "ours", base: "1 process", of: "ratio", atMost: 1.2 }
  ],
  run: async (settings) => {
    const base = "1 process"
    const contenders = measuredOf(sharing, base, settings)
    const loaded = (close: boolean): Promise<Measured> =>
      compare(
        contenders,
        { ...settings, rounds: Math.min(2, settings.rounds) },
        (server, seconds): Promise<Load> => requests(server, { close, seconds }),
        { warmUp: 1 }
      )
    const micros = (label: string) => ({ label, unit: "µs", better: "less", base }) as const
    return [
      series(await loaded(true), micros("CPU of a connection"), ({ cpu }) => cpu),
      series(await loaded(false), micros("CPU of a request"), ({ cpu }) => cpu)
    ]
  }
}
