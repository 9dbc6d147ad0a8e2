import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Socket from "effect/socket/Socket"
import { closeError } from "../util/socketErrors.ts"
import type { ConnectionImpl } from "./connection.ts"

/** The socket that a handler is given: its connection sees every pull and every write. */
export const watchedSocket = (connection: ConnectionImpl): Socket.Socket => {
  const { fast, transport: { socket } } = connection
  if (fast?.watchPulls !== undefined) {
    fast.watchPulls(connection)
    return socket
  }
  const counting = fast === undefined
  return Socket.make({
    reader: Effect.map(socket.reader, (reader) => ({ ...reader, pull: watchPull(connection, reader.pull) })),
    writer: Effect.map(socket.writer, (writer) => watchWrites(connection, writer, counting))
  })
}

const watchPull = (connection: ConnectionImpl, pull: Socket.Reader["pull"]): Socket.Reader["pull"] => {
  const watched = Effect.onExit(pull, (exit) => {
    connection.pulls(connection.pulling - 1)
    if (Exit.isSuccess(exit)) { for (const frame of exit.value) connection.received += size(frame) }
    return Effect.void
  })
  return Effect.suspend(() => {
    connection.pulls(connection.pulling + 1)
    if (!connection.readingEnded) return watched
    connection.pulling--
    return Effect.fail(closeError("draining"))
  })
}

const watchWrites = (connection: ConnectionImpl, writer: Socket.Writer, counting: boolean): Socket.Writer => ({
  write: (chunk) => {
    if (counting && !Socket.isCloseEvent(chunk)) connection.sent += size(chunk)
    connection.waitsForRoom()
    return writer.write(chunk)
  },
  writeAll: (chunks) => {
    if (counting) { for (const chunk of chunks) connection.sent += size(chunk) }
    connection.waitsForRoom()
    return writer.writeAll(chunks)
  }
})

const utf8 = new TextEncoder()

const size = (frame: Uint8Array | string): number =>
  typeof frame === "string" ? utf8.encode(frame).length : frame.length
