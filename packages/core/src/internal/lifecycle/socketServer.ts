/**
 * Effect's `SocketServer` over a listener.
 */
import * as Effect from "effect/Effect"
import * as SocketServer from "effect/socket/SocketServer"
import type { InvalidOperation } from "../../ListenerError.ts"
import type { SocketServeOptions } from "../options/listenerOptions.ts"
import type { ListenerImpl } from "./listener.ts"

export const makeSocketServer = (
  listener: ListenerImpl,
  options: SocketServeOptions | undefined
): Effect.Effect<SocketServer.SocketServer["Service"], InvalidOperation> =>
  Effect.map(listener.address, (address) =>
    SocketServer.SocketServer.of({
      address,
      run: (handler) =>
        listener.serveHandler((connection) => handler(connection.socket), options).pipe(
          Effect.mapError((cause) =>
            new SocketServer.SocketServerError({ reason: new SocketServer.SocketServerUnknownError({ cause }) })
          ),
          Effect.andThen(Effect.never)
        )
    }))

/** What a listener fails with that could not be opened, in Effect's words. */
export const openError = (cause: unknown): SocketServer.SocketServerError =>
  new SocketServer.SocketServerError({ reason: new SocketServer.SocketServerOpenError({ cause }) })
