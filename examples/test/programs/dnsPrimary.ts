/**
 * Holds the sockets of the DNS example as a primary of `node:cluster`, and
 * replaces the process that serves, `times` times: `node dnsPrimary.ts <times>`.
 * Prints `open` with the port, waits for SIGHUP, and at the end prints `done` with
 * what each process has reported.
 */
import cluster from "node:cluster"
import { once } from "node:events"
import * as Path from "node:path"
import { createInterface } from "node:readline"

const print = (event: object) => console.log(JSON.stringify(event))

// a worker accepts by itself, and what waits in the kernel goes to the worker that takes it
cluster.schedulingPolicy = cluster.SCHED_NONE
cluster.setupPrimary({ exec: Path.join(import.meta.dirname, "../../dns.ts"), silent: true })

const events = (lines: AsyncIterator<string>) => async (event: string): Promise<Record<string, unknown>> => {
  while (true) {
    const { done, value } = await lines.next()
    if (done === true) throw new Error(`no ${event}`)
    const line: Record<string, unknown> = JSON.parse(value)
    if (line["event"] === event) return line
  }
}

const start = async (port: string) => {
  const worker = cluster.fork({ PORT: port })
  worker.process.stderr!.pipe(process.stderr)
  const next = events(createInterface(worker.process.stdout!)[Symbol.asyncIterator]())
  return { worker, next, open: await next("open") }
}

let serving = await start(process.env["PORT"] ?? "0")
const port = String(serving.open["port"])
const begin = once(process, "SIGHUP")
const end = once(process, "SIGTERM")
print({ event: "open", port: Number(port) })
await begin
const reports: Array<unknown> = []
for (let left = Number(process.argv[2]); left > 0; left--) {
  const before = serving
  serving = await start(port)
  before.worker.process.kill("SIGTERM")
  reports.push((await before.next("closed"))["report"])
}
print({ event: "done", reports })
await end
serving.worker.process.kill("SIGTERM")
await serving.next("closed")
process.exit(0)
