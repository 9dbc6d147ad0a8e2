/** Many of one kind at once: what each costs must not grow with their number. */
import { type Benchmark, type Contenders, measuredOf, series } from "./support/benchmark.ts"
import { clients } from "./support/held.ts"
import { pipelined } from "./support/load.ts"
import { type ServerOptions, start } from "./support/server.ts"
import { interleave } from "./support/statistics.ts"

const counts: ReadonlyArray<readonly [label: string, count: number]> = [["10,000", 10_000], ["40,000", 40_000]]

const pipeliners: Contenders = {
  bare: { program: "http/bare.ts", args: ["http"] },
  effect: { program: "http/effect.ts", args: ["http", "optimized"] },
  ours: { program: "http/ours.ts", args: ["http"] }
}

/** CPU time of a request, in a process that has seen none before but for a few. */
const requestsOnOne = async (options: ServerOptions, count: number): Promise<number> => {
  const server = await start(options)
  try {
    await pipelined(server, 1000)
    return (await pipelined(server, count)).cpu
  } finally {
    await server.kill()
  }
}

export const pipeline: Benchmark = {
  name: "pipeline",
  title: "Requests on one connection, sent without waiting",
  description: "One client that sends 10,000 and 40,000 GET requests as fast as the server reads them, and reads the "
    + "answers: CPU time of the server for each. Effect is its NodeHttpServer with the options of Node's that our server has.",
  targets: [
    { series: "CPU of a request, of 10,000", who: "ours", of: "ratio", atMost: 1.1 },
    { series: "CPU of a request, of 40,000", who: "ours", of: "ratio", atMost: 1.1 },
    { series: "CPU of a request, of 40,000", who: "ours", base: "effect", of: "ratio", atMost: 1 }
  ],
  costs: [
    [
      "the fiber of each request, its context and its answer, which Effect's own server pays, too",
      "with many answers to one write they are more than a third of what bare Node takes for a request: its own server "
      + "takes 1.4 to 1.6 of bare Node, and ours as much, so that 1.1 is out of reach for any handler in a fiber"
    ],
    ["knowing which answer is due, and holding back what is more than 64 at a time", "8 %: `http1`, `http1Hooks`"]
  ],
  run: async (settings) => {
    const contenders = measuredOf(pipeliners, "bare", settings)
    const all = []
    for (const [label, count] of counts) {
      const measured = await interleave(
        Object.keys(contenders),
        Math.min(3, settings.rounds),
        (who) => requestsOnOne(contenders[who]!, Math.max(1000, count / settings.scale))
      )
      all.push(series(
        measured,
        { label: `CPU of a request, of ${label}`, unit: "µs", better: "less", base: "bare" },
        (micros) => micros
      ))
    }
    return all
  }
}

const crowds: Record<string, number> = { "1,000": 1000, "8,000": 8000 }

const waiting = async (what: string, count: number): Promise<number> => {
  const server = await start({ program: "waiters.ts", args: [what, String(count)] })
  const held = what === "abort" ? await clients("hold.ts", [server.port, count, "tcp"]) : undefined
  try {
    return await server.ask("settling") / count
  } finally {
    await held?.end()
    await server.kill()
  }
}

export const waiters: Benchmark = {
  name: "waiters",
  title: "Many that wait for a listener",
  description: "1,000 and 8,000 fibers that wait for `closed`, from the first wait to the last end; and as many "
    + "connections with a handler each, which an abort cuts, to the end of the last handler. CPU time of each.",
  targets: [
    { series: "a fiber that waits for `closed`", who: "8,000", of: "ratio", atMost: 1.3 },
    { series: "a handler that is cut by an abort", who: "8,000", of: "ratio", atMost: 1.3 }
  ],
  run: async (settings) => {
    const measured = (what: string) =>
      interleave(
        settings.allContenders ? Object.keys(crowds) : ["8,000"],
        Math.min(3, settings.rounds),
        (who) => waiting(what, Math.ceil(crowds[who]! / settings.scale))
      )
    const each = (label: string) => ({ label, unit: "µs", better: "less", base: "1,000" }) as const
    return [
      series(await measured("closed"), each("a fiber that waits for `closed`"), (micros) => micros),
      series(await measured("abort"), each("a handler that is cut by an abort"), (micros) => micros)
    ]
  }
}
