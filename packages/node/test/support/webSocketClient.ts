/** WebSocket clients: those of `ws`, and one of bytes. */
import * as NodeWS from "@effect/platform-node/NodeWS"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Changes } from "./changes.ts"

export interface WebSocketClient {
  readonly socket: NodeWS.WebSocket
  readonly send: (message: string) => Effect.Effect<void>
  /** Waits for the next message. */
  readonly message: Effect.Effect<string, Error>
  /** Waits for the end: its code, and what came before it and was not asked for. */
  readonly closed: Effect.Effect<{ readonly code: number; readonly messages: ReadonlyArray<string> }>
}

/** Connects; the scope destroys the socket. Fails with the status of a refusal. */
export const connect = (
  url: string,
  options?: NodeWS.ClientOptions
): Effect.Effect<WebSocketClient, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new NodeWS.WebSocket(url, { rejectUnauthorized: false, ...options })),
      (socket) => Effect.sync(() => socket.terminate())
    )
    const messages: Array<string> = []
    let taken = 0
    let code: number | undefined
    const changes = new Changes()
    socket.on("message", (data: Buffer) => {
      messages.push(data.toString())
      changes.notify()
    })
    socket.on("error", () => {})
    socket.on("close", (by) => {
      code = by
      changes.notify()
    })
    yield* Effect.callback<void, Error>((resume) => {
      socket.once("open", () => resume(Effect.void))
      socket.once("unexpected-response", (_request, response) =>
        resume(Effect.fail(new Error(String(response.statusCode)))))
      socket.once("error", (error) =>
        resume(Effect.fail(error)))
    })
    return {
      socket,
      send: (message) =>
        Effect.sync(() => {
          socket.send(message)
        }),
      message: changes.until(() =>
        messages.length > taken
          ? Effect.succeed(messages[taken++]!)
          : code === undefined
          ? undefined
          : Effect.fail(new Error(`closed with ${code}`))
      ),
      closed: changes.until(() =>
        code === undefined ? undefined : Effect.succeed({ code, messages: messages.slice(taken) })
      )
    }
  })

/** The head of an upgrade, for a client of bytes. */
export const upgrade = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`
