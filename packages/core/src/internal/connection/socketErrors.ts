import * as Socket from "effect/socket/Socket"

/** What pulls fail with when a listener has ended reading. */
export const closeError = (reason: string): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1001, closeReason: reason }) })
