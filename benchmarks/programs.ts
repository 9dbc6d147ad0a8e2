/** Whole programs: how they start, are restarted, answer under load, and share a port. */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Timers from "node:timers/promises"
import {
  type Benchmark,
  compare,
  type Contenders,
  loads,
  type Measured,
  measuredOf,
  series,
  type Settings
} from "./support/benchmark.ts"
import { clients } from "./support/held.ts"
import { atRate, requests } from "./support/load.ts"
import { type Server, type ServerOptions, start as startServer } from "./support/server.ts"
import { interleave } from "./support/statistics.ts"
import * as Tools from "./support/tools.ts"

const http: Contenders = {
  effect: { program: "http/effect.ts", args: ["http"] },
  bare: { program: "http/bare.ts", args: ["http"] },
  ours: { program: "http/ours.ts", args: ["http"] }
}

const restarted: Contenders = {
  bare: http["bare"]!,
  effect: http["effect"]!,
  ours: http["ours"]!,
  "ours, no linger": { program: "http/ours.ts", args: ["http", "noLinger"] },
  terminator: { program: "http/terminator.ts" },
  stoppable: { program: "http/stoppable.ts" },
  ...Tools.go === undefined ? {} : { go: { program: "go" } }
}

/** How many requests are lost for each of some restarts on the same port. */
const lostByRestarts = async (options: ServerOptions, times: number): Promise<number> => {
  let server = await startServer(options)
  const load = await clients("restarts.ts", [server.port, 32])
  try {
    for (let i = 0; i < times; i++) {
      await Timers.setTimeout(200)
      await server.end(10_000)
      server = await startServer({ ...options, port: server.port })
    }
    await Timers.setTimeout(100)
    const { answered, lost } = await load.tell<{ readonly answered: number; readonly lost: number }>("stop")
    if (answered === 0) throw new Error("no request was answered")
    return lost / times
  } finally {
    await load.end()
    await server.kill()
  }
}

export const restart: Benchmark = {
  name: "restart",
  title: "Requests lost by a restart",
  description: "32 clients that ask again as soon as they are answered, while the server is told to end by SIGTERM "
    + "and the next one is started on its port. Lost is a request without a whole answer on a connection that was "
    + "accepted; a connection that is refused is tried again.",
  targets: [
    { series: "lost", who: "ours", of: "value", atMost: 0 },
    { series: "lost", who: "ours, no linger", of: "value", atMost: 0 }
  ],
  run: async (settings) => {
    const rounds = Math.min(2, settings.rounds)
    const contenders = measuredOf(restarted, "bare", settings)
    const measured = await interleave(
      Object.keys(contenders),
      rounds,
      (who) => lostByRestarts(contenders[who]!, rounds)
    )
    return [series(measured, { label: "lost", unit: "requests a restart", better: "less", base: "bare" }, (n) => n)]
  }
}

/** A tail is made by what happens now and then: a p99 of one second is by a factor of four what another is. */
const longer = ({ seconds, ...settings }: Settings): Settings => ({
  ...settings,
  seconds: Math.max(seconds * 2, 0.2)
})

export const latency: Benchmark = {
  name: "latency",
  title: "Latency at half of saturation",
  description: "GET on 64 connections at half the rate that Effect's NodeHttpServer answers at most, sent whatever "
    + "the answers take (a client on node:net, whose own clock ticks every millisecond). Each round takes twice "
    + "as long as elsewhere.",
  targets: [{ series: "p99", who: "ours", of: "ratio", atMost: 1.05 }],
  run: async (settings) => {
    const contenders = measuredOf(http, "effect", settings)
    const rate = Math.round(await saturation(contenders["effect"]!, Math.max(settings.seconds, 0.2)) / 2)
    console.error(`  at ${rate} requests a second`)
    const measured = await compare(
      contenders,
      longer(settings),
      (server, seconds) => atRate(server, { rate, seconds })
    )
    const millis = (label: string) => ({ label, unit: "ms", better: "less", base: "effect" }) as const
    return [
      series(measured, millis("p99"), ({ p99 }) => p99),
      series(measured, millis("p50"), ({ p50 }) => p50)
    ]
  }
}

/** How many requests a second a server answers at most. */
const saturation = async (options: ServerOptions, seconds: number): Promise<number> => {
  const server = await startServer(options)
  try {
    return (await requests(server, { close: false, seconds })).perSecond
  } finally {
    await server.kill()
  }
}

export const start: Benchmark = {
  name: "start",
  title: "From the start of the process to listening",
  description:
    "Each program loads what it needs and nothing else: ours the packages as they are published, which have a file for "
    + "each public module and for what several of them share. All of them with Node's compile cache, which is warm: "
    + "without it, the programs are measured by how long Node takes to strip their types.",
  targets: [{ series: "start", who: "ours", of: "ratio", atMost: 1.05 }],
  costs: [
    [
      "31 modules more than the 302 of Effect's program",
      "25 to 30 ms: a module takes 1.2 ms to be found, read and linked. 18 of them are ours, 13 those of Effect and of Node that only ours needs"
    ],
    [
      "what runs until it listens",
      "30 ms, and 15 in Effect's: each function runs for the first time. The metrics of a listener take 1.6, the line that it is open 3.6"
    ]
  ],
  run: async (settings) => {
    ChildProcess.execFileSync(process.execPath, [Path.join(import.meta.dirname, "../scripts/bundle.ts")])
    const compileCache = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-listener-start-"))
    try {
      const contenders = measuredOf(http, "effect", settings)
      const started = (who: string) => startServer({ ...contenders[who]!, compileCache, published: true })
      // a process writes the cache when it ends
      for (const who of Object.keys(contenders)) await (await started(who)).end()
      const measured = await interleave(Object.keys(contenders), settings.rounds, async (who) => {
        const server = await started(who)
        await server.kill()
        return server.startedIn
      })
      return [series(measured, { label: "start", unit: "ms", better: "less", base: "effect" }, (millis) => millis)]
    } finally {
      Fs.rmSync(compileCache, { recursive: true, force: true })
    }
  }
}

export const cores: Benchmark = {
  name: "cores",
  title: "Processes on one port",
  description: "GET on 64 connections that stay, against one and two processes that share a port (`reusePort`), "
    + "wherever the system runs them. On two processors the client takes the time of one, and that is the limit: "
    + "what a second process adds shows on a machine with more.",
  targets: [],
  run: async (settings) => {
    const running: Array<Server> = []
    const sharing = async (port?: number) => {
      const server = await startServer({ program: "http/ours.ts", args: ["http", "reusePort"], anywhere: true, port })
      running.push(server)
      return server
    }
    try {
      const measured: Measured = await compare(
        { "1 process": { program: "http/ours.ts", args: ["http", "reusePort"], anywhere: true } },
        settings,
        (server, seconds) => requests(server, { close: false, seconds })
      )
      const first = await sharing()
      await sharing(first.port)
      const both = { port: first.port, ask: async (question: "cpu" | "user") => await asked(running, question) }
      const two = []
      for (let i = 0; i < settings.rounds; i++) {
        two.push(await requests(both, { close: false, seconds: settings.seconds }))
      }
      measured.set("2 processes", two)
      return loads(measured, "requests", "1 process")
    } finally {
      await Promise.all(running.map((server) => server.kill()))
    }
  }
}

const asked = async (servers: ReadonlyArray<Server>, question: "cpu" | "user"): Promise<number> => {
  let sum = 0
  for (const server of servers) sum += await server.ask(question)
  return sum
}
