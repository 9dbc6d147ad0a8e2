/**
 * Listening sockets that this process was started with: by systemd's socket
 * activation, by another launcher that passes them the same way, by a
 * supervisor, or by the process it takes over from.
 *
 * A transport takes one by its name, with the option `inherit`; no client
 * is refused meanwhile, because the socket was there before the process and stays
 * when it goes. The descriptors are checked when they are first asked for, and
 * the variables that name them are unset then, so that no child believes them.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as ListenerError from "@effect-listener/core/ListenerError"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { inheritedSockets } from "./internal/inherit/inheritedSockets.ts"
import type * as sharedSocket from "./internal/inherit/sharedSocket.ts"

/**
 * A socket this process was started with.
 *
 * **Details**
 *
 * - `name`: as the one that passed it calls it (`FileDescriptorName=` of a unit
 *   of systemd, the key in `sockets` of `NodeWorkers`, the listener's name at a
 *   hand-over).
 * - `index`: its place among those of the same name, from 0.
 * - `fd`: the number of its descriptor.
 * - `from`: what passed it; `"systemd"` is any process that sets `LISTEN_FDS`.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface InheritedSocket {
  readonly name: string
  readonly index: number
  readonly fd: number
  readonly from: "systemd" | "supervisor" | "predecessor"
}

/**
 * Which inherited socket a transport takes: its name, or more.
 *
 * **Details**
 *
 * - `index`: which of those that have the name, from 0. Where several have it,
 *   it has to be said.
 * - `required`: without such a socket the bind fails with
 *   `AddressNotAvailable`. Default `false`: the transport binds by itself then,
 *   so that a program can be started by hand as well.
 *
 * A socket of another kind, port, path or family than the transport's other
 * options say fails the bind with `InvalidArgument`, which names both; port 0
 * and no host agree with any. One that was taken already fails it with
 * `AddressInUse`. On Windows, and in a worker of `node:cluster`, it fails with
 * `NotSupported`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export type Inherit = sharedSocket.Inherit

/**
 * The sockets this process was started with, taken or not, in the order of
 * their descriptors; none for a process that was started in the usual way.
 *
 * **Details**
 *
 * Fails with `InvalidArgument` when a variable cannot be believed (`LISTEN_FDS`
 * is no number, `LISTEN_PID` names another process, there are more or fewer
 * names than sockets), or when a descriptor is closed, a file, a pipe, or a
 * connected socket: the error names it. Every transport with `inherit` fails its
 * bind in the same way then.
 *
 * **Example** (What a process was started with)
 *
 * ```ts
 * import { NodeInherit } from "@effect-listener/node"
 * import { Effect } from "effect"
 *
 * const names = Effect.map(NodeInherit.sockets, (sockets) => sockets.map((socket) => socket.name).join(", "))
 *
 * console.log(JSON.stringify(await Effect.runPromise(names))) // => ""
 * ```
 *
 * @stability experimental
 * @category getters
 * @since 0.1.0
 */
export const sockets: Effect.Effect<ReadonlyArray<InheritedSocket>, ListenerError.InvalidArgument> = Effect.suspend(
  () => {
    const inherited = inheritedSockets()
    return Result.isSuccess(inherited)
      ? Effect.succeed(inherited.success.sockets.map(({ fd, from, index, name }) => ({ name, index, fd, from })))
      : Effect.fail(
        new ListenerError.InvalidArgument({ operation: "inherit", listener: "all", trail: [], ...inherited.failure })
      )
  }
)
