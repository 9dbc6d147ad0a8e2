/** CPU profiles of the servers of a benchmark, and what each file takes of them. */
import * as Fs from "node:fs"
import * as Inspector from "node:inspector"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

const root = Path.join(import.meta.dirname, "..", "..")
const servers = Path.join(root, "benchmarks", "servers")

/** Where the processes of a run leave their profiles: they inherit it. */
const variable = "EFFECT_LISTENER_PROFILES"

/** From now on every server leaves a profile in this folder when it ends. */
export const leaveProfiles = (folder: string): void => {
  Fs.rmSync(folder, { recursive: true, force: true })
  process.env[variable] = folder
}

/** Of this process, once it is profiled. */
let session: Inspector.Session | undefined

const profiler = (): Inspector.Session => {
  const made = new Inspector.Session()
  made.connect()
  made.post("Profiler.enable")
  made.post("Profiler.setSamplingInterval", { interval: 200 })
  return made
}

/** Whether servers leave profiles: one that is killed leaves none. */
export const profiling = (): boolean => process.env[variable] !== undefined

/** For a server: from here on until its end, and nothing of what it did before. */
export const profileFromHere = (): void => {
  const folder = process.env[variable]
  if (folder === undefined) return
  if (session !== undefined) {
    session.post("Profiler.stop")
    return session.post("Profiler.start")
  }
  session = profiler()
  session.post("Profiler.start")
  process.once("exit", () => {
    // in the same thread, the answer comes within the call
    session?.post("Profiler.stop", (_error, { profile }) => {
      const [, program = "", ...args] = process.argv
      const server = [Path.relative(servers, program), ...args].join(" ").replaceAll(/[^\w.]+/g, "-")
      Fs.mkdirSync(Path.join(folder, server), { recursive: true })
      Fs.writeFileSync(Path.join(folder, server, `${process.pid}.cpuprofile`), JSON.stringify(profile))
    })
  })
}

/** What is read of V8's format. */
interface CpuProfile {
  readonly nodes: ReadonlyArray<{
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string }
  }>
  readonly samples: ReadonlyArray<number>
  readonly timeDeltas: ReadonlyArray<number>
}

const nameOf = ({ functionName, url }: CpuProfile["nodes"][number]["callFrame"]): string => {
  if (url === "") return functionName === "" ? "(anonymous)" : functionName
  if (!url.startsWith("file:")) return url
  const path = Path.relative(root, fileURLToPath(url))
  const [, dependency] = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(path) ?? []
  return dependency ?? path
}

/** What is no work: nothing was to be done, or the profile was. */
const waiting = new Set(["(idle)", "(root)", "node:inspector"])

/** Self time by file, in parts of all that was not waiting. */
const shares = (profiles: ReadonlyArray<CpuProfile>): ReadonlyArray<readonly [file: string, share: number]> => {
  const times = new Map<string, number>()
  for (const { nodes, samples, timeDeltas } of profiles) {
    const names = new Map(nodes.map(({ callFrame, id }) => [id, nameOf(callFrame)]))
    for (const [at, sample] of samples.entries()) {
      const name = names.get(sample)!
      if (!waiting.has(name)) times.set(name, (times.get(name) ?? 0) + timeDeltas[at]!)
    }
  }
  const all = Array.from(times.values()).reduce((sum, time) => sum + time, 0)
  return Array.from(times, ([file, time]) => [file, time / all] as const).sort((a, b) => b[1] - a[1])
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`.padStart(8)

/** Prints what each server spent where, the files of this library first. */
export const printProfiles = (folder: string): void => {
  for (const server of Fs.readdirSync(folder).sort()) {
    const files = Fs.readdirSync(Path.join(folder, server))
    const all = shares(files.map((file) => {
      // V8 wrote it
      return JSON.parse(Fs.readFileSync(Path.join(folder, server, file), "utf8")) as CpuProfile
    }))
    const ours = all.filter(([file]) => file.startsWith("packages/"))
    const sum = ours.reduce((sum, [, share]) => sum + share, 0)
    console.log(`${server}: ${percent(sum).trim()} in the files of this library`)
    for (const [file, share] of ours.filter(([, share]) => share >= 0.0005)) console.log(`${percent(share)}  ${file}`)
    console.log(`${percent(1 - sum)}  elsewhere:`)
    const others = all.filter(([file, share]) => !file.startsWith("packages/") && share >= 0.005)
    for (const [file, share] of others) console.log(`${percent(share)}    ${file}`)
  }
  console.log(`profiles: ${folder}`)
}
