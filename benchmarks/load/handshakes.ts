/**
 * New TLS connections, one request on each: `node handshakes.ts <port>
 * <connections at a time> <ms>`. No session is taken up again.
 */
import * as Tls from "node:tls"
import { report } from "../support/answers.ts"

const [port, connections, millis] = process.argv.slice(2).map(Number) as [number, number, number]
const request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
let answered = 0
let failed = 0

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
  socket.on("close", connect)
}

report(millis, () => ({ answered, failed }))
for (let i = 0; i < connections; i++) connect()
