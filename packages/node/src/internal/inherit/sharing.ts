/**
 * The listening sockets of a program that can be handed over: which there are,
 * and that they are bound in a way that lets them be passed on.
 */
import { ListenerName } from "@effect-listener/core/Transport"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { BoundTo } from "./protocol.ts"

/** A listening socket of this program. */
export interface Shareable {
  /** The name the next process takes it by, and its place among those of that name. */
  readonly name: string
  readonly index: number
  readonly listener: string
  readonly fd: number
  readonly boundTo: BoundTo
}

export class Sharing {
  private readonly all = new Set<Shareable>()

  /** Those there are, in an order in which their indices hold. */
  get sockets(): ReadonlyArray<Shareable> {
    // a sort keeps the order of equals
    return Array.from(this.all).sort((one, other) => one.name === other.name ? one.index - other.index : 0)
  }

  /** A socket of the listener of the current bind, until the scope closes. */
  add(
    name: string,
    index: number | undefined,
    { boundTo, fd }: { readonly fd: number; readonly boundTo: BoundTo }
  ): Effect.Effect<void, never, Scope.Scope> {
    return Effect.flatMap(ListenerName, (listener) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const socket: Shareable = { name, index: index ?? 0, listener, fd, boundTo }
          this.all.add(socket)
          return socket
        }),
        (socket) => Effect.sync(() => this.all.delete(socket))
      ))
  }
}

/** That of the running program; `None` where it is not to be handed over, and binds as ever. */
export const CurrentSharing: Context.Reference<Option.Option<Sharing>> = Context.Reference(
  "@effect-listener/node/internal/CurrentSharing",
  { defaultValue: () => Option.none<Sharing>() }
)
