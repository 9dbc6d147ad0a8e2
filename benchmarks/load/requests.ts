/**
 * HTTP GET requests where there is no wrk: `node requests.ts <port>
 * <connections> <close | keep-alive> <ms>` prints how many were answered.
 */
import * as Net from "node:net"
import { report } from "../support/answers.ts"

const [port, connections, mode, millis] = process.argv.slice(2)
const close = mode === "close"
const request = `GET / HTTP/1.1\r\nHost: localhost\r\n${close ? "Connection: close\r\n" : ""}\r\n`
let answered = 0
let failed = 0

const connect = (): void => {
  const socket = Net.connect({ port: Number(port), host: "127.0.0.1" }, () => socket.write(request))
  let text = ""
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1")
    const head = text.indexOf("\r\n\r\n")
    if (head < 0) return
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
    if (text.length < head + 4 + length) return
    text = ""
    answered++
    if (close) socket.end()
    else socket.write(request)
  })
  socket.on("error", () => failed++)
  socket.on("close", connect)
}

report(Number(millis), () => ({ answered, failed }))
for (let i = 0; i < Number(connections); i++) connect()
