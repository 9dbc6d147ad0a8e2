/**
 * The PROXY protocol, versions 1 and 2: a listener behind a load balancer that
 * knows its clients.
 *
 * A proxy that forwards TCP connections is the peer of all of them. With the
 * option `proxyProtocol` of `NodeTcp`, `NodeTls`, `NodeUnix` and `NodeHttp`, the
 * header that it sends first is read before admission, TLS and the protocol:
 * `connection.remote` is then the client, in limits, logs, requests and reports,
 * and `connection.via` is the proxy.
 *
 * @see https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt
 * @stability experimental
 * @since 0.1.0
 */
import type { Connection } from "@effect-listener/core/Connection"
import type * as Duration from "effect/Duration"
import type * as IpNetwork from "effect/net/IpNetwork"
import type * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import { introductionOf } from "./internal/proxyProtocol/introduction.ts"
import type * as tlvs from "./internal/proxyProtocol/tlvs.ts"
import { acceptedSocketOf } from "./internal/socket/nodeSocket.ts"

/**
 * Which headers are read, and from which peers.
 *
 * **Details**
 *
 * A header is required or absent, never guessed: a peer that is believed and
 * sends none is refused, and so is one whose header is malformed, too long or
 * late. Refused connections get a FIN, are counted once, and never reach a
 * handler. An option that cannot be used makes `bind` fail with
 * `InvalidArgument`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface ProxyProtocolOptions {
  /** The networks of the proxies that are believed. Default: every peer, which is right where only proxies can connect. */
  readonly from?: ReadonlyArray<IpNetwork.IpNetworkInput> | undefined
  /** What happens to peers outside of `from`: refused, or served as they are, without looking for a header. Default: `"refuse"`. */
  readonly others?: "refuse" | "plain" | undefined
  /** The versions that are accepted. Default: both. */
  readonly versions?: ReadonlyArray<1 | 2> | undefined
  /** How long a peer may take to send its header. Default: 3 seconds, the least that the specification advises. */
  readonly timeout?: Duration.Input | undefined
  /** Bytes of the longest header of version 2, from 16 to 65551. Default: 536, the longest that fits into any segment. */
  readonly longest?: number | undefined
}

/**
 * What the proxy said of a client.
 *
 * **Details**
 *
 * - `via`: the proxy's own address.
 * - `local`: whether the proxy speaks for itself, as its health checks do, or
 *   for a client whose address it does not know. `connection.remote` is then the
 *   proxy's.
 * - `alpn`, `authority`, `uniqueId`, `ssl`: what version 2 can say; `tlvs` are all
 *   of its fields, in order.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Header {
  readonly version: 1 | 2
  readonly via: NetAddress.SocketAddress
  readonly local: boolean
  readonly alpn: Option.Option<string>
  readonly authority: Option.Option<string>
  readonly uniqueId: Option.Option<Uint8Array>
  readonly ssl: Option.Option<Ssl>
  readonly tlvs: ReadonlyArray<Tlv>
}

/**
 * What a proxy that ended TLS says of it: whether the client used TLS, showed a
 * certificate, and whether that was verified.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Ssl = tlvs.Ssl

/**
 * A field of a header of version 2.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Tlv = tlvs.Tlv

/**
 * The header that a connection began with. `None` where no header is read.
 *
 * **Example** (The name that a client asked the proxy for)
 *
 * ```ts
 * import { type Connection } from "@effect-listener/core"
 * import { NodeProxyProtocol } from "@effect-listener/node"
 * import { Option } from "effect"
 *
 * export const authority = (connection: Connection.Connection): string =>
 *   NodeProxyProtocol.header(connection).pipe(
 *     Option.flatMap((header) => header.authority),
 *     Option.getOrElse(() => "unknown")
 *   )
 * ```
 *
 * @stability experimental
 * @category accessors
 * @since 0.1.0
 */
export const header = (connection: Connection): Option.Option<Header> =>
  Option.fromUndefinedOr(acceptedSocketOf(connection.transport)).pipe(
    Option.flatMap((socket) => Option.fromUndefinedOr(introductionOf(socket))),
    Option.map(({ alpn, authority, proxied, ssl, tlvs, uniqueId, version, via }): Header => ({
      version,
      via,
      local: proxied === undefined,
      alpn: Option.fromUndefinedOr(alpn),
      authority: Option.fromUndefinedOr(authority),
      uniqueId: Option.fromUndefinedOr(uniqueId),
      ssl: Option.fromUndefinedOr(ssl),
      tlvs
    }))
  )
