/**
 * `node:http` alone, closed as gently as a listener is: every idle socket is
 * ended and waits for its client to end its side, where `server.close()` would
 * destroy it. What waiting for so many clients takes.
 */
import type * as Http from "node:http"
import * as Net from "node:net"
import { nodeServer } from "../../support/httpServers.ts"

const server = nodeServer("http") as Http.Server
const sockets = new Set<Net.Socket>()
/** `http.Server` ends its side once more when the client ends: an error that nobody sees, and takes 10 µs to make. */
const endOnce: Net.Socket["end"] = function(this: Net.Socket, ...args: [never]) {
  return this.writableEnded ? this : Net.Socket.prototype.end.apply(this, args)
}
server.on("connection", (socket) => {
  sockets.add(socket)
  socket.end = endOnce
  socket.once("close", () => sockets.delete(socket))
})
process.once("SIGTERM", () => {
  // `http.Server` has its own, which destroys what is idle
  Net.Server.prototype.close.call(server)
  for (const socket of sockets) socket.end()
})
