/**
 * A worker: clients that connect, ask, are answered, end, and connect again
 * without pause, until they are told to stop. Then it tells of every
 * connection that was not answered.
 */
import * as Net from "node:net"
import { parentPort, workerData } from "node:worker_threads"
import { now } from "../support/clock.ts"
import type { Finding, Order, Unanswered } from "../support/reconnecting.ts"

const order: Order = workerData
const port = parentPort!

let stopping = false
let running = order.clients
let answered = 0
let refused = 0
const unanswered: Array<Unanswered> = []

/** Nothing listens, or the queue of a Unix socket is full: no connection was ever made. */
const refusals = new Set(["ECONNREFUSED", "ENOENT", "EAGAIN"])

const again = () => {
  if (!stopping) return connect()
  if (--running === 0) port.postMessage({ answered, refused, unanswered } satisfies Finding)
}

const connect = () => {
  const startedAt = now()
  let connectedAt: number | undefined
  let sentAt: number | undefined
  let text = ""
  let failure: NodeJS.ErrnoException | undefined
  const socket = Net.connect(order.target)
  socket.on("connect", () => {
    connectedAt = now()
    socket.write("ping\n")
    // Node writes what fits into the kernel's buffer at once
    sentAt = now()
  })
  socket.on("data", (chunk) => {
    text += chunk.toString()
    if (text === "ping\n") socket.end()
  })
  socket.on("error", (error) => failure = error)
  socket.on("close", () => {
    const code = failure?.code
    if (text === "ping\n" && code === undefined) answered++
    else if (code !== undefined && refusals.has(code)) refused++
    else unanswered.push({ startedAt, connectedAt, sentAt, ending: code ?? "FIN" })
    setImmediate(again)
  })
}

port.once("message", () => {
  stopping = true
})
for (let i = 0; i < order.clients; i++) connect()
