import type * as Net from "node:net"

/**
 * All that a socket has buffered. From Node 26 on `read()` gives one buffer of
 * several, and goes on reading only when it has given the last.
 */
export const readBuffered = (socket: Net.Socket): Buffer | null => {
  const { readableLength } = socket
  return readableLength === 0 ? socket.read() : socket.read(readableLength)
}
