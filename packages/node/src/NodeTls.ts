/**
 * TLS over TCP as a transport of listeners, for byte protocols. HTTP over TLS is
 * `NodeHttp`'s.
 *
 * Keys and certificates are checked when the listener opens, and again at each
 * `reload`. A handshake runs in the connection's own fiber, within the
 * listener's `timeouts.handshake`: it holds up no other, a drain gives it
 * the idle grace for the rest, and one that fails ends its connection only.
 * Goodbyes send TLS's `close_notify` before the FIN, so that a client can tell
 * an end from a cut.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type { Connection } from "@effect-listener/core/Connection"
import type { Listener, ListenerOptions, ServeOptions } from "@effect-listener/core/Listener"
import type { SecurityFailure } from "@effect-listener/core/ListenerError"
import type { Transport } from "@effect-listener/core/Transport"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as SocketServer from "effect/socket/SocketServer"
import type * as Crypto from "node:crypto"
import * as Tls from "node:tls"
import * as socketServer from "./internal/listen/socketServer.ts"
import { infoOf, securityFailure } from "./internal/tls/tlsConnection.ts"
import { checkContext } from "./internal/tls/tlsContext.ts"
import * as internal from "./internal/tls/tlsTransport.ts"
import type * as NodeTcp from "./NodeTcp.ts"

/**
 * Runtime type identifier of TLS transports.
 *
 * @stability experimental
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: "~@effect-listener/node/NodeTls" = internal.TypeId

/**
 * A TLS transport, whose certificates can be replaced while it listens.
 *
 * @see {@link reload}
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface TlsTransport extends Transport {
  readonly [TypeId]: typeof TypeId
}

/**
 * Keys and certificates in PEM, as text or as the bytes of a file.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export type Pem = string | Uint8Array

/**
 * A private key and its certificate.
 *
 * **Details**
 *
 * - `key`: the private key. `Redacted` keeps it out of logs.
 * - `cert`: its certificate, followed by the intermediate ones.
 * - `passphrase`: of an encrypted key.
 * - `ca`: the authorities whose client certificates are accepted.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface Identity {
  readonly key: Pem | Redacted.Redacted<Pem>
  readonly cert: Pem
  readonly passphrase?: string | Redacted.Redacted | undefined
  readonly ca?: Pem | ReadonlyArray<Pem> | undefined
}

/**
 * What replaces the key and certificate of a transport.
 *
 * **Details**
 *
 * - `ticketKeys`: the ones that tickets are sealed with from now on, 48 bytes.
 *   Left out, those given to `transport` stay, unless `ca` changes: a session
 *   that is resumed is believed by the authorities it began under.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface ReloadOptions extends Identity {
  readonly ticketKeys?: Uint8Array | Redacted.Redacted<Uint8Array> | undefined
}

/**
 * What a client is shown, and by which rules.
 *
 * **Details**
 *
 * - `minVersion`: the oldest protocol version spoken. Default: Node's,
 *   `"TLSv1.2"`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface ContextOptions extends Identity {
  readonly minVersion?: Tls.SecureVersion | undefined
}

/**
 * Where and how to listen, and what to show clients.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface TransportOptions extends NodeTcp.TransportOptions, ContextOptions {
  /**
   * Whether clients are asked for a certificate, which has to be signed by one
   * of `ca`. Default: `false`.
   */
  readonly requestCert?: boolean | undefined
  /**
   * Whether a client without an acceptable certificate is turned away. With
   * `false` it is served, and `info` says `authorized: false`. Default: `true`.
   */
  readonly rejectUnauthorized?: boolean | undefined
  /**
   * The certificate for the name a client asks for, by
   * `secureContext`. A failure ends that handshake. Not called for
   * clients that name no host: they are shown `cert`. A client that leaves
   * meanwhile interrupts it.
   */
  readonly sni?: ((name: string) => Effect.Effect<Tls.SecureContext, SecurityFailure>) | undefined
  /**
   * The protocols spoken here, the preferred one first (ALPN). A client that
   * offers others only is turned away; one that offers none is served.
   */
  readonly alpnProtocols?: ReadonlyArray<string> | undefined
  /**
   * The 48 secret bytes that session tickets are sealed with. Processes that
   * share a port share these, and a client resumes its session with whichever it
   * reaches; make them anew every few hours, because with them
   * recorded sessions of TLS 1.2 can be read. Default: random ones of this listener.
   */
  readonly ticketKeys?: Uint8Array | Redacted.Redacted<Uint8Array> | undefined
}

/**
 * What a handshake has settled.
 *
 * **Details**
 *
 * - `version`: such as `"TLSv1.3"`.
 * - `alpn`: the protocol agreed on, where both sides named some.
 * - `serverName`: the host the client asked for.
 * - `authorized`: the client has shown a certificate signed by one of `ca`.
 * - `peerCertificate`: the client's, asked for by `requestCert`; to be believed
 *   only when `authorized`.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface TlsInfo {
  readonly version: string
  readonly alpn: Option.Option<string>
  readonly serverName: Option.Option<string>
  readonly authorized: boolean
  readonly peerCertificate: Option.Option<Crypto.X509Certificate>
}

/**
 * TLS on a port.
 *
 * **Details**
 *
 * `bind` fails as that of `NodeTcp.transport` does, with `InvalidArgument` when
 * `ticketKeys` are not 48 bytes, and with `SecurityFailure`, before the port is
 * bound, when:
 *
 * - `key` or `cert` is missing or cannot be read, or the key is encrypted and
 *   `passphrase` does not open it;
 * - the key is not that of the certificate;
 * - the certificate, or an intermediate one in `cert`, is expired or not valid
 *   yet, by the clock of the fiber;
 * - `ca` holds no certificate, or `requestCert` is given without `ca`: Node
 *   would accept certificates of every public authority.
 *
 * Keys and certificates are given as text: reading files is the caller's
 * business, and the path of one is refused in words that say so.
 *
 * Switching an accepted connection to TLS later, as STARTTLS does, is not
 * supported: the `upgrade` of its reader fails.
 *
 * A connection whose client has spoken no valid TLS fails its handshake with
 * `SecurityFailure`: counted `failed`, and logged in one line at level Info.
 *
 * @see {@link reload} for replacing certificates while it listens
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const transport = (options: TransportOptions): TlsTransport => new internal.TlsTransportImpl(options)

/**
 * A key and certificate, checked as `transport` checks them, for `sni` to
 * choose from.
 *
 * **Example** (A certificate for each host name)
 *
 * ```ts
 * import { ListenerError } from "@effect-listener/core"
 * import { NodeTls } from "@effect-listener/node"
 * import { Effect } from "effect"
 *
 * declare const hosts: Record<string, NodeTls.Identity>
 *
 * export const transport = Effect.gen(function*() {
 *   const contexts = yield* Effect.all(Object.fromEntries(
 *     Object.entries(hosts).map(([name, identity]) => [name, NodeTls.secureContext(identity)])
 *   ))
 *   return NodeTls.transport({
 *     port: 8443,
 *     ...hosts["example.com"]!,
 *     sni: (name) =>
 *       contexts[name] === undefined
 *         ? new ListenerError.SecurityFailure({
 *           operation: "handshake",
 *           listener: "tls",
 *           trail: [],
 *           detail: `no certificate for ${JSON.stringify(name)}`
 *         })
 *         : Effect.succeed(contexts[name])
 *   })
 * })
 * ```
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const secureContext = (options: ContextOptions): Effect.Effect<Tls.SecureContext, SecurityFailure> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const checked = checkContext(options, now)
    return Result.isFailure(checked)
      ? Effect.fail(securityFailure("secureContext", checked.failure))
      : Effect.succeed(Tls.createSecureContext(checked.success))
  })

/**
 * Replaces key and certificate, and `ca` when it is given, of a transport: for
 * new handshakes, also when it listens already. Connections that are open go on
 * as they are.
 *
 * **Details**
 *
 * They are checked as `bind` does. When that fails nothing changes: clients are
 * shown the old ones.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const reload = (self: TlsTransport, options: ReloadOptions): Effect.Effect<void, SecurityFailure> =>
  Effect.suspend(() => internal.implementationOf(self).reload(options))

/**
 * What the handshake of a connection has settled. `None` for connections of
 * other transports, and before the handshake is done.
 *
 * **Example** (The name of a client, by its certificate)
 *
 * ```ts
 * import type { Connection } from "@effect-listener/core"
 * import { NodeTls } from "@effect-listener/node"
 * import { Effect, Option } from "effect"
 *
 * export const subject = (connection: Connection.Connection) =>
 *   Effect.map(NodeTls.info(connection), (info) =>
 *     info.pipe(
 *       Option.filter((info) => info.authorized),
 *       Option.flatMap((info) => info.peerCertificate),
 *       Option.map((certificate) => certificate.subject)
 *     ))
 * ```
 *
 * @stability experimental
 * @category getters
 * @since 0.1.0
 */
export const info = (connection: Connection): Effect.Effect<Option.Option<TlsInfo>> =>
  Effect.sync(() => infoOf(connection.transport))

/**
 * Effect's `SocketServer` over TLS on a listener that drains, and the listener:
 * what `NodeSocketServer.layerTls` is for, with this module's options.
 *
 * **Details**
 *
 * The handler's context has the connection's `NodeSocket.NetSocket`, which is
 * its `TLSSocket`. No connection is taken for idle unless `idle` says
 * otherwise: under RPC a client that stays is waited for until the deadline,
 * and named.
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerSocketServer = (
  options: TransportOptions & ListenerOptions & ServeOptions
): Layer.Layer<SocketServer.SocketServer | Listener, SocketServer.SocketServerError> =>
  socketServer.layerSocketServer(transport(options), options)
