/** The same limit and echo on `node:net` alone: what the platform itself costs. */
import * as Net from "node:net"
import { answer } from "./child.ts"

const server = Net.createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => {})
  socket.pipe(socket)
})
server.maxConnections = Number(process.argv[2])
answer(() => ({}))
server.listen({ host: "127.0.0.1", port: 0, backlog: 511 }, () => {
  const address = server.address()
  process.send!({ port: typeof address === "object" ? address?.port : 0 })
})
