/**
 * Unix sockets as a transport of listeners; on Windows, named pipes.
 *
 * @stability experimental
 * @since 0.1.0
 */
import { type Transport, TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Fs from "node:fs"
import type * as Net from "node:net"
import * as Path from "node:path"
import { checkBacklog, checkInteger, checkText, defaultBacklog, invalid } from "./internal/listen/checks.ts"
import { bindError, errorCode } from "./internal/listen/errno.ts"
import { bind, type NetBinding } from "./internal/listen/netListener.ts"
import { longestPath, privatePath, publish } from "./internal/listen/unixPath.ts"
import { LingerTimer } from "./internal/socket/lingerTimer.ts"
import { NetConnection } from "./internal/socket/netConnection.ts"
import { PollPhase } from "./internal/socket/pollPhase.ts"

/**
 * Where to listen, and who may connect.
 *
 * **Details**
 *
 * An option that cannot be used makes `bind` fail with `InvalidArgument`;
 * nothing throws.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface TransportOptions {
  /**
   * The socket's file: at most 107 bytes on Linux, 103 on macOS and the BSDs,
   * without NUL (no abstract sockets). On Windows a name that begins with
   * `\\.\pipe\` or `\\?\pipe\`.
   */
  readonly path: string
  /**
   * The permissions of the file, 0 to 0o777: connecting takes write permission.
   * Default: what the process' umask leaves of 0o777. Not supported on Windows.
   */
  readonly mode?: number | undefined
  /**
   * How many connections may wait to be accepted, at least 1: so many in the
   * kernel, where `net.core.somaxconn` bounds it too, and so many again in the
   * queue that `accept` takes from. Those beyond are ended with a FIN.
   * Default: 511.
   */
  readonly backlog?: number | undefined
}

/**
 * A Unix socket at a path.
 *
 * **Details**
 *
 * - A socket file on which nobody listens, left behind by a process that was
 *   killed, is replaced. Where somebody listens, or where there is anything
 *   else, `bind` fails with `AddressInUse` and touches nothing.
 * - Without the directory it fails with `AddressNotAvailable`; where the file
 *   cannot be made, with `AccessDenied`.
 * - The socket is bound under a hidden name in the same directory, gets its
 *   `mode`, and is then linked to `path`: no client can connect before.
 * - Stopping removes the file first, if it is still the same one, so that no
 *   client can come any more, and then sweeps the accept queue.
 * - A peer has no address: `remote` is a `UnixPathAddress` with an empty path.
 *   There is no reset either: `destroy` closes.
 * - Named pipes on Windows are implemented and have never been run.
 *
 * **Example** (Listening on a socket that only this user can connect to)
 *
 * ```ts
 * import { NodeUnix } from "@effect-listener/node"
 * import { Effect } from "effect"
 * import { NetAddress } from "effect/net"
 * import { tmpdir } from "node:os"
 *
 * const path = `${tmpdir()}/example-${process.pid}.sock`
 * const address = NodeUnix.transport({ path, mode: 0o600 }).bind.pipe(
 *   Effect.map((bound) => NetAddress.formatSocketAddress(bound.address) === path),
 *   Effect.scoped
 * )
 *
 * console.log(await Effect.runPromise(address)) // => true
 * ```
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const transport = (options: TransportOptions): Transport => ({
  name: "unix",
  bind: Effect.flatMap(
    Effect.suspend(() => process.platform === "win32" ? pipeBinding(options) : socketBinding(options)),
    bind
  )
})

const socketBinding = Effect.fnUntraced(function*({ mode, ...options }: TransportOptions) {
  const common = yield* commonBinding(options)
  const { path } = options
  const bytes = Buffer.byteLength(path)
  if (bytes > longestPath) return yield* invalid("path", `expected at most ${longestPath} bytes, got ${bytes}`)
  if (mode !== undefined) yield* checkInteger("mode", mode, 0, 0o777)
  const hidden = privatePath(path)
  const binding: NetBinding = {
    ...common,
    listen: { path: hidden, exclusive: true },
    bindError: (cause) =>
      // libuv says EACCES where the system says ENOENT
      errorCode(cause) === "EACCES" && !Fs.existsSync(Path.dirname(path))
        ? TransportBindError.AddressNotAvailable({ address: path })
        : common.bindError(cause),
    publish: () =>
      Effect.map(publish(hidden, path, mode), (withdraw) => ({ address: NetAddress.unixPathAddress(path), withdraw }))
  }
  return binding
})

const pipeBinding = Effect.fnUntraced(function*(options: TransportOptions) {
  const common = yield* commonBinding(options)
  const { mode, path } = options
  if (!/^\\\\[.?]\\pipe\\/.test(path)) return yield* invalid("path", "expected a name that begins with \\\\.\\pipe\\")
  if (mode !== undefined) return yield* Effect.fail(TransportBindError.NotSupported({ feature: "mode on Windows" }))
  const binding: NetBinding = {
    ...common,
    listen: { path, exclusive: true },
    publish: () => Effect.succeed({ address: NetAddress.unixPathAddress(path), withdraw: Effect.void })
  }
  return binding
})

const unnamed = NetAddress.unixPathAddress("")

const commonBinding = Effect.fnUntraced(function*(options: TransportOptions) {
  const { backlog = defaultBacklog, path } = options
  yield* checkText("path", path)
  yield* checkBacklog(backlog)
  const local = NetAddress.unixPathAddress(path)
  const connectionOptions = {
    protocol: "unix",
    halfOpen: true,
    noDelay: false,
    remote: () => unnamed,
    local: () => local,
    reset: (socket: Net.Socket) => {
      socket.destroy()
    },
    pollPhase: new PollPhase(),
    lingerTimer: new LingerTimer()
  }
  return {
    server: {},
    backlog,
    lingerTimer: connectionOptions.lingerTimer,
    bindError: (cause: unknown) => bindError(cause, { address: path, parameter: "path" }),
    connect: (socket: Net.Socket) => new NetConnection(socket, connectionOptions)
  }
})
