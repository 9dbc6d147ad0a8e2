/**
 * A client that keeps connections busy: each sends a message, and the next one
 * when the answer has come. `node messages.ts <port> <connections> <bytes> <ms>`
 * prints how many messages were answered.
 */
import * as Net from "node:net"
import { report } from "../support/answers.ts"

const [port, connections, bytes, millis] = process.argv.slice(2).map(Number) as [number, number, number, number]
const message = Buffer.alloc(bytes, "x")
let answered = 0
let failed = 0

const connect = () =>
  new Promise<Net.Socket>((resolve, reject) => {
    const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true }, () => resolve(socket))
    socket.on("error", (cause) => {
      failed++
      reject(cause)
    })
  })

const sockets = await Promise.all(Array.from({ length: connections }, connect))
report(millis, () => ({ answered, failed }))
for (const socket of sockets) {
  let missing = bytes
  socket.on("data", (chunk) => {
    missing -= chunk.length
    if (missing > 0) return
    answered++
    missing = bytes
    socket.write(message)
  })
  socket.write(message)
}
