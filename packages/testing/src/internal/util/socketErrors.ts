import * as Socket from "effect/socket/Socket"

export const closeError = (code: number): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })

export const resetError = (message: string): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketReadError({ cause: systemError("ECONNRESET", message) }) })

/** A system error with its name in `code`, as Node's are. */
const systemError = (code: string, message: string): Error => Object.assign(new Error(message), { code })

export const writeError = (): Socket.SocketError =>
  new Socket.SocketError({
    reason: new Socket.SocketWriteError({ cause: systemError("EPIPE", "the connection takes no more bytes") })
  })
