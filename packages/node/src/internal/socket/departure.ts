/**
 * Noticing that the peer of a socket has gone, while nothing is read from it.
 */
import * as Net from "node:net"

/** How `onPush`, one function for all sockets, finds what it calls. */
const endedOf: unique symbol = Symbol("@effect-listener/node/endedOf")

interface WatchedSocket extends Net.Socket {
  [endedOf]?: (() => void) | undefined
}

/**
 * Calls `gone` when the peer has reset the connection or, unless `halfOpen`, has
 * ended its side. The kernel says either only to those that read: so the socket
 * is read ahead, into its own buffer and up to that buffer's limit, where the
 * bytes are for the next reader to take. The result takes it back.
 */
export const watchDeparture = (socket: Net.Socket, halfOpen: boolean, gone: () => void): () => void => {
  const watched: WatchedSocket = socket
  const stop = () => {
    socket.off("close", departed)
    if (Object.hasOwn(watched, endedOf)) {
      delete watched[endedOf]
      Reflect.deleteProperty(watched, "push")
    }
  }
  const departed = () => {
    stop()
    gone()
  }
  if (socket.destroyed) {
    gone()
    return stop
  }
  socket.on("close", departed)
  if (!halfOpen) {
    watched.push = onPush
    watched[endedOf] = departed
  }
  socket.read(0)
  return stop
}

/** Node pushes what it reads into the socket's stream, and `null` when the peer has ended its side. */
function onPush(this: WatchedSocket, chunk: unknown, encoding?: BufferEncoding): boolean {
  const more = Net.Socket.prototype.push.call(this, chunk, encoding)
  if (chunk === null) this[endedOf]?.()
  return more
}
