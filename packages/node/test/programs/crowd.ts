/**
 * A worker: when told to, its clients connect and send their requests, whatever
 * the event loop of the main thread is doing, which may be to wait for just
 * that. When all connections are over, it tells how.
 */
import * as Net from "node:net"
import { parentPort, workerData } from "node:worker_threads"
import type { Member, Order } from "../support/crowd.ts"

const order: Order = workerData
const gathered = new Int32Array(order.gathered)
const port = parentPort!

const members: Array<Member> = []
let arriving = order.clients

const arrived = () => {
  if (--arriving > 0) return
  Atomics.store(gathered, 0, 1)
  Atomics.notify(gathered, 0)
}

const connect = () => {
  let text = ""
  let ended = false
  let failure: NodeJS.ErrnoException | undefined
  let sent = false
  const socket = Net.connect(order.target)
  const hasSent = () => {
    if (sent) return
    sent = true
    arrived()
  }
  socket.setEncoding("utf8")
  socket.on("connect", () => order.request === "" ? hasSent() : socket.write(order.request, hasSent))
  socket.on("data", (chunk) => text += chunk.toString())
  socket.on("end", () => ended = true)
  socket.on("error", (error) => failure = error)
  socket.on("close", () => {
    hasSent()
    members.push({ text, ending: failure?.code ?? (ended ? "FIN" : "destroyed") })
    if (members.length === order.clients) port.postMessage(members)
  })
}

port.once("message", () => {
  for (let i = 0; i < order.clients; i++) connect()
})
port.postMessage("ready")
