/** `accept` and `echo`: a handler of bytes on plain TCP. */
import { type Benchmark, compare, series } from "./support/benchmark.ts"
import { type Load, messages, requests } from "./support/load.ts"

const servers = (what: string) => ({
  bare: { program: "tcp.ts", args: ["bare", what] },
  effect: { program: "tcp.ts", args: ["effect", what] },
  ours: { program: "tcp.ts", args: ["ours", what] }
})

const loads = (measured: ReadonlyMap<string, ReadonlyArray<Load>>, unit: string) => [
  series(measured, { label: "throughput", unit: `${unit}/s`, better: "more", base: "bare" }, (load) => load.perSecond),
  series(measured, { label: "CPU", unit: "µs", better: "less", base: "bare" }, (load) => load.cpu),
  series(measured, { label: "CPU in the program", unit: "µs", better: "less", base: "bare" }, (load) => load.user)
]

export const accept: Benchmark = {
  name: "accept",
  title: "Connect, one exchange, close",
  description: "64 connections, each closed after one request and its answer (wrk, Connection: close), and a handler "
    + "on plain TCP that reads once, answers 59 bytes and ends. Bare is node:net, Effect its NodeSocketServer.",
  targets: [{ series: "throughput", who: "ours", of: "ratio", atLeast: 0.9 }],
  run: async (settings) =>
    loads(
      await compare(servers("answer"), settings, (server, seconds) => requests(server, { close: true, seconds })),
      "connections"
    )
}

export const echo: Benchmark = {
  name: "echo",
  title: "Messages on connections that stay",
  description: "64 connections, on each a message of 64 bytes there and back, and the next (a client on node:net). "
    + "The client needs as much CPU as a server: the CPU time of the server is what tells them apart.",
  targets: [{ series: "throughput", who: "ours", of: "ratio", atLeast: 0.95 }],
  run: async (settings) =>
    loads(await compare(servers("echo"), settings, (server, seconds) => messages(server, { seconds })), "messages")
}
