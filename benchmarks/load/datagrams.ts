/**
 * A client that keeps datagrams on their way: for each that comes back the next
 * is sent. `node datagrams.ts <port> <at once> <bytes> <ms>` prints how many were
 * answered.
 */
import * as Dgram from "node:dgram"
import { report } from "../support/answers.ts"

const [port, atOnce, bytes, millis] = process.argv.slice(2).map(Number) as [number, number, number, number]
const payload = Buffer.alloc(bytes, "x")
let answered = 0
let seen = 0

const socket = Dgram.createSocket({ type: "udp4", recvBufferSize: 1 << 20 })
const begin = (): void => {
  for (let i = 0; i < atOnce; i++) socket.send(payload)
}
socket.on("message", () => {
  answered++
  socket.send(payload)
})
socket.connect(port, "127.0.0.1", () => {
  report(millis, () => ({ answered, failed: 0 }))
  begin()
  // what was lost comes back never: without any answer for so long, all over again
  setInterval(() => {
    if (answered === seen) begin()
    seen = answered
  }, 100)
})
