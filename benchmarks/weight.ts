/** What a small server weighs: its bundle, and the modules it loads. */
import * as Esbuild from "esbuild"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import { rolldown } from "rolldown"
import type { Benchmark, Series } from "./support/benchmark.ts"

const folder = Path.join(import.meta.dirname, "servers/weight")

/** Conditions of `exports` with which the packages are what is published. */
const conditions = ["published", "node", "import", "default"]

const byRolldown = async (program: string): Promise<number> => {
  const build = await rolldown({
    input: program,
    platform: "node",
    resolve: { conditionNames: conditions },
    logLevel: "silent"
  })
  try {
    const { output } = await build.generate({ format: "esm", minify: true, codeSplitting: false })
    return Buffer.byteLength(output[0].code) / 1000
  } finally {
    await build.close()
  }
}

const byEsbuild = async (program: string): Promise<number> => {
  const { outputFiles } = await Esbuild.build({
    entryPoints: [program],
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    conditions,
    logLevel: "silent",
    write: false
  })
  return outputFiles[0]!.contents.length / 1000
}

const modulesOf = async (program: string): Promise<number> => {
  const node = [`--conditions=${conditions[0]!}`, Path.join(folder, "modulesOf.ts"), program]
  const out = ChildProcess.execFileSync(process.execPath, node, { encoding: "utf8" })
  return Number(out.trim().split("\n").at(-1))
}

const measures: ReadonlyArray<readonly [label: string, unit: string, of: (program: string) => Promise<number>]> = [
  ["rolldown, one minified file", "kB", byRolldown],
  ["esbuild, one minified file", "kB", byEsbuild],
  ["modules at start", "modules", modulesOf]
]

const seriesOf = async (server: "http" | "echo"): Promise<ReadonlyArray<Series>> => {
  const program = (whose: "Ours" | "Effect") => Path.join(folder, `${server}${whose}.ts`)
  const all: Array<Series> = []
  for (const [label, unit, of] of measures) {
    const rounds = { effect: [await of(program("Effect"))], ours: [await of(program("Ours"))] }
    all.push({ label: `${server}: ${label}`, unit, better: "less", base: "effect", rounds })
  }
  return all
}

export const weight: Benchmark = {
  name: "weight",
  title: "What a small server weighs",
  description:
    "The HTTP server of ten lines of the documentation, and an echo server, each with everything that it imports, "
    + "beside the same by Effect's own servers: in one minified file, and as the modules that Node loads. Ours are the "
    + "packages as they are published. What ours has beyond Effect's is a lifetime: accepting, draining, hand-over, "
    + "signals, reports.",
  targets: [{ series: "http: esbuild, one minified file", who: "ours", of: "ratio", atMost: 1.18 }],
  costs: [[
    "Of what HTTP weighs beyond Effect's server, nothing is left that it does not use by itself",
    "in kB, by esbuild: connections and their drain 44, HTTP and WebSocket 38, listening and sockets 29, main program, reports "
    + "and display 24, the listener's lifetime 23, hand-over and inherited sockets 21, errors and options 21, telemetry and "
    + "utilities 14, TLS 8, accepting 7, PROXY 6. Without all that only an option asks for (HTTP/2, TLS, PROXY, Unix, hand-over) "
    + "it would be 60 less, by another API: decisions 58 and 70"
  ]],
  prepare: () => {
    ChildProcess.execFileSync(process.execPath, [Path.join(import.meta.dirname, "../scripts/bundle.ts")])
  },
  run: async ({ allContenders }) => [...allContenders ? await seriesOf("http") : [], ...await seriesOf("echo")]
}
