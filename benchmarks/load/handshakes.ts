/**
 * New TLS connections, one request on each: `node handshakes.ts <port>
 * <connections at a time> <ms>`. No session is taken up again.
 */
import * as Tls from "node:tls"

const [port, connections, millis] = process.argv.slice(2).map(Number) as [number, number, number]
const request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
let answered = 0
let failed = 0
let over = false

// the server's certificate is of its own making
const context = Tls.createSecureContext()
const connect = (): void => {
  let text = ""
  const socket = Tls.connect(
    { port, host: "127.0.0.1", rejectUnauthorized: false, secureContext: context },
    () => socket.write(request)
  )
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1")
  })
  socket.on("end", () => {
    if (text.endsWith("\r\n\r\nok")) answered++
    else failed++
  })
  socket.on("error", () => failed++)
  socket.on("close", () => {
    if (!over) connect()
  })
}

const start = performance.now()
for (let i = 0; i < connections; i++) connect()
setTimeout(() => {
  over = true
  console.log(
    JSON.stringify({ operations: answered, perSecond: answered / (performance.now() - start) * 1000, failed })
  )
  process.exit(0)
}, millis)
