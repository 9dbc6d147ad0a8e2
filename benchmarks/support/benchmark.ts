/** What a benchmark is, and what it finds. */
import type { Load } from "./load.ts"
import { type Server, type ServerOptions, start } from "./server.ts"
import { interleave } from "./statistics.ts"

export interface Settings {
  readonly rounds: number
  /** How long one measurement of load takes. */
  readonly seconds: number
  /** What a number of connections or bytes is divided by. */
  readonly scale: number
  /** Whether all contenders are measured, or only ours and the base of its ratios. */
  readonly allContenders: boolean
}

/** All benchmarks take less than a quarter of an hour with it. */
export const usual: Settings = { rounds: 3, seconds: 1, scale: 1, allContenders: true }

/** To see that everything runs: the figures mean nothing. */
export const small: Settings = { rounds: 1, seconds: 0.2, scale: 100, allContenders: false }

/** To see where the time goes: a few rounds of ours and of the base of its ratios. */
export const forProfiles: Settings = { rounds: 2, seconds: 2, scale: 1, allContenders: false }

/** One measured quantity of each contender. */
export interface Series {
  readonly label: string
  readonly unit: string
  /** Which is better. Ratios are made so that more is better. */
  readonly better: "more" | "less"
  /** The contender that ratios are to. */
  readonly base: string
  readonly rounds: { readonly [who: string]: ReadonlyArray<number> }
}

export interface Target {
  /** Which of the series, by its label. */
  readonly series: string
  readonly who: string
  /** The base of the ratio, where it is not the series' own; `the best other` is the best of the other contenders. */
  readonly base?: string | undefined
  readonly of: "ratio" | "value"
  readonly atLeast?: number | undefined
  /** Of ratios: how many times as much as the base. */
  readonly atMost?: number | undefined
}

export interface Benchmark {
  readonly name: string
  readonly title: string
  /** How it is measured, in a sentence or two. */
  readonly description: string
  readonly targets: ReadonlyArray<Target>
  /** What keeps a target from being reached, and where, as profiled. */
  readonly costs?: ReadonlyArray<readonly [what: string, where: string]> | undefined
  /** Before any benchmark runs: makes what others may load meanwhile. */
  readonly prepare?: (() => void) | undefined
  readonly run: (settings: Settings) => Promise<ReadonlyArray<Series>>
}

export type Contenders = { readonly [who: string]: ServerOptions }

/** Which of these contenders are measured. */
export const measuredOf = (contenders: Contenders, base: string, { allContenders }: Settings): Contenders =>
  allContenders ? contenders : Object.fromEntries(
    Object.entries(contenders).filter(([who]) => who === base || who === "ours")
  )

/** How many rounds a process serves, where nothing else is said: the same code runs by a tenth faster in one than in another. */
const someRounds = 2

/** How many loads compile what is hot before the first round: one left half of it to the first round. */
const warmUps = 2

/** How many rounds a process serves, and after how many loads. */
interface Warmth {
  readonly roundsOfProcess?: number | undefined
  readonly warmUp?: number | undefined
}

/** Measures in interleaved rounds a server each, warmed up, and new ones every `roundsOfProcess`. */
export const compare = async <A>(
  servers: Contenders,
  { rounds, seconds }: Settings,
  measure: (server: Server, seconds: number) => Promise<A>,
  { roundsOfProcess = someRounds, warmUp = warmUps }: Warmth = {}
): Promise<Map<string, Array<A>>> => {
  const names = Object.keys(servers)
  const measured = new Map<string, Array<A>>(names.map((who) => [who, []]))
  for (let after = 0; after < rounds; after += roundsOfProcess) {
    const running = new Map<string, Server>()
    try {
      // all at once, but in the order they are given
      const starting = names.map((who) => [who, start(servers[who]!)] as const)
      for (const [who, server] of starting) running.set(who, await server)
      for (const server of running.values()) {
        for (let i = 0; i < warmUp; i++) await measure(server, Math.min(2, seconds))
      }
      const some = await interleave(
        names,
        Math.min(roundsOfProcess, rounds - after),
        (who) => measure(running.get(who)!, seconds),
        { after, of: rounds }
      )
      for (const [who, values] of some) measured.get(who)!.push(...values)
    } finally {
      await Promise.all(Array.from(running.values(), (server) => server.kill()))
    }
  }
  return measured
}

export type Measured = Map<string, Array<Load>>

/** What is told of load: how much went through, and what it took of the server. */
export const loads = (
  measured: ReadonlyMap<string, ReadonlyArray<Load>>,
  unit: string,
  base: string
): ReadonlyArray<Series> => [
  series(measured, { label: "throughput", unit: `${unit}/s`, better: "more", base }, (load) => load.perSecond),
  series(measured, { label: "CPU", unit: `µs of ${unit}`, better: "less", base }, (load) => load.cpu),
  series(measured, { label: "CPU in the program", unit: `µs of ${unit}`, better: "less", base }, (load) => load.user)
]

/** One quantity out of what was measured. */
export const series = <A>(
  measured: ReadonlyMap<string, ReadonlyArray<A>>,
  options: Omit<Series, "rounds">,
  value: (measured: A) => number
): Series => ({
  ...options,
  rounds: Object.fromEntries(Array.from(measured, ([who, rounds]) => [who, rounds.map(value)]))
})
