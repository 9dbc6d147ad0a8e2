/**
 * A socket that is bound before a transport listens on it, and that other
 * processes may have as well.
 */
import { ListenerName, TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type * as Net from "node:net"
import * as Path from "node:path"
import { Gate } from "./gate.ts"
import { type Choice, inheritedSockets, type Wanted } from "./inheritedSockets.ts"
import type { BadVariable } from "./listenFds.ts"
import type { BoundTo } from "./protocol.ts"
import { CurrentSharing } from "./sharing.ts"

/** What the processes that share a socket seal TLS tickets with, where their supervisor has given them such keys. */
export const sharedTicketKeys = (inherit: Inherit | undefined): Effect.Effect<Buffer | undefined> =>
  inherit === undefined
    ? Effect.undefined
    : Effect.sync(() => {
      // a variable that cannot be believed is an error of the bind
      const keys = Result.getOrUndefined(inheritedSockets())?.holder?.ticketKeys
      return keys === undefined ? undefined : Buffer.from(keys, "hex")
    })

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
  readonly boundTo: BoundTo
  /** Other processes listen on it, which are told to stop when this one is: the workers of a supervisor. */
  readonly stopsWithOthers: boolean
  /** Listening waits for it. */
  readonly gate: Gate
  /** From here on closing it is the server's. */
  readonly listens: () => void
  readonly fails: (cause: unknown) => void
  /** Asked about each socket that is accepted, while this process proves that it accepts: whether it is its own. */
  readonly probing: ((socket: Net.Socket) => boolean) | undefined
  readonly close: () => void
}

/**
 * The socket a transport is to listen on in place of one that Node binds, until
 * the scope closes: the inherited one that it asks for; in a program that can be
 * handed over the one of its listener that it was handed, or else what `hold`
 * binds. Undefined where there is none and it need not be.
 */
export const acquireShared: (
  inherit: Inherit | undefined,
  wanted: Wanted,
  hold: Effect.Effect<Net.BoundSocket, TransportBindError, Scope.Scope>
) => Effect.Effect<SharedSocket | undefined, TransportBindError, Scope.Scope> = Effect.fnUntraced(
  function*(inherit, wanted, hold) {
    const sharing = Option.getOrUndefined(yield* CurrentSharing)
    if (inherit === undefined && sharing === undefined) return undefined
    const choice = inherit === undefined ? undefined : yield* checkChoice(inherit)
    const sockets = yield* Effect.fromResult(Result.mapError(inheritedSockets(), badVariable))
    const listener = yield* ListenerName
    const inherited = yield* Effect.acquireRelease(
      Effect.fromResult(choice === undefined ? sockets.takeFor(listener, wanted) : sockets.take(choice, wanted)),
      (socket) => Effect.sync(() => socket?.close())
    )
    const shared = inherited ??
      (sharing === undefined ? undefined : yield* Effect.acquireRelease(
        Effect.map(hold, (bound) => new HeldSocket(bound, wanted)),
        (held) => Effect.sync(() => held.close())
      ))
    if (sharing !== undefined && shared !== undefined) {
      yield* sharing.add(choice?.name ?? listener, choice?.index, shared)
    }
    return shared
  }
)

/** The first of a program's lives: it binds the socket that the next one inherits. */
class HeldSocket implements SharedSocket {
  readonly fd: number
  readonly handle: Net.BoundSocket
  readonly boundTo: BoundTo
  readonly stopsWithOthers = false
  readonly gate = new Gate(true)
  readonly probing = undefined
  private adopted = false

  constructor(bound: Net.BoundSocket, wanted: Wanted) {
    this.handle = bound
    this.fd = bound.fd()
    if (wanted.kind === "unix") this.boundTo = { kind: "unix", path: Path.resolve(wanted.path), ownsFile: true }
    else {
      const { address, port } = bound.address()
      this.boundTo = { kind: "tcp", host: address, port }
    }
  }

  listens(): void {
    this.adopted = true
  }

  fails(): void {}

  close(): void {
    // a server that has listened has closed it
    if (!this.adopted) this.handle.close()
  }
}

/** A variable that cannot be believed, as an error of a bind. */
const badVariable = (bad: BadVariable): TransportBindError => TransportBindError.InvalidArgument(bad)

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

/** Makes a server listen on a socket that is there already. */
export const listenOn = (server: Net.Server, socket: SharedSocket, backlog: number): void => {
  // the backlog in the options is ignored for a descriptor, and Node's default would be set on the socket for good
  server.listen(socket.handle, backlog)
}
