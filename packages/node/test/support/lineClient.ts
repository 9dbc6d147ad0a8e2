/** A client that sends text and reads lines over a real socket. */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"

export interface LineClient {
  readonly send: (text: string) => Effect.Effect<void, Socket.SocketError>
  /** The next line, without its end. */
  readonly line: Effect.Effect<string, Socket.SocketError>
  /** Reads on until the connection ends: the lines left, and how it ended. */
  readonly rest: Effect.Effect<{ readonly lines: ReadonlyArray<string>; readonly end: "FIN" | "reset" }>
}

export const connect = (port: number): Effect.Effect<LineClient, Socket.SocketError, Scope.Scope> =>
  Effect.gen(function*() {
    const socket = yield* NodeSocket.makeNet({ host: "127.0.0.1", port })
    const pull = yield* Socket.readerString(socket)
    const { write } = yield* socket.writer
    let text = ""
    const line = Effect.gen(function*() {
      while (!text.includes("\n")) text += (yield* pull).join("")
      const at = text.indexOf("\n")
      const first = text.slice(0, at)
      text = text.slice(at + 1)
      return first
    })
    const rest = Effect.gen(function*() {
      const lines: Array<string> = []
      while (true) {
        const next = yield* Effect.result(line)
        if (next._tag === "Success") {
          lines.push(next.success)
          continue
        }
        const { reason } = next.failure
        const fin = reason._tag === "SocketCloseError" && reason.code === 1000
        return { lines, end: fin ? "FIN" as const : "reset" as const }
      }
    })
    return { send: write, line, rest }
  })
