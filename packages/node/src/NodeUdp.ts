/**
 * UDP as a transport of datagram listeners.
 *
 * `transport` binds a `node:dgram` socket and hands over each datagram as it
 * comes. What a listener does with it is the business of `@effect-listener/core`:
 * `DatagramListener` serves it, answers from the same address, and at a close
 * takes what waits in the kernel before the socket goes.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type { DatagramTransport } from "@effect-listener/core/DatagramTransport"
import { udpTransport } from "./internal/datagrams/udp.ts"
import type * as NodeInherit from "./NodeInherit.ts"

/**
 * A multicast group to be a member of.
 *
 * **Details**
 *
 * - `group`: an IPv4 or IPv6 multicast address, of the kind the socket has.
 * - `interface`: where to join: an IPv4 address of this host for an IPv4 group,
 *   `::%eth0` or `::%2` for an IPv6 one. Default: the system's choice.
 * - `source`: only datagrams of this sender (source-specific multicast).
 *   Default: those of all senders.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface Membership {
  readonly group: string
  readonly interface?: string | undefined
  readonly source?: string | undefined
}

/**
 * Where and how to receive.
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
  /** 0 to 65535; 0 lets the system choose a free one. */
  readonly port: number
  /**
   * An IP address or a name of this host. Default: `"::"` where there is IPv6,
   * else `"0.0.0.0"`, which is also what groups of IPv4 take.
   */
  readonly host?: string | undefined
  /** Whether an IPv6 socket refuses IPv4 peers. Default: `false`, so `"::"` serves both. */
  readonly ipv6Only?: boolean | undefined
  /**
   * Whether other sockets may bind the same port and share its datagrams
   * (`SO_REUSEPORT`). Which of them gets a datagram depends on its sender, and
   * changes for some senders whenever a socket comes or goes. Default: `false`.
   */
  readonly reusePort?: boolean | undefined
  /**
   * Whether the address may be bound although another socket has it
   * (`SO_REUSEADDR`): for several receivers of one multicast group, which each
   * get a copy. Default: `false`.
   */
  readonly reuseAddress?: boolean | undefined
  /**
   * Bytes that may wait in the kernel; what comes beyond is lost there, and
   * counted by the system alone. Linux doubles the number, and lowers it to
   * `net.core.rmem_max`. Default: the system's (`net.core.rmem_default`).
   */
  readonly recvBufferSize?: number | undefined
  /** Bytes of answers that may wait in the kernel. Default: the system's (`net.core.wmem_default`). */
  readonly sendBufferSize?: number | undefined
  /** Groups to be a member of while the socket is bound. Default: none. */
  readonly multicast?: ReadonlyArray<Membership> | undefined
  /**
   * The inherited socket to take instead of binding one, by its name, where the
   * process was started with it: under systemd's socket activation
   * (`ListenDatagram=`). Its buffers and memberships can be set here, too.
   * Default: none.
   */
  readonly inherit?: NodeInherit.Inherit | undefined
}

/**
 * UDP on a port.
 *
 * **Details**
 *
 * `bind` fails with `AddressInUse`, `AddressNotAvailable` (also for names that
 * cannot be resolved, and interfaces that are not there), `AccessDenied`,
 * `QuotaExceeded`, `NotSupported`, `InvalidArgument` or `TransportFailure`.
 * Interrupting it releases the port.
 *
 * Answers leave from the port that was bound. An answer that the system refuses
 * fails with a `DatagramSocketError` whose reason has the `kind`, such as
 * `MessageTooLarge` (more than 65,507 bytes over IPv4) or `Unreachable`; what
 * becomes of one that has left is not known.
 *
 * Addresses of IPv4 peers are IPv4, also on `"::"`.
 *
 * **Example** (A transport on any free port of this host)
 *
 * ```ts
 * import { NodeUdp } from "@effect-listener/node"
 * import { Effect } from "effect"
 *
 * const port = NodeUdp.transport({ host: "127.0.0.1", port: 0 }).bind.pipe(
 *   Effect.map((bound) => bound.address._tag),
 *   Effect.scoped
 * )
 *
 * console.log(await Effect.runPromise(port)) // => InetAddressV4
 * ```
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const transport = (options: TransportOptions): DatagramTransport => udpTransport(options)
