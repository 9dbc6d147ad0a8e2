/** Processes that share a port by one mechanism or another, and are replaced by it. */
import * as NodeWorkers from "@effect-listener/node/NodeWorkers"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as ChildProcess from "node:child_process"
import cluster, { type Worker } from "node:cluster"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Timers from "node:timers/promises"
import * as Tools from "./tools.ts"

export interface Fleet {
  readonly port: number
  /** All processes that serve, and those that supervise them. */
  readonly pids: () => ReadonlyArray<number>
  /** Replaces each process that accepts, one after the other. */
  readonly replace: () => Promise<void>
  /** Ends all at once, without a word. */
  readonly kill: () => void
}

const program = Path.join(import.meta.dirname, "..", "servers", "http", "worker.ts")

/** What processes took that have ended, and can no longer be asked. */
let before = { cpu: 0, user: 0 }

/** Processor time of processes so far, in microseconds, as Linux counts it: in hundredths of a second. */
export const cpu = (pids: ReadonlyArray<number>, what: "cpu" | "user"): number => {
  let sum = before[what]
  for (const pid of pids) sum += timesOf(pid)[what]
  return sum
}

const timesOf = (pid: number): { readonly cpu: number; readonly user: number } => {
  try {
    const fields = Fs.readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ")
    const [user, system] = [Number(fields[11]), Number(fields[12])]
    return { cpu: (user + system) * 10_000, user: user * 10_000 }
  } catch {
    return { cpu: 0, user: 0 }
  }
}

/** A process is about to end: what it took is kept. */
const keep = (pid: number): void => {
  const { cpu, user } = timesOf(pid)
  before = { cpu: before.cpu + cpu, user: before.user + user }
}

export const start = (kind: string, count: number): Promise<Fleet> => {
  switch (kind) {
    case "workers":
      return workers(count)
    case "rr":
    case "none":
      return clustered(kind, count)
    case "reusePort":
      return sharing(count)
    case "nginx":
    case "haproxy":
      return proxied(kind, count)
    default:
      throw new Error(`no such fleet: ${kind}`)
  }
}

// --- ours -------------------------------------------------------------------------------------------------------

const workers = async (count: number): Promise<Fleet> => {
  const scope = Scope.makeUnsafe()
  const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> =>
    Effect.runPromise(Effect.provideService(effect, References.MinimumLogLevel, "Error"))
  const fleet = await run(Scope.provide(
    NodeWorkers.make({
      program,
      workers: count,
      execArgv: [],
      readyWithin: "3 minutes",
      sockets: { http: { host: "127.0.0.1", port: 0 } }
    }),
    scope
  ))
  const { http } = fleet.addresses
  const pids = (): ReadonlyArray<number> => Effect.runSync(fleet.workers).map(({ pid }) => pid)
  return {
    port: http === undefined || http._tag === "UnixPathAddress" ? 0 : http.port,
    pids: () => [process.pid, ...pids()],
    replace: async () => {
      for (const pid of pids()) keep(pid)
      await run(fleet.replace)
    },
    kill: () => {
      // workers of a supervisor that is gone drain and end; this does not wait for it
      for (const pid of pids()) process.kill(pid, "SIGKILL")
      void Effect.runPromise(Scope.close(scope, Exit.void))
    }
  }
}

// --- node:cluster -------------------------------------------------------------------------------------------------

const clustered = async (policy: "rr" | "none", count: number): Promise<Fleet> => {
  cluster.schedulingPolicy = policy === "rr" ? cluster.SCHED_RR : cluster.SCHED_NONE
  cluster.setupPrimary({ exec: program, execArgv: [] })
  const fork = async (): Promise<{ readonly worker: Worker; readonly port: number }> => {
    const worker = cluster.fork({ PORT: "0" })
    const [address] = await once(worker, "listening") as [{ readonly port: number }]
    return { worker, port: address.port }
  }
  const first = await Promise.all(Array.from({ length: count }, fork))
  let running = first.map(({ worker }) => worker.process)
  return {
    port: first[0]!.port,
    pids: () => [process.pid, ...running.map(({ pid }) => pid!)],
    replace: async () => {
      running = await replaceEach(running, async () => (await fork()).worker.process)
    },
    kill: () => killAll(running)
  }
}

// --- reuse port ---------------------------------------------------------------------------------------------------

/** A process on its own, which says its port when it listens. */
const fork = async (
  env: Record<string, string>
): Promise<{ readonly child: ChildProcess.ChildProcess; readonly port: number }> => {
  const child = ChildProcess.fork(program, [], { execArgv: [], env: { ...process.env, ...env } })
  const [{ port }] = await once(child, "message") as [{ readonly port: number }]
  return { child, port }
}

const sharing = async (count: number): Promise<Fleet> => {
  const first = await fork({ PORT: "0", REUSE_PORT: "1" })
  const env = { PORT: String(first.port), REUSE_PORT: "1" }
  const another = async (): Promise<ChildProcess.ChildProcess> => (await fork(env)).child
  let running = [first.child, ...await Promise.all(Array.from({ length: count - 1 }, another))]
  return {
    port: first.port,
    pids: () => [process.pid, ...running.map(({ pid }) => pid!)],
    replace: async () => {
      running = await replaceEach(running, another)
    },
    kill: () => killAll(running)
  }
}

/** One more, and when it listens the old one is told to end, and waited for. */
const replaceEach = async (
  running: ReadonlyArray<ChildProcess.ChildProcess>,
  another: () => Promise<ChildProcess.ChildProcess>
): Promise<Array<ChildProcess.ChildProcess>> => {
  const next: Array<ChildProcess.ChildProcess> = []
  for (const old of running) {
    next.push(await another())
    keep(old.pid!)
    const ended = once(old, "exit")
    old.kill("SIGTERM")
    await ended
  }
  return next
}

const killAll = (running: ReadonlyArray<ChildProcess.ChildProcess>): void => {
  for (const child of running) child.kill("SIGKILL")
}

// --- a proxy in front -----------------------------------------------------------------------------------------------

const freePort = async (): Promise<number> => {
  const server = Net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as Net.AddressInfo
  server.close()
  return port
}

const proxied = async (kind: "nginx" | "haproxy", count: number): Promise<Fleet> => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-listener-proxy-"))
  const behind = await Promise.all(Array.from({ length: count }, () => fork({ PORT: "0" })))
  const port = await freePort()
  const config = Path.join(folder, "proxy.conf")
  const ports = behind.map((server) => server.port)
  Fs.writeFileSync(config, kind === "nginx" ? nginxConfig(folder, port, ports) : haproxyConfig(folder, port, ports))
  const args = kind === "nginx" ? ["-p", folder, "-c", config] : ["-W", "-f", config]
  const proxy = ChildProcess.spawn((kind === "nginx" ? Tools.nginx : Tools.haproxy)!, args, {
    stdio: ["ignore", "ignore", "pipe"]
  })
  let said = ""
  proxy.stderr.on("data", (text) => said += String(text))
  const workersOf = (): ReadonlyArray<number> =>
    Fs.readFileSync(`/proc/${proxy.pid}/task/${proxy.pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(
      Number
    )
  await until(() => canConnect(port), () => said)
  return {
    port,
    pids: () => [...behind.map(({ child }) => child.pid!), proxy.pid!, ...workersOf()],
    replace: async () => {
      const old = workersOf()
      for (const pid of old) keep(pid)
      proxy.kill(kind === "nginx" ? "SIGHUP" : "SIGUSR2")
      // its old workers end when their connections have
      await until(() => Promise.resolve(workersOf().some((pid) => !old.includes(pid))), () => said)
      await Promise.race([
        until(() => Promise.resolve(!workersOf().some((pid) => old.includes(pid))), () => said),
        Timers.setTimeout(5000)
      ])
    },
    kill: () => {
      proxy.kill("SIGTERM")
      killAll(behind.map(({ child }) => child))
      Fs.rmSync(folder, { recursive: true, force: true })
    }
  }
}

const canConnect = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = Net.connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false))
    socket.end()
  })

const until = async (condition: () => Promise<boolean>, said: () => string): Promise<void> => {
  const end = performance.now() + 10_000
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`the proxy did not come: ${said()}`)
    await Timers.setTimeout(20)
  }
}

const nginxConfig = (folder: string, port: number, ports: ReadonlyArray<number>): string => `
daemon off; worker_processes 2; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path ${folder}/1; proxy_temp_path ${folder}/2; fastcgi_temp_path ${folder}/3;
  uwsgi_temp_path ${folder}/4; scgi_temp_path ${folder}/5;
  upstream nodes { ${ports.map((port) => `server 127.0.0.1:${port};`).join(" ")} keepalive 64; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://nodes; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`

const haproxyConfig = (folder: string, port: number, ports: ReadonlyArray<number>): string => `
global
  stats socket ${folder}/stats mode 600 level admin expose-fd listeners
defaults
  mode http
  timeout connect 5s
  timeout client 120s
  timeout server 120s
frontend all
  bind 127.0.0.1:${port}
  default_backend nodes
backend nodes
${ports.map((port, i) => `  server node${i} 127.0.0.1:${port}`).join("\n")}
`
