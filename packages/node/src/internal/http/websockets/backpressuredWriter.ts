import type * as NodeWS from "@effect/platform-node/NodeWS"
import * as Effect from "effect/Effect"
import * as Socket from "effect/socket/Socket"
import { writeError } from "../../platform/socketErrors.ts"

/** Bytes of a WebSocket that its peer has not taken, from which on writes wait. */
const highWaterMark = 64 * 1024

/** A writer that waits when its peer does not take what was written. */
export const backpressuredWriter = (
  writer: Socket.Writer,
  webSocket: () => NodeWS.WebSocket | undefined
): Socket.Writer => {
  const send = (socket: NodeWS.WebSocket, chunk: Uint8Array | string): Effect.Effect<void, Socket.SocketError> => {
    if (socket.readyState !== socket.OPEN) return Effect.fail(writeError(new Error("the WebSocket is closed")))
    return socket.bufferedAmount < highWaterMark
      ? Effect.sync(() => socket.send(chunk))
      : Effect.callback((resume) => {
        socket.send(chunk, (error) => resume(error ? Effect.fail(writeError(error)) : Effect.void))
      })
  }
  return {
    write: (chunk) =>
      Effect.suspend(() => {
        const socket = webSocket()
        // Effect's own waits for the handshake, and closes
        return socket === undefined || Socket.isCloseEvent(chunk) ? writer.write(chunk) : send(socket, chunk)
      }),
    writeAll: (chunks) =>
      Effect.suspend(() => {
        const socket = webSocket()
        return socket === undefined
          ? writer.writeAll(chunks)
          : Effect.forEach(chunks, (chunk) => send(socket, chunk), { discard: true })
      })
  }
}
