/**
 * HTTP requests on one connection, all sent without waiting for answers: `node
 * pipeline.ts <port> <requests>` prints how many were answered.
 */
import * as Net from "node:net"

const [port, count] = process.argv.slice(2).map(Number) as [number, number]
const some = 1000
const requests = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(some)
const statusLine = "HTTP/1.1 200 OK\r\n"
let sent = 0
let answered = 0
/** The end of what came, where a status line may have begun. */
let rest = ""

const start = performance.now()
const socket = Net.connect({ port, host: "127.0.0.1" }, () => send())

const send = (): void => {
  while (sent < count) {
    sent += some
    if (!socket.write(requests)) return void socket.once("drain", send)
  }
}

socket.on("data", (chunk) => {
  const parts = (rest + chunk.toString("latin1")).split(statusLine)
  answered += parts.length - 1
  rest = parts.at(-1)!.slice(1 - statusLine.length)
  if (answered < count) return
  const perSecond = answered / (performance.now() - start) * 1000
  console.log(JSON.stringify({ operations: answered, perSecond, failed: 0 }))
  process.exit(0)
})
socket.on("end", () => {
  throw new Error(`${answered} of ${count} requests were answered`)
})
