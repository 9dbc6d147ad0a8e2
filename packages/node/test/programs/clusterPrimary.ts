/**
 * A primary of `node:cluster` with one worker, which runs `programs/main.ts`
 * with the arguments given: on SIGUSR2 it tells the worker to disconnect, and it
 * prints how the worker ended.
 */
import Cluster from "node:cluster"
import { fileURLToPath } from "node:url"

Cluster.setupPrimary({ exec: fileURLToPath(new URL("main.ts", import.meta.url)), args: process.argv.slice(2) })
const worker = Cluster.fork()
process.on("SIGUSR2", () => worker.disconnect())
worker.on("exit", (code, signal) => {
  console.log(JSON.stringify({ event: "worker", code, signal }))
})
