/** Throughput of HTTP: in the clear, over TLS, and HTTP/2. */
import { type Benchmark, compare, loads, measuredOf, type Settings } from "./support/benchmark.ts"
import { handshakes, requests, streams } from "./support/load.ts"

/** Whoever serves HTTP in Node. */
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
    + "counts; bare is node:http without Effect.",
  targets: [
    { series: "throughput", who: "ours", base: "effect, same options", of: "ratio", atLeast: 0.97 },
    { series: "throughput", who: "ours", base: "effect", of: "ratio", atLeast: 1.05 }
  ],
  costs: [
    ["write(2) of the answer", "44 % of the time of a request: `writev`"],
    [
      "what we do for a request: counting it, and knowing its connection and its fiber",
      "4 %: `Http1Protocol` 1.4, `NodeServers` 0.9, the time of day 0.5, the rest 0.8"
    ]
  ],
  run: async (settings) =>
    loads(
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
    )
}

/** One process takes by a fifth longer for the same code than another: more of them, each for fewer rounds. */
const manyProcesses = ({ rounds, ...settings }: Settings): Settings => ({ ...settings, rounds: rounds * 2 })
const roundsOfProcess = 2

export const tls: Benchmark = {
  name: "tls",
  title: "TLS handshakes",
  description: "New connections over TLS 1.3, 16 at a time, one request on each (a client on node:tls, which works "
    + "harder than the server).",
  targets: [{ series: "throughput", who: "ours", of: "ratio", atLeast: 0.95 }],
  costs: [
    ["keys, signatures, hashes", "half of the CPU time: OpenSSL, whoever serves"],
    [
      "what we do for a connection: its place in the listener, the fiber of its handshake, the name of its client",
      "22 µs of JavaScript, and 33 of V8 for it (built-ins, compiling, garbage)"
    ],
    ["waiting for the client's end, where Effect's server destroys the socket", "12 µs: one more read"]
  ],
  run: async (settings) =>
    loads(
      await compare(
        measuredOf(servers("https"), "effect", settings),
        manyProcesses(settings),
        handshakes,
        roundsOfProcess
      ),
      "handshakes",
      "effect"
    )
}

export const http2: Benchmark = {
  name: "http2",
  title: "HTTP/2 streams",
  description: "GET over 8 sessions in the clear, 8 streams at a time on each (a client on node:http2, which works "
    + "as hard as the server).",
  targets: [{ series: "throughput", who: "ours", of: "ratio", atLeast: 0.95 }],
  run: async (settings) =>
    loads(
      await compare(measuredOf(servers("h2"), "effect", settings), manyProcesses(settings), streams, roundsOfProcess),
      "streams",
      "effect"
    )
}
