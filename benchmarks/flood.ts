/**
 * A flood of 5,000 connections over a limit of 100: what those who are served
 * notice of it.
 *
 *     node benchmarks/flood.ts [rounds]
 *
 * The server, the hundred clients it serves and the flood are processes of their
 * own. Each round measures the clients' latency without a flood, in one of 2,000
 * connections a second, and in one that is as fast as it can: by turns over a
 * listener, and over `node:net` with the same limit, which closes whom it refuses
 * before there is a socket: what that costs is the machine's. Prints medians.
 */
import { type Child, start } from "./flood/child.ts"
import type { Latencies } from "./flood/existing.ts"
import type { Flood, Order } from "./flood/flooder.ts"
import type { ServerState } from "./flood/server.ts"

const rounds = Number(process.argv[2] ?? 9)
const connections = 5000
const limit = 100
/** Between an echo and the next message, in milliseconds. */
const pause = 20
const unloadedFor = 1000
/** Connections a second of the slower flood: what a machine can send and still have time for the others. */
const slowly = 2000
/** How many wait for a place, of those the listener cannot let in: its default. */
const maxQueued = 511

interface Loaded extends Latencies {
  readonly flood: Flood
}

interface Round {
  readonly unloaded: Latencies
  readonly slow: Loaded
  readonly fast: Loaded
}

interface Contender {
  readonly name: string
  readonly server: Child
  readonly existing: Child
  readonly flooder: Child & { readonly first: { readonly priority: string } }
  readonly rounds: Array<Round>
}

const contender = async (name: string, file: string): Promise<Contender> => {
  const server = await start<{ readonly port: number }>(file, [String(limit)])
  const port = String(server.first.port)
  const existing = await start("./existing.ts", [port, String(limit), String(pause)])
  const flooder = await start<{ readonly priority: string }>("./flooder.ts", [port])
  return { name, server, existing, flooder, rounds: [] }
}

const latencies = async (existing: Child, during: () => Promise<unknown>): Promise<Latencies> => {
  await existing.ask("begin")
  await during()
  return existing.ask("end")
}

const flooded = async ({ existing, flooder }: Contender, rate: number | null, hold = 0): Promise<Loaded> => {
  const order: Order = { count: connections, hold, rate }
  let flood: Flood | undefined
  const loaded = await latencies(existing, async () => {
    flood = await flooder.ask<Flood>(order)
  })
  return { ...loaded, flood: flood! }
}

const round = async (contender: Contender): Promise<Round> => ({
  unloaded: await latencies(contender.existing, () => new Promise((resolve) => setTimeout(resolve, unloadedFor))),
  slow: await flooded(contender, slowly),
  fast: await flooded(contender, null)
})

const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? NaN
}

const show = (label: string, text: string): void => console.log(`  ${label.padEnd(36)}${text}`)

const report = ({ name, rounds }: Contender): void => {
  const of = (value: (round: Round) => number): string => median(rounds.map(value)).toFixed(2)
  const floods = rounds.flatMap(({ fast, slow }) => [fast.flood, slow.flood])
  const [refused, failed] = [
    floods.reduce((sum, flood) => sum + flood.refused, 0),
    floods.reduce((sum, flood) => sum + flood.failed, 0)
  ]
  console.log(name)
  show("p50, unloaded", `${of((r) => r.unloaded.p50)} ms`)
  show("p99, unloaded", `${of((r) => r.unloaded.p99)} ms`)
  for (const kind of ["slow", "fast"] as const) {
    const [p99, ratio] = [of((r) => r[kind].p99), of((r) => r[kind].p99 / r.unloaded.p99)]
    show(`p99, in a ${kind} flood of ${of((r) => r[kind].flood.duration / 1000)} s`, `${p99} ms, ${ratio} times`)
  }
  show("refused of all floods, and failed", `${refused} of ${floods.length * connections}, ${failed}`)
}

const ours = await contender("effect-listener", "./server.ts")
const bare = await contender("node:net, with maxConnections", "./bareServer.ts")

// Not measured: code is compiled, and the queue is full from then on, of clients that have gone: held ones are not read.
await flooded(ours, null, maxQueued)
await flooded(bare, null)
const before = await ours.server.ask<ServerState>("state")
for (let i = 0; i < rounds; i++) {
  for (const each of i % 2 === 0 ? [ours, bare] : [bare, ours]) each.rounds.push(await round(each))
}
const after = await ours.server.ask<ServerState>("state")

console.log(
  `floods of ${connections} connections over a limit of ${limit}, with ${ours.flooder.first.priority} priority`
)
report(bare)
report(ours)
show("most handlers at one time", `${after.mostHandlers} of ${limit}`)
const kibibytes = (after.memory - before.memory) / 1024
show(
  "memory after all floods",
  `${kibibytes < 0 ? "" : "+"}${kibibytes.toFixed(0)} KiB of ${(before.memory / 1024).toFixed(0)} KiB`
)

const clients = [ours, bare].flatMap(({ existing, flooder }) => [existing, flooder])
for (const client of clients) client.end()
const { duration } = await ours.server.ask<{ readonly duration: number }>("close")
show("close, with all of them gone", `${duration.toFixed(0)} ms`)
for (const { server } of [ours, bare]) server.end()
