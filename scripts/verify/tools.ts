/**
 * What some tests need beyond npm and any Node that is promised: programs, and what only newer Nodes have.
 *
 * A test names it by a tag, `it.live("…", () => …, { tags: ["wrk"] })` or on a whole `describe`. Where it is missing the
 * test is not run, and `verify` says so by name; with `--full` that is a failure.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { unavailable } from "./postgres.ts"

export interface Tool {
  /** The tag. */
  readonly name: string
  readonly description: string
  /** Any one of these on the PATH will do. */
  readonly executables: ReadonlyArray<string>
}

export const tools: ReadonlyArray<Tool> = [
  {
    name: "chromium",
    description: "a browser without a window",
    executables: ["chromium", "chromium-browser", "google-chrome"]
  },
  { name: "curl", description: "an HTTP/1 and HTTP/2 client", executables: ["curl"] },
  { name: "dig", description: "a DNS client", executables: ["dig"] },
  { name: "go", description: "the Go compiler, for peers in Go", executables: ["go"] },
  { name: "python", description: "a receiver of Unix datagrams, in Python", executables: ["python3"] },
  { name: "promtool", description: "the linter of Prometheus", executables: ["promtool"] },
  { name: "ss", description: "what the kernel knows of sockets, of iproute2", executables: ["ss"] },
  { name: "script", description: "a terminal for a program, of util-linux", executables: ["script"] },
  {
    name: "systemd-socket-activate",
    description: "a launcher that passes its sockets, of systemd",
    executables: ["systemd-socket-activate"]
  },
  { name: "systemd-notify", description: "how a program tells systemd its state", executables: ["systemd-notify"] },
  { name: "wrk", description: "an HTTP load generator", executables: ["wrk"] }
]

/** Where the tool is, if it is on the PATH. */
export const find = (tool: Tool, path: string = process.env["PATH"] ?? ""): string | undefined =>
  path.split(Path.delimiter)
    .flatMap((folder) => tool.executables.map((executable) => Path.join(folder, executable)))
    .find(isExecutable)

/** Found out once: it takes a process. */
const withoutPostgres = unavailable()

/** What no executable stands for, and why it is not here; found out once. */
const others: ReadonlyArray<
  { readonly name: string; readonly description: string; readonly without: string | undefined }
> = [
  {
    name: "bound-sockets",
    description: "sockets that are held for another process",
    without: "BoundSocket" in Net ? undefined : `needs Node 24.19, and this is ${process.version}`
  },
  {
    name: "hardened-http",
    description:
      "limits of HTTP that Node has by itself: too many headers are answered 431, floods of HTTP/2 are ended",
    without: hasVersion(24, 18) ? undefined : `needs Node 24.18, and this is ${process.version}`
  },
  {
    name: "own-processes",
    description: "process 1 of its own processes, by unshare of util-linux",
    without: spawnSync("unshare", ["--user", "--map-root-user", "--pid", "--fork", "true"]).status === 0
      ? undefined
      : "needs unshare, and a user who may have processes of their own"
  }
]

/** What tests need, as vitest's tags: a test of which one need is not met is not run. */
export const tags = [
  ...tools.map((tool) => tagOf(tool, find(tool) === undefined)),
  tagOf({ name: "postgres", description: "a PostgreSQL, which npm brings" }, withoutPostgres !== undefined),
  ...others.map((need) => tagOf(need, need.without !== undefined))
]

/** `skip: false` would win over the tag before it. */
function tagOf({ description, name }: Pick<Tool, "name" | "description">, skip: boolean) {
  return skip ? { name, description, skip } : { name, description }
}

function hasVersion(major: number, minor: number): boolean {
  const [thisMajor = 0, thisMinor = 0] = process.versions.node.split(".").map(Number)
  return thisMajor > major || (thisMajor === major && thisMinor >= minor)
}

function isExecutable(file: string): boolean {
  try {
    Fs.accessSync(file, Fs.constants.X_OK)
    return Fs.statSync(file).isFile()
  } catch {
    return false
  }
}

/** Why a test with these tags cannot run here. */
export const missing = (
  tags: ReadonlyArray<string>,
  path?: string,
  postgres: string | undefined = withoutPostgres
): string | undefined => {
  const names = tools.filter((tool) => tags.includes(tool.name) && find(tool, path) === undefined)
  const reasons = [
    ...names.length === 0 ? [] : [`needs ${names.map((tool) => tool.name).join(" and ")}, not found on the PATH`],
    ...tags.includes("postgres") && postgres !== undefined ? [postgres] : [],
    ...others.flatMap(({ name, without }) => tags.includes(name) && without !== undefined ? [without] : [])
  ]
  return reasons.length === 0 ? undefined : reasons.join("; ")
}
