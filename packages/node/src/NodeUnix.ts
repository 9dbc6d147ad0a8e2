/**
 * Unix sockets as a transport of listeners; on Windows, named pipes.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type { Transport } from "@effect-listener/core/Transport"
import { unixTransport } from "./internal/listen/unix.ts"
import type { Inherit } from "./NodeInherit.ts"
import type { ProxyProtocolOptions } from "./NodeProxyProtocol.ts"

/**
 * Where to listen, and which users may connect.
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
   * Default: 511; of an inherited socket 4096.
   */
  readonly backlog?: number | undefined
  /**
   * The inherited socket to listen on in place of binding one, when this process
   * was started with one of that name; see `NodeInherit`. Its file, and the
   * file's `mode`, are then those of the process that bound it.
   */
  readonly inherit?: Inherit | undefined
  /** Reads the header that a proxy in front sends first, as `NodeTcp` does; `from` has no meaning here. Default: none is read. */
  readonly proxyProtocol?: ProxyProtocolOptions | undefined
}

/**
 * A Unix socket at a path.
 *
 * **Details**
 *
 * - A socket file on which nothing listens, left behind by a process that was
 *   killed, is replaced. Where a process listens, or where there is anything
 *   else, `bind` fails with `AddressInUse` and touches nothing.
 * - Without the directory it fails with `AddressNotAvailable`; where the file
 *   cannot be made, with `AccessDenied`.
 * - The socket is bound in a hidden directory beside `path` that only this user
 *   can enter, gets its `mode`, and is then linked to `path`: no client can
 *   connect before. Outside Linux that directory takes 10 bytes of the length
 *   the path of a socket may have, instead of the name.
 * - An inherited socket keeps its file, which belongs to the process that holds it.
 * - Stopping removes the file first, if it is still the same one, so that no
 *   more clients come, and then sweeps the accept queue.
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
export const transport = (options: TransportOptions): Transport => unixTransport(options)
