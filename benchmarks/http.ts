/** HTTP: throughput in the clear, over TLS, and of HTTP/2, and its goodbyes. */
import * as Timers from "node:timers/promises"
import {
  type Benchmark,
  compare,
  type Contenders,
  loads,
  measuredOf,
  type Series,
  series,
  type Settings
} from "./support/benchmark.ts"
import { clients } from "./support/held.ts"
import { asking, handshakes, type Load, requests, streams } from "./support/load.ts"
import { type ServerOptions, start } from "./support/server.ts"
import { interleave } from "./support/statistics.ts"

/** The servers of HTTP in Node. */
const servers = (what: string) => ({
  effect: { program: "http/effect.ts", args: [what] },
  bare: { program: "http/bare.ts", args: [what] },
  ours: { program: "http/ours.ts", args: [what] }
})

export const http: Benchmark = {
  name: "http",
  title: "Keep-alive requests",
  description: "GET on 64 connections that stay, answered with two bytes (wrk). Effect is its NodeHttpServer as it "
    + "ships, and with the option of Node's that our server has (`optimizeEmptyRequests`); ours has admission on, and "
    + "counts; bare is node:http without Effect. Then the same requests, 64 at a time, in turns over 64, 1,000 and 8,000 "
    + "connections that are kept (a client on node:net).",
  targets: [
    { series: "throughput", who: "ours", base: "effect, same options", of: "ratio", atLeast: 0.97 },
    { series: "throughput", who: "ours", base: "effect", of: "ratio", atLeast: 1.05 },
    { series: "CPU in the program", who: "ours", base: "effect, same options", of: "ratio", atLeast: 1.05 },
    { series: "CPU of a request, connections kept", who: "1,000", of: "ratio", atMost: 1.05 },
    { series: "CPU of a request, connections kept", who: "8,000", of: "ratio", atMost: 1.05 }
  ],
  costs: [
    ["write(2) of the answer", "44 % of the time of a request: `writev`"],
    [
      "what we do for a request: counting it, and knowing its connection and its fiber",
      "4 %: `Http1Protocol` 1.4, `NodeHttpServers` 0.9, the time of day 0.5, the rest 0.8"
    ],
    [
      "beyond Effect's server with the same options, in two profiles on a busy machine",
      "0.7 µs the files of this library, 0.3 Effect's (which fiber serves which connection), 0.5 Node's, 0.9 built-ins "
      + "that all of them call, 1.2 native code"
    ],
    [
      "a request where 1,000 or 8,000 connections are kept",
      "what Node and the kernel have of a connection is no longer in the processor's caches when its turn comes: bare "
      + "Node's own request costs 1.4 to 1.8 of what it costs with 64 on a busy machine, Effect's 1.4 to 1.9; nothing of ours goes over them"
    ]
  ],
  run: async (settings) => [
    ...loads(
      await compare(
        measuredOf(
          { ...servers("http"), "effect, same options": { program: "http/effect.ts", args: ["http", "optimized"] } },
          "effect",
          settings
        ),
        settings,
        (server, seconds) => requests(server, { close: false, seconds })
      ),
      "requests",
      "effect"
    ),
    await keeping(servers("http").ours, "CPU of a request, connections kept", settings),
    ...settings.allContenders
      ? [await keeping(servers("http").bare, "bare: CPU of a request, connections kept", settings)]
      : []
  ]
}

const keptCounts: Record<string, number> = { "64": 64, "1,000": 1000, "8,000": 8000 }

/** What a request costs with each number of `keptCounts` connections open, which ask in turn. */
const keeping = async (options: ServerOptions, label: string, settings: Settings): Promise<Series> => {
  const measured = new Map<string, Array<Load>>()
  // new processes now and then, and all of one group at once
  const groups = Math.ceil(settings.rounds / 4)
  for (let group = 0; group < groups; group++) {
    const all = new Map(
      await Promise.all(
        Object.entries(keptCounts).map(async ([who, count]) => {
          const server = await start(options)
          const held = await clients("kept.ts", [server.port, Math.ceil(count / settings.scale)])
          return [who, { server, held }] as const
        })
      )
    )
    try {
      for (const { held, server } of all.values()) await asking(server, held, settings.seconds)
      const some = await interleave(
        Array.from(all.keys()),
        Math.min(4, settings.rounds - group * 4),
        (who) => asking(all.get(who)!.server, all.get(who)!.held, settings.seconds)
      )
      for (const [who, loads] of some) measured.set(who, [...measured.get(who) ?? [], ...loads])
    } finally {
      for (const { held, server } of all.values()) {
        await held.end()
        await server.kill()
      }
    }
  }
  return series(measured, { label, unit: "µs", better: "less", base: "64" }, ({ cpu }) => cpu)
}

export const tls: Benchmark = {
  name: "tls",
  title: "TLS handshakes",
  description: "New connections over TLS 1.3, 16 at a time, one request on each (a client on node:tls, which works "
    + "harder than the server).",
  targets: [
    { series: "throughput", who: "ours", of: "ratio", atLeast: 0.95 },
    { series: "CPU", who: "ours", of: "ratio", atLeast: 0.97 }
  ],
  costs: [
    ["keys, signatures, hashes", "more than half of the CPU time: OpenSSL, whoever serves"],
    [
      "beyond Effect's server: 120 to 135 µs of 620 in profiles of ten seconds, when all is compiled; three hundredths would be 20",
      "56 the files of this library: a place in the listener, the fiber of the handshake, the limit for its client, the last word; "
      + "15 Effect's and 20 Node's, of both 15 for the client's address; 30 OpenSSL and the kernel. Between two handshakes OpenSSL "
      + "has the processor's caches: what takes 7 µs of a connection in the clear takes 56 here"
    ],
    ["waiting for the client's end, where Effect's server destroys the socket", "12 of them: one more read"]
  ],
  run: async (settings) =>
    loads(
      await compare(
        measuredOf(servers("https"), "effect", settings),
        settings,
        handshakes
      ),
      "handshakes",
      "effect"
    )
}

export const http2: Benchmark = {
  name: "http2",
  title: "HTTP/2 streams",
  description: "GET over 8 sessions in the clear, 8 streams at a time on each (a client on node:http2, which works "
    + "as hard as the server). Then SIGTERM with 20 sessions, 100 requests under way on each: how many turns of the event "
    + "loop pass to the last GOAWAY. Each turn is as long as the work of 2,000 streams.",
  targets: [
    { series: "throughput", who: "ours", of: "ratio", atLeast: 0.95 },
    { series: "SIGTERM to the last GOAWAY", who: "ours", of: "value", atMost: 1.2 }
  ],
  costs: [
    [
      "a stream: its request and its end, its fiber, what its session owes",
      "5 %: `Http2Protocol` 1.8, `NodeHttpServers` 1.4, the rest 1.4; Node's and Effect's are 55 %, garbage is 18 %, whoever serves"
    ]
  ],
  run: async (settings) => [
    ...loads(
      await compare(measuredOf(servers("h2"), "effect", settings), settings, streams),
      "streams",
      "effect"
    ),
    await goodbyes(settings)
  ]
}

const leaving: Contenders = {
  bare: { program: "http/goodbyes.ts", args: ["bare"] },
  effect: { program: "http/goodbyes.ts", args: ["effect"] },
  ours: { program: "http/goodbyes.ts", args: ["ours"] }
}

const goodbyes = async (settings: Settings): Promise<Series> => {
  const contenders = measuredOf(leaving, "bare", settings)
  const measured = await interleave(Object.keys(contenders), Math.min(3, settings.rounds), async (who) => {
    const server = await start(contenders[who]!)
    const held = await clients("sessions.ts", [server.port, 20, Math.ceil(100 / settings.scale)])
    try {
      await Timers.setTimeout(100)
      return await server.end(5000)
    } finally {
      await held.end()
      await server.kill()
    }
  })
  return series(
    measured,
    { label: "SIGTERM to the last GOAWAY", unit: "turns", better: "less", base: "bare" },
    ({ turns }) => turns
  )
}
