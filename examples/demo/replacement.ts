/** The three ways in which the demo replaces a service under load. */
import { setTimeout as sleep } from "node:timers/promises"
import * as Load from "./replacementLoad.ts"
import * as ServerProcess from "./serverProcess.ts"

const url = (file: string): URL => new URL(file, import.meta.url)

/** How long an old server may take (ms): pm2's `kill_timeout`. */
const killTimeout = 1600

/** How long the load lasts before and after a replacement (ms). */
const around = 300

/** Replaces a service while clients use it. */
const underLoad = async (port: number, replace: () => Promise<void>): Promise<Load.Figures> => {
  const load = Load.start(port)
  await sleep(around)
  await replace()
  await sleep(around)
  return await load.stop()
}

/** A supervisor, or a primary, replaces its workers at SIGUSR2 and says when all are. */
const bySupervisor = async (file: string): Promise<Load.Figures> => {
  const supervisor = await ServerProcess.start(url(file))
  try {
    return await underLoad(supervisor.port, () => {
      const replaced = supervisor.next("replaced")
      supervisor.signal("SIGUSR2")
      return replaced
    })
  } finally {
    supervisor.signal("SIGTERM")
    await supervisor.endedWithin(3000)
    await supervisor.kill()
  }
}

/** Ours: workers on one listening socket that a supervisor holds. */
export const workers = (): Promise<Load.Figures> => bySupervisor("./workers.ts")

/** `node:cluster` with Effect's own server, one worker after the other. */
export const cluster = (): Promise<Load.Figures> => bySupervisor("./clusterPrimary.ts")

/** Effect's own server, stopped by SIGTERM and started again on its port. */
export const stopAndStart = async (): Promise<Load.Figures> => {
  let server = await ServerProcess.start(url("./effectHttpServer.ts"))
  try {
    return await underLoad(server.port, async () => {
      server.signal("SIGTERM")
      await server.endedWithin(killTimeout)
      await server.kill()
      server = await ServerProcess.start(url("./effectHttpServer.ts"), { env: { PORT: String(server.port) } })
    })
  } finally {
    await server.kill()
  }
}
