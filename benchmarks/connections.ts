/** Many connections at once: what one costs that does nothing, and what it costs to end them. */
import * as Timers from "node:timers/promises"
import { type Benchmark, type Contenders, measuredOf, series, type Settings } from "./support/benchmark.ts"
import { clients } from "./support/held.ts"
import { requests } from "./support/load.ts"
import { type End, type Server, type ServerOptions, start } from "./support/server.ts"
import { interleave } from "./support/statistics.ts"
import * as Tools from "./support/tools.ts"

const go: Contenders = Tools.go === undefined ? {} : { go: { program: "go" } }

const http: Contenders = {
  bare: { program: "http/bare.ts", args: ["http"] },
  effect: { program: "http/effect.ts", args: ["http"] },
  ours: { program: "http/ours.ts", args: ["http"] }
}

const closers: Contenders = {
  ...http,
  terminator: { program: "http/terminator.ts" },
  stoppable: { program: "http/stoppable.ts" },
  patient: { program: "http/patient.ts" },
  "ours, no linger": { program: "http/ours.ts", args: ["http", "noLinger"] },
  ...go
}

/** With `count` connections open. */
const holding = async <A>(
  options: ServerOptions,
  count: number,
  what: "http" | "tcp",
  work: (server: Server) => Promise<A>
): Promise<A> => {
  const server = await start(options)
  const held = await clients("hold.ts", [server.port, count, what])
  try {
    return await work(server)
  } finally {
    await held.end()
    await server.kill()
  }
}

/** How many are open where something may grow with them. */
const countsOf = ({ allContenders }: Settings): Record<string, number> =>
  allContenders ? { "1,000": 1000, "4,000": 4000, "16,000": 16_000 } : { "1,000": 1000 }

const rounds = ({ rounds }: Settings, most: number): number => Math.min(most, rounds)

// --- idle --------------------------------------------------------------------------------------------------------

/** What `count` more connections add to the memory of a server that has some. */
const added = (options: ServerOptions, count: number, what: "http" | "tcp"): Promise<number> =>
  // what the first ones need besides, like compiled code, is not theirs
  holding(options, Math.ceil(count / 5), what, async (server) => {
    const before = await server.ask("memory")
    const held = await clients("hold.ts", [server.port, count, what])
    try {
      return await server.ask("memory") - before
    } finally {
      await held.end()
    }
  })

const memory = async (
  all: Contenders,
  what: "http" | "tcp",
  settings: Settings
): Promise<Map<string, Array<number>>> => {
  const count = Math.ceil(5000 / settings.scale)
  const contenders = measuredOf(all, "bare", settings)
  return await interleave(
    Object.keys(contenders),
    rounds(settings, 2),
    async (who) => await added(contenders[who]!, count, what) / count
  )
}

const tcp = (who: string) => ({ program: "tcp.ts", args: [who, "echo"] })

const keepAlive = "bare, keep-alive"

export const idle: Benchmark = {
  name: "idle",
  title: "Memory of idle connections",
  description: "What 5,000 connections that are held open add to 1,000: resident memory of the server's process after "
    + "a collection that gives all back that is not in use, for each. Those of HTTP have had one request answered; behind "
    + "those of TCP a handler waits for the first byte. They are held to an idle keep-alive connection of node:http: a bare "
    + "socket has nothing that waits, and the least that does, `a fiber`, takes more than three times as much.",
  targets: [
    { series: "memory of an idle HTTP connection", who: "ours", of: "ratio", atMost: 1.25 },
    { series: "memory of a handler that waits in pull", who: "ours", base: keepAlive, of: "ratio", atMost: 1.6 }
  ],
  costs: [
    [
      "an idle HTTP connection: what the listener and the drain know of it",
      "1.3 KB: `ConnectionImpl` 0.3, `Http1Protocol` 0.2, `NetConnection` and `HttpConnection` 0.1 each, listeners of "
      + "the socket 0.3"
    ],
    [
      "a handler that waits: its fiber and scope, reader and writer, and what the listener knows",
      "5 KB; a bare socket keeps 1 KB of heap, and a fiber on it 2.4 KB"
    ]
  ],
  run: async (settings) => {
    const requested = await memory({ ...http, ...go }, "http", settings)
    const waiting = await memory(
      { bare: tcp("bare"), "a fiber": tcp("fiber"), effect: tcp("effect"), ours: tcp("pulling") },
      "tcp",
      settings
    )
    waiting.set(keepAlive, requested.get("bare")!)
    const bytes = (label: string) => ({ label, unit: "bytes", better: "less", base: "bare" }) as const
    return [
      series(requested, bytes("memory of an idle HTTP connection"), (bytes) => bytes),
      series(waiting, bytes("memory of a handler that waits in pull"), (bytes) => bytes)
    ]
  }
}

// --- close and stall ---------------------------------------------------------------------------------------------

/** Closes a server with `count` idle connections, which have been so for longer than the idle grace. */
const closing = (options: ServerOptions, count: number): Promise<End> =>
  holding(options, count, "http", async (server) => {
    await Timers.setTimeout(400)
    return await server.end()
  })

export const close: Benchmark = {
  name: "close",
  title: "Closing with idle connections",
  description: "From SIGTERM to the end of the process with 8,000 idle keep-alive connections, all idle for longer "
    + "than the grace, and ours with 1,000 to 16,000. The others destroy them. Ours ends each and waits for its client to "
    + "end, so that nothing under way is lost; patient is the least that this takes on Node: node:http alone, that does it. "
    + "Without lingering (`linger: \"none\"`), ours destroys those that have nothing unread, too.",
  targets: [
    { series: "SIGTERM to exit, 8,000 connections", who: "ours, no linger", of: "ratio", atMost: 1.15 },
    { series: "SIGTERM to exit, 8,000 connections", who: "ours", base: "patient", of: "ratio", atMost: 1.1 },
    { series: "ours, for each connection", who: "16,000", base: "4,000", of: "ratio", atMost: 1.3 }
  ],
  costs: [
    [
      "a FIN to each client, and reading its client's, where others destroy the socket at once",
      "37 %: the kernel and libuv (`shutdown`, `epoll_wait`, `read`)"
    ],
    ["what Node does for an end, a FIN and a socket that closes", "30 %: `node:net`, streams, `node:_http_server`"],
    ["close(2)", "16 %: twice that in bare Node, where it sends the FIN"],
    [
      "a read turn, a goodbye and the count of each connection",
      "14 %: `connection`, `drainReview`, `readTurns`, `httpConnection`, `lingerTimer`; 2 % Effect"
    ],
    [
      "beyond patient, for 8,000: 140 ms of CPU in a profile, where a tenth would be 40",
      "41 the files of this library, 34 built-ins that they call, 25 garbage, 25 once, the rest Node: patient decides, counts and "
      + "tells nothing, and asks no connection whether it is idle"
    ],
    [
      "without lingering, beyond bare Node, for 8,000: 140 ms in a profile",
      "49 the files of this library, 43 built-ins that they call, 25 once, the rest Node: each connection is asked twice, before "
      + "and after its read turn, where bare Node destroys whatever its parser calls idle"
    ],
    ["once", "20 ms: the signal, the sweep of the accept queue, the report, each for the first time in the process"]
  ],
  run: async (settings) => {
    const scaled = (count: number) => Math.ceil(count / settings.scale)
    const measured = await interleave(
      Object.keys(closers),
      rounds(settings, 3),
      (who) => closing(closers[who]!, scaled(8000))
    )
    const counts = countsOf(settings)
    const growing = await interleave(
      Object.keys(counts),
      rounds(settings, 2),
      async (who) => (await closing(closers["ours"]!, scaled(counts[who]!))).took / scaled(counts[who]!)
    )
    return [
      series(
        measured,
        { label: "SIGTERM to exit, 8,000 connections", unit: "ms", better: "less", base: "bare" },
        (end) => end.took
      ),
      series(
        measured,
        { label: "CPU from SIGTERM to exit, 8,000 connections", unit: "ms", better: "less", base: "bare" },
        (end) => end.cpu
      ),
      series(
        growing,
        { label: "ours, for each connection", unit: "ms", better: "less", base: "4,000" },
        (millis) => millis
      )
    ]
  }
}

export const stall: Benchmark = {
  name: "stall",
  title: "The longest stall of a close",
  description: "How long the event loop is held at most between SIGTERM and the end of the process, with 10,000 idle "
    + "keep-alive connections: for so long, a request that is being served waits.",
  targets: [{ series: "longest stall", who: "ours", base: "the best other", of: "ratio", atMost: 1 }],
  run: async (settings) => {
    // patient is none of them: it ends some at a time, as ours does
    const { go: _unknown, "ours, no linger": _option, patient: _ours, ...all } = closers
    const known = measuredOf(all, "bare", settings)
    const measured = await interleave(
      Object.keys(known),
      rounds(settings, 2),
      (who) => closing(known[who]!, Math.ceil(10_000 / settings.scale))
    )
    return [
      series(measured, { label: "longest stall", unit: "ms", better: "less", base: "bare" }, (end) => end.stall)
    ]
  }
}

// --- growth ------------------------------------------------------------------------------------------------------

export const growth: Benchmark = {
  name: "growth",
  title: "What grows with the number of connections",
  description: "With 1,000 to 16,000 idle connections open: CPU time of a further connection, accepted, served and "
    + "closed (ours, and bare node:net), and of the questions that are asked of a listener.",
  targets: [
    { series: "ours: accept, exchange and close", who: "16,000", of: "ratio", atMost: 1.3 },
    { series: "`connections`, for each that is open", who: "16,000", of: "ratio", atMost: 1.5 },
    { series: "a dry run, for each that is open", who: "16,000", of: "ratio", atMost: 1.5 },
    { series: "a scrape of the metrics", who: "16,000", of: "ratio", atMost: 1.5 }
  ],
  costs: [[
    "a dry run walks over all connections",
    "of 1,000 each is in the processor's caches, and takes 9 ns; of 16,000 none is, and it takes 36: 0.6 ms for all of them"
  ]],
  run: async (settings) => {
    const counts = countsOf(settings)
    const measure = (kind: string) => (who: string) =>
      holding(
        { program: "tcp.ts", args: [kind, "answer"] },
        Math.ceil(counts[who]! / settings.scale),
        "tcp",
        async (server) => ({
          cpu: (await requests(server, { close: true, seconds: settings.seconds })).cpu,
          listing: await server.ask("listing"),
          counting: await server.ask("counting"),
          scrape: await server.ask("scrape")
        })
      )
    const times = rounds(settings, 2)
    const ours = await interleave(Object.keys(counts), times, measure("ours"))
    const bare = await interleave(Object.keys(counts), times, measure("bare"))
    const micros = (label: string) => ({ label, unit: "µs", better: "less", base: "1,000" }) as const
    return [
      series(ours, micros("ours: accept, exchange and close"), ({ cpu }) => cpu),
      series(bare, micros("bare: accept, exchange and close"), ({ cpu }) => cpu),
      series(ours, micros("`connections`, for each that is open"), ({ listing }) => listing),
      series(ours, micros("a dry run, for each that is open"), ({ counting }) => counting),
      series(ours, micros("a scrape of the metrics"), ({ scrape }) => scrape)
    ]
  }
}
