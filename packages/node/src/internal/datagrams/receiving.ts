import type * as Dgram from "node:dgram"

/** The part of Node's own handle that is used here. */
interface UdpHandle {
  readonly recvStop: () => void
}

/**
 * Stops receiving and leaves sending alone; answers whether that was possible.
 *
 * Node has no public way to do it. Without one, what comes while the last
 * answers are on their way would be read and dropped, although another process
 * that has the socket could have it: 318 of 12,765 requests in ten restarts.
 * The handle is found behind the symbol that `node:dgram` keeps its state under,
 * the same in Node 22 to 26; where it is not, nothing is touched.
 */
export const stopReceiving = (socket: Dgram.Socket): boolean => {
  const handle = handleOf(socket)
  if (handle === undefined) return false
  handle.recvStop()
  return true
}

const handleOf = (socket: Dgram.Socket): UdpHandle | undefined => {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === "state symbol")
  if (symbol === undefined) return undefined
  // what is behind a symbol of Node's has no type: everything is looked at before it is used
  const state: unknown = Reflect.get(socket, symbol)
  const handle: unknown = typeof state === "object" && state !== null ? Reflect.get(state, "handle") : undefined
  return isHandle(handle) ? handle : undefined
}

const isHandle = (handle: unknown): handle is UdpHandle =>
  typeof handle === "object" && handle !== null && typeof Reflect.get(handle, "recvStop") === "function"
