import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Socket from "effect/socket/Socket"
import * as Foreign from "../util/foreign.ts"
import { closeError, openError } from "../util/socketErrors.ts"
import type { ConnectionImpl } from "./connection.ts"

/** The socket that a handler is given: its connection sees every pull and every write. */
export const watchedSocket = (connection: ConnectionImpl): Socket.Socket => {
  const socket = Foreign.call(connection, "socket", socketOf, undefined)
  if (socket === undefined) return Socket.make({ reader: unusable, writer: unusableWriter })
  if (Foreign.call(connection, "watchPulls", tellsOfPulls, true)) return socket
  const counting = connection.fast === undefined
  return Socket.make({
    reader: Effect.map(
      Effect.suspend(() => Foreign.callEffect(connection, "reader", () => socket.reader, unusable)),
      (reader) => ({
        upgrade: (options) => Foreign.callEffect(connection, "upgrade", () => reader.upgrade(options), unusable),
        pull: watchPull(connection, Foreign.callEffect(connection, "pull", () => reader.pull, unusable))
      })
    ),
    writer: Effect.map(
      Effect.suspend(() => Foreign.callEffect(connection, "writer", () => socket.writer, unusableWriter)),
      (writer) => watchWrites(connection, writer, counting)
    )
  })
}

const socketOf = ({ transport }: ConnectionImpl): Socket.Socket => transport.socket

/** What is done on a connection whose transport has thrown; the log has what it threw. */
const unusable = Effect.suspend(() => Effect.fail(openError(new Error("its transport has thrown"))))

const unusableWriter: Socket.Socket["writer"] = Effect.succeed({ write: () => unusable, writeAll: () => unusable })

/** Whether its transport tells of pulls itself, from now on. */
const tellsOfPulls = (connection: ConnectionImpl): boolean => {
  const { fast } = connection
  if (fast?.watchPulls === undefined) return false
  fast.watchPulls(connection)
  return true
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
    return Foreign.callEffect(connection, "write", () => writer.write(chunk), unusable)
  },
  writeAll: (chunks) => {
    if (counting) { for (const chunk of chunks) connection.sent += size(chunk) }
    connection.waitsForRoom()
    return Foreign.callEffect(connection, "writeAll", () => writer.writeAll(chunks), unusable)
  }
})

const utf8 = new TextEncoder()

const size = (frame: Uint8Array | string): number =>
  typeof frame === "string" ? utf8.encode(frame).length : frame.length
