/**
 * The demo's server on bare `node:net`, closed as most programs close it:
 * `server.close()` on SIGTERM.
 */
import * as Net from "node:net"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { block, body, lineSplitter, parse } from "./protocol.ts"

const answer = async (line: string, socket: Net.Socket): Promise<void> => {
  const request = parse(line)
  switch (request.verb) {
    case "echo":
      socket.write(`${request.text}\n`)
      return
    case "sleep":
      setTimeout(() => socket.write(`slept ${request.amount}\n`), request.amount)
      return
    case "bytes":
      return pipeline(Readable.from(body(request.amount)), socket, { end: false })
    case "block":
      block(request.amount)
      socket.write("blocked\n")
      return
    case "never":
      return
  }
}

const server = Net.createServer((socket) => {
  const lines = lineSplitter()
  socket.setEncoding("utf8")
  socket.on("error", () => socket.destroy())
  socket.on("data", (text: string) => {
    for (const line of lines(text)) answer(line, socket).catch(() => socket.destroy())
  })
})

server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ event: "open", ...server.address() as Net.AddressInfo }))
})

process.on("SIGTERM", () => server.close())
