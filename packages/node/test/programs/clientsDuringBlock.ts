/**
 * A worker: when told to, its clients send their requests, whatever the event
 * loop of the main thread is doing, which may be to wait for just that. Those
 * without a greeting connect only then. When all connections are over, it tells
 * how.
 */
import * as Net from "node:net"
import { parentPort, workerData } from "node:worker_threads"
import type { Member, Order } from "../support/clientsDuringBlock.ts"

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
  const request = () => order.request === "" ? hasSent() : socket.write(order.request, hasSent)
  socket.setEncoding("utf8")
  socket.on("connect", () => order.greeting === undefined ? request() : socket.write(order.greeting))
  socket.on("data", (chunk) => {
    text += chunk.toString()
    // greetings are answered with themselves
    if (text !== order.greeting || sent) return
    text = ""
    waiting.push(request)
    if (waiting.length === order.clients) port.postMessage("ready")
  })
  socket.on("end", () => ended = true)
  socket.on("error", (error) => failure = error)
  socket.on("close", () => {
    hasSent()
    members.push({ text, ending: failure?.code ?? (ended ? "FIN" : "destroyed") })
    if (members.length === order.clients) port.postMessage(members)
  })
}

const connectAll = () => {
  for (let i = 0; i < order.clients; i++) connect()
}

/** Clients that have been greeted and now wait for their moment. */
const waiting: Array<() => void> = []

if (order.greeting === undefined) port.postMessage("ready")
else connectAll()

port.once("message", () => {
  if (order.greeting === undefined) connectAll()
  else for (const request of waiting) request()
})
