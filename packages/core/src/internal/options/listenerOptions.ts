import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { AdmissionOptions, TimeoutOptions } from "../../Admission.ts"
import type { Connection } from "../../Connection.ts"
import type { DrainOptions } from "../../Drain.ts"

/**
 * The options of a listener: its name in reports, logs and metrics (default: the
 * transport's), how it drains, what it lets in, how long things may take, what
 * is traced.
 *
 * **Details**
 *
 * They are checked by `open`: `make` cannot fail. With `maskRemote` no remote
 * address is shown: reports, logs and spans have `"masked"` in its place.
 * `Connection.remote` stays as it is.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface ListenerOptions {
  readonly name?: string | undefined
  readonly drain?: DrainOptions | undefined
  readonly admission?: AdmissionOptions | undefined
  readonly timeouts?: TimeoutOptions | undefined
  readonly tracing?: TracingOptions | undefined
  readonly maskRemote?: boolean | undefined
}

/**
 * What gets a span of its own, beyond opening and closing, which always have one.
 *
 * **Details**
 *
 * - `connections`: `Listener.connection`, from accept to end, a root; what its
 *   handler does is below it.
 * - `exchanges`: `Listener.exchange`, with the exchange's label as an attribute.
 *
 * Both are off by default: a span costs several times what an exchange does.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface TracingOptions {
  readonly connections?: boolean | undefined
  readonly exchanges?: boolean | undefined
}

/**
 * How connections are served.
 *
 * **Details**
 *
 * `idle` says when a connection has nothing in flight:
 *
 * - `"handler"` (default): never, from accept to the handler's end. Safe for
 *   any protocol, but a client that stays costs the deadline. Once the handler
 *   has opened an exchange, the connection goes by `"pull"`.
 * - `"pull"`: while the handler waits in `pull` with no open exchange. For
 *   handlers that work on one thing at a time: what most want.
 * - `"exchange"`: while no exchange is open. For callback protocols.
 *
 * A connection whose client sends on while its messages are worked on is never
 * idle: its pull fails with 1001 once what had begun to arrive within its grace
 * is answered, and the handler waits for what is still in work.
 *
 * `refuse` says how a connection is refused that admission does not let in; a
 * FIN by default.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface ServeOptions {
  readonly idle?: "handler" | "pull" | "exchange" | undefined
  readonly refuse?: ((connection: Connection) => Effect.Effect<void>) | undefined
}

/**
 * How a `SocketServer` runs its handlers, beyond `ServeOptions`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface SocketServeOptions extends ServeOptions {
  /** What else the handler of one connection finds in its context. */
  readonly services?: ((connection: Connection) => Context.Context<never>) | undefined
}
