/**
 * How the ends of a Node socket read as Effect's `SocketError`.
 */
import * as Socket from "effect/socket/Socket"

export const closeError = (code: number, closeReason?: string): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code, closeReason }) })

export const readError = (cause: Error): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketReadError({ cause }) })

export const writeError = (cause: unknown): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause }) })

export const openError = (cause: unknown): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause }) })

const once = <A>(make: () => A): () => A => {
  let made: A | undefined
  return () => made ??= make()
}

/**
 * The two ends that need no words of their own, made once: an Error takes
 * longer to make than a connection to accept, and all of that is for the stack
 * of an event handler. Not before they are needed: the first of them takes as
 * long as to load ten modules.
 */
export const endedByPeer = once(() => closeError(1000))
export const notOpen = once(() => closeError(1006))
