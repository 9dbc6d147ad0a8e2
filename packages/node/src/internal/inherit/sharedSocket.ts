/**
 * A socket that is bound before a transport listens on it, and that other
 * processes may have as well.
 */
import { TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import type * as Net from "node:net"
import type { Gate } from "./gate.ts"
import type { Choice, Wanted } from "./inheritedSockets.ts"
import type { BadVariable } from "./listenFds.ts"

/** How a transport names the inherited socket it takes. */
export type Inherit = string | {
  readonly name: string
  readonly index?: number | undefined
  readonly required?: boolean | undefined
}

export interface SharedSocket {
  readonly fd: number
  /** What `net.Server.listen` takes for it. */
  readonly handle: unknown
  /** Where a TCP socket is bound. */
  readonly address: { readonly address: string; readonly port: number } | undefined
  /** Who removes the file of a Unix socket. */
  readonly ownsFile: boolean
  /** Listening waits for it. */
  readonly gate: Gate
  /** From here on closing it is the server's. */
  readonly listens: () => void
  readonly fails: (cause: unknown) => void
}

/**
 * The inherited socket a transport asks for, until the scope closes; undefined
 * where there is none and it need not be.
 */
export const acquireShared = (
  inherit: Inherit | undefined,
  wanted: Wanted
): Effect.Effect<SharedSocket | undefined, TransportBindError, Scope.Scope> =>
  inherit === undefined
    ? Effect.undefined
    : Effect.acquireRelease(
      Effect.gen(function*() {
        const choice = yield* checkChoice(inherit)
        const { inheritedSockets } = yield* Effect.promise(() => import("./inheritedSockets.ts"))
        const sockets = yield* Effect.fromResult(Result.mapError(inheritedSockets(), badVariable))
        const socket = yield* Effect.fromResult(sockets.take(choice, wanted))
        if (socket === undefined) return undefined
        const { boundTo, descriptor, fd } = socket
        let listened = false
        return {
          fd,
          handle: descriptor.kind === "tcp" ? descriptor.opened : { fd },
          address: descriptor.kind === "tcp" ? { address: descriptor.host, port: descriptor.port } : undefined,
          ownsFile: boundTo?.kind === "unix" && boundTo.ownsFile,
          gate: sockets.gate,
          listens: () => {
            listened = true
            sockets.listens(socket)
          },
          fails: (cause: unknown) => sockets.fails(socket, cause),
          close: () => {
            // a server that has listened has closed it
            if (!listened) {
              if (descriptor.kind === "tcp") descriptor.opened.destroy()
              else Fs.closeSync(fd)
            }
            sockets.closed(socket)
          }
        }
      }),
      (socket) => Effect.sync(() => socket?.close())
    )

/** A variable that cannot be believed, as an error of a bind. */
export const badVariable = (bad: BadVariable): TransportBindError => TransportBindError.InvalidArgument(bad)

const checkChoice = (inherit: Inherit): Effect.Effect<Choice, TransportBindError> => {
  const choice = typeof inherit === "string" ? { name: inherit } : inherit
  const { index, name } = choice
  if (typeof name !== "string" || name === "") {
    return Effect.fail(invalid("inherit", "expected the name of an inherited socket"))
  }
  return index === undefined || (Number.isInteger(index) && index >= 0)
    ? Effect.succeed(choice)
    : Effect.fail(invalid("inherit.index", `expected an integer of at least 0, got ${index}`))
}

const invalid = (parameter: string, detail: string): TransportBindError =>
  TransportBindError.InvalidArgument({ parameter, detail })

/** Whether it is listening that a server does, on a socket that is there already. */
export const listenOn = (server: Net.Server, socket: SharedSocket, backlog: number): void => {
  // the backlog in the options is ignored for a descriptor, and Node's default would be set on the socket for good
  server.listen(socket.handle, backlog)
}
