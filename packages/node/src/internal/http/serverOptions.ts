import type { AdmissionOptions, TimeoutOptions as ListenerTimeoutOptions } from "@effect-listener/core/Admission"
import type { DrainOptions } from "@effect-listener/core/Drain"
import type { TracingOptions } from "@effect-listener/core/Listener"
import type { Transport } from "@effect-listener/core/Transport"
import type * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import type * as Duration from "effect/Duration"
import type * as Http from "node:http"
import type * as Http2 from "node:http2"
import type { Inherit } from "../../NodeInherit.ts"
import type { ProxyProtocolOptions } from "../../NodeProxyProtocol.ts"
import type * as NodeTls from "../../NodeTls.ts"

/**
 * How long an HTTP server and its connections may take.
 *
 * **Details**
 *
 * With a server of one's own, what is left out stays as it was set on that
 * server; the defaults are of the servers made here.
 *
 * - `open`: the bind. Default 30 s.
 * - `handshake`: TLS, from the accept. Default 15 s.
 * - `firstByte`: until a client says something, and over HTTP/2 until its first
 *   request. Default 60 s.
 * - `head`: until the head of a request has arrived. Default 60 s.
 * - `request`: until a request has arrived whole, its body included. Default
 *   5 minutes.
 * - `inactivity`: between two requests. Default 5 s.
 * - `send`: while an answer waits and the client takes nothing of it: then the
 *   connection is destroyed, or over HTTP/2 the streams that wait are reset. Of
 *   one stream among several its client has to take 64 KiB in that time: what
 *   less is cannot be told from nothing. Default 60 s.
 * - `age`: of a connection, before it is told goodbye between two requests. Default:
 *   off.
 *
 * Each but `age` takes any duration of more than zero; an infinite one is no limit.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface TimeoutOptions extends ListenerTimeoutOptions {
  readonly head?: Duration.Input | undefined
  readonly request?: Duration.Input | undefined
}

/**
 * The options of `NodeHttpServer.layer`, and those of a listener.
 *
 * **Details**
 *
 * - `name`: of the listener, in reports and logs. Default `"http"`.
 * - `drain`, `admission`: as for any listener. A connection that is refused gets
 *   a 503 with a `Retry-After` between 1 and 5 s where it speaks in the clear, a
 *   FIN elsewhere.
 * - `gracefulShutdownTimeout`: another name of `drain.deadline`, which wins.
 * - `exclusive`: fails the open with `NotSupported`.
 * - `disablePreemptiveShutdown`: the listener is closed with its layer, not when
 *   serving ends. Handlers are then interrupted, as without this package.
 * - `halfOpen`: whether a client that ends its side after its request still gets
 *   the answer. Default `false`: the handler is interrupted, because most
 *   clients that do so have gone.
 * - `tracing`: spans of connections and of exchanges, as for any listener.
 *   Effect's own span of a request is made as it always is.
 * - `maskRemote`: reports, logs and spans of the listener show no remote address.
 * - `maxPipelined`: how many requests of one HTTP/1 connection are executed
 *   before the first of them is answered. While there are more, the connection
 *   is not read. Default 64.
 * - `upgrades`: the protocols besides `websocket` that requests may be upgraded
 *   to, by `upgrade` or `upgradeWith` of a request. Other offers are ignored,
 *   and their requests answered as if they were not there (RFC 9110, section
 *   7.8). Default: none. A server of one's own asks its `shouldUpgradeCallback`
 *   as well.
 * - `inherit`: the inherited socket to listen on, where there is one of that
 *   name; see `NodeInherit`.
 * - `proxyProtocol`: reads the header that a proxy in front sends first; see
 *   `NodeProxyProtocol`. The client's address is then that of every request.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface Options extends NodeHttpServer.Options {
  readonly name?: string | undefined
  readonly drain?: DrainOptions | undefined
  readonly admission?: AdmissionOptions | undefined
  readonly timeouts?: TimeoutOptions | undefined
  readonly halfOpen?: boolean | undefined
  readonly tracing?: TracingOptions | undefined
  readonly maskRemote?: boolean | undefined
  readonly maxPipelined?: number | undefined
  readonly upgrades?: ReadonlyArray<string> | undefined
  readonly inherit?: Inherit | undefined
  readonly proxyProtocol?: ProxyProtocolOptions | undefined
}

/**
 * The options of a server that is made here.
 *
 * **Details**
 *
 * - `tls`: keys and certificates, checked when the listener opens, as
 *   `NodeTls.transport` checks them.
 * - `transport`: listen on this, whatever `port`, `path` and `tls` say: a
 *   transport of this package, such as a `NodeTls.transport` whose certificates
 *   are replaced while it runs. For HTTP/2 it must offer `h2` and `http/1.1` by
 *   ALPN.
 * - `http1`: further options of Node's HTTP/1 server.
 * - `http2`: whether HTTP/2 is spoken, too: by ALPN under TLS, and in the clear
 *   with clients that begin with it. Further options of Node's HTTP/2 server may
 *   be given in its place. Default `true`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface ServerOptions extends Options {
  readonly tls?: TlsOptions | undefined
  readonly transport?: Transport | undefined
  readonly http1?: Http.ServerOptions | undefined
  readonly http2?: boolean | Http2.ServerOptions | undefined
}

/**
 * TLS under HTTP: what `NodeTls.transport` takes, without where to listen.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface TlsOptions
  extends
    NodeTls.ContextOptions,
    Pick<NodeTls.TransportOptions, "requestCert" | "rejectUnauthorized" | "sni" | "ticketKeys">
{}
