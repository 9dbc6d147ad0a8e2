/**
 * The demo's service on two workers of `node:cluster`. At SIGUSR2 each is
 * replaced as process managers do it: a new one, and when it listens, the old one
 * is told to end, and killed when it has not after 1.6 s, pm2's `kill_timeout`.
 */
import cluster, { type Worker } from "node:cluster"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

const killTimeout = 1600

// stdout is for the JSON lines of this process
cluster.setupPrimary({ exec: fileURLToPath(new URL("effectHttpServer.ts", import.meta.url)), silent: true })

/** All workers that ask for port 0 are given the same one. */
const fork = async (): Promise<{ readonly worker: Worker; readonly port: number }> => {
  const worker = cluster.fork()
  const [address] = await once(worker, "listening") as [{ readonly port: number }]
  return { worker, port: address.port }
}

const say = (event: object): void => console.log(JSON.stringify(event))

const started = await Promise.all([fork(), fork()])
let workers = started.map(({ worker }) => worker)
say({ event: "open", port: started[0]?.port })

const replace = async (): Promise<void> => {
  const replaced: Array<Worker> = []
  for (const old of workers) {
    replaced.push((await fork()).worker)
    const ended = once(old, "exit")
    old.process.kill("SIGTERM")
    const kill = setTimeout(() => old.process.kill("SIGKILL"), killTimeout)
    await ended
    clearTimeout(kill)
  }
  workers = replaced
  say({ event: "replaced" })
}

process.on("SIGUSR2", () => void replace())
process.on("SIGTERM", () => process.exit())
