import * as Socket from "effect/socket/Socket"

/** What a pull fails with whose reading a listener has ended. */
export const closeError = (reason: string): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1001, closeReason: reason }) })
