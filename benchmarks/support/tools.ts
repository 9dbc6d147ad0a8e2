/**
 * Programs that not every machine has: without them a benchmark does with less,
 * or says that it was not run.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const onPath = (name: string): string | undefined =>
  (process.env["PATH"] ?? "").split(Path.delimiter).map((folder) => Path.join(folder, name)).find(Fs.existsSync)

/** Where daemons are, which is not on every user's path. */
const inSbin = (name: string): string | undefined =>
  ["/usr/sbin", "/usr/local/sbin"].map((folder) => Path.join(folder, name)).find(Fs.existsSync)

export const wrk: string | undefined = onPath("wrk")
export const go: string | undefined = onPath("go")
export const nginx: string | undefined = onPath("nginx") ?? inSbin("nginx")
export const haproxy: string | undefined = onPath("haproxy") ?? inSbin("haproxy")
/** Which Go it is. */
export const goVersion = (): string =>
  go === undefined ? "no go" : ChildProcess.execFileSync(go, ["version"], { encoding: "utf8" }).trim()
const taskset = Os.availableParallelism() < 2 ? undefined : onPath("taskset")

/** Servers and clients on processors of their own, so that neither is moved about: where `taskset` can do that. */
const processor = { server: "0", client: "1" }

export const pinned: boolean = taskset !== undefined

/** What this machine does not have, and what a run does instead. */
export const missing: ReadonlyArray<string> = [
  ...wrk === undefined ? ["no wrk: a client on node:net makes the load"] : [],
  ...go === undefined ? ["no go: its server is not measured"] : [],
  ...nginx === undefined ? ["no nginx: its reload is not measured"] : [],
  ...haproxy === undefined ? ["no haproxy: its reload is not measured"] : [],
  ...taskset === undefined ? ["no taskset, or one processor: servers and clients share processors"] : []
]

export const pin = (pid: number, as: keyof typeof processor): void => {
  if (taskset === undefined) return
  ChildProcess.spawnSync(taskset, ["-a", "-c", "-p", processor[as], String(pid)], { stdio: "ignore" })
}

/** Runs a client program to its end, and gives its output. */
export const client = (program: string, args: ReadonlyArray<string>): Promise<string> => {
  const [command, all] = taskset === undefined
    ? [program, args]
    : [taskset, ["-c", processor.client, program, ...args]]
  return new Promise((resolve, reject) => {
    ChildProcess.execFile(command, all, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${program} ${args.join(" ")}: ${stderr}`, { cause: error }))
    })
  })
}
