import * as Socket from "effect/socket/Socket"

/** What pulls fail with when a listener has ended reading. */
export const closeError = (reason: string): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1001, closeReason: reason }) })

/** The connection is gone without a word. */
export const lostError = (): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1006 }) })

export const openError = (cause: unknown): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause }) })
