/**
 * Datagrams at a rate, whatever becomes of them: `node datagramRate.ts <port>
 * <per second> <bytes> <ms>` prints how many were sent and how many of them were
 * answered. Every millisecond those are sent that are due.
 */
import * as Dgram from "node:dgram"

const [port, rate, bytes, millis] = process.argv.slice(2).map(Number) as [number, number, number, number]
const payload = Buffer.alloc(bytes, "x")

/** How long the last answers may take, in milliseconds. */
const patience = 300

const socket = Dgram.createSocket({ type: "udp4", recvBufferSize: 1 << 20 })
let sent = 0
let answered = 0
socket.on("message", () => answered++)
socket.connect(port, "127.0.0.1", () => {
  const start = performance.now()
  const tick = (): void => {
    const now = performance.now() - start
    if (now > millis) return void setTimeout(finish, patience)
    for (; sent < now / 1000 * rate; sent++) socket.send(payload)
    setTimeout(tick, 1)
  }
  tick()
})
const finish = (): void => {
  console.log(JSON.stringify({ sent, answered }))
  process.exit(0)
}
