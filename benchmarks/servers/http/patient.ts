/**
 * `node:http` alone, closed as gently as a listener is: every idle socket is
 * ended and waits for its client to end its side, where `server.close()` would
 * destroy it. What waiting for so many clients takes at least: it decides
 * nothing, bounds nothing and tells nothing, and does what is fastest on Node:
 * it ends some at a time, so that the first are gone before the last are told,
 * and destroys a socket as soon as its client has ended.
 */
import type * as Http from "node:http"
import * as Net from "node:net"
import { nodeServer } from "../../support/httpServers.ts"

const server = nodeServer("http") as Http.Server
const sockets = new Set<Net.Socket>()
/** `http.Server` ends its side once more when the client ends: an error that is shown nowhere, and takes 10 µs to make. */
const endOnce: Net.Socket["end"] = function(this: Net.Socket, ...args: [never]) {
  return this.writableEnded ? this : Net.Socket.prototype.end.apply(this, args)
}
/** Both have ended: Node would call all listeners before it destroys the socket. */
const releaseAtEnd: Net.Socket["push"] = function(this: Net.Socket, chunk: unknown, encoding?: BufferEncoding) {
  if (chunk !== null || !this.writableFinished) return Net.Socket.prototype.push.call(this, chunk, encoding)
  this.destroy()
  return false
}
server.on("connection", (socket) => {
  sockets.add(socket)
  socket.end = endOnce
  socket.push = releaseAtEnd
  socket.once("close", () => sockets.delete(socket))
})
process.once("SIGTERM", () => {
  // `http.Server` has its own, which destroys what is idle
  Net.Server.prototype.close.call(server)
  const all = Array.from(sockets)
  let next = 0
  const endSome = (): void => {
    const some = all.slice(next, next + 256)
    for (const socket of some) socket.end()
    next += some.length
    if (some.length > 0) setImmediate(endSome)
  }
  endSome()
})
