/** Datagrams there and back. */
import {
  type Benchmark,
  compare,
  type Contenders,
  loads,
  type Measured,
  measuredOf,
  type Series,
  series,
  type Settings
} from "./support/benchmark.ts"
import { datagrams, datagramsAtRate } from "./support/load.ts"

const servers: Contenders = {
  bare: { program: "udp.ts", args: ["bare"] },
  effect: { program: "udp.ts", args: ["effect"] },
  ours: { program: "udp.ts", args: ["ours"] },
  "ours, a fiber": { program: "udp.ts", args: ["fiber"] }
}

/** How much is lost shows around the rate at which a server can do no more: parts of that of the bare one. */
const around = [0.6, 1, 1.4]

const median = (numbers: ReadonlyArray<number>): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!

const lossAt = async (part: number, saturation: number, settings: Settings): Promise<Series> => {
  const rate = Math.round(saturation * part)
  const lost = await compare(
    measuredOf(servers, "bare", settings),
    { ...settings, rounds: Math.min(2, settings.rounds) },
    (server, seconds) => datagramsAtRate(server, { rate, bytes: 64, seconds }),
    { warmUp: 1 }
  )
  return series(
    lost,
    { label: `lost at ${part} of saturation`, unit: "% of 64 bytes", better: "less", base: "bare" },
    ({ answered, sent }) => (1 - answered / sent) * 100
  )
}

export const datagram: Benchmark = {
  name: "datagrams",
  title: "Datagrams there and back",
  description:
    "64 datagrams on their way at any time, each sent back by the server (a client on node:dgram), of 64 and "
    + "of 1,200 bytes; then datagrams of 64 bytes at rates around what bare node:dgram can answer at most, and how many "
    + "of them stay unanswered: what does not fit into the receive buffer of 1 MiB is lost in the kernel, whoever "
    + "serves. Effect is its NodeDatagramSocket, pulled and written to in a loop. The client needs as much CPU as a "
    + "server.",
  targets: [
    { series: "throughput, 64 bytes", who: "ours", of: "ratio", atLeast: 0.9 },
    { series: "throughput, 1200 bytes", who: "ours", of: "ratio", atLeast: 0.9 }
  ],
  run: async (settings) => {
    const contenders = measuredOf(servers, "bare", settings)
    const all: Array<Series> = []
    let small: Measured | undefined
    for (const bytes of [64, 1200]) {
      const measured = await compare(contenders, settings, (server, seconds) => datagrams(server, { bytes, seconds }), {
        warmUp: 1
      })
      small ??= measured
      for (const one of loads(measured, "datagrams", "bare")) {
        all.push({ ...one, label: `${one.label}, ${bytes} bytes` })
      }
    }
    const saturation = median(small!.get("bare")!.map(({ perSecond }) => perSecond))
    for (const part of around) all.push(await lossAt(part, saturation, settings))
    return all
  }
}
