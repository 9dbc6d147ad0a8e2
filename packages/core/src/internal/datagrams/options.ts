import type * as Duration from "effect/Duration"
import type { Datagram } from "../../DatagramListener.ts"
import type { DrainOptions } from "../../Drain.ts"

/**
 * The limits of a datagram listener. A datagram beyond one is dropped, and
 * counted by its reason: nothing is said to its sender.
 *
 * **Details**
 *
 * - `maxExchanges`: datagrams handled at the same time. Default: no limit.
 * - `maxPerRemote`: datagrams of one remote IP address at the same time, those
 *   that are queued included. Nothing is kept of a remote that has none. Default:
 *   no limit.
 * - `receiveRate`: at most `limit` datagrams are let in in any stretch of time as
 *   long as `interval`. Default: no limit.
 * - `maxQueued`: how many datagrams may wait for a `receive`, or for a `serve` to
 *   begin. Default 511.
 * - `maxEventLoopLag`: while the event loop is later than this, datagrams are
 *   dropped. Default: no limit.
 *
 * Limits are exact. `Infinity` is none.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface DatagramAdmissionOptions {
  readonly maxExchanges?: number | undefined
  readonly maxPerRemote?: number | undefined
  readonly receiveRate?: { readonly limit: number; readonly interval: Duration.Input } | undefined
  readonly maxQueued?: number | undefined
  readonly maxEventLoopLag?: Duration.Input | undefined
}

/**
 * The options of a datagram listener: its name in reports, logs and metrics
 * (default: the transport's), how it drains, what it lets in, how long its bind
 * may take, what is traced.
 *
 * **Details**
 *
 * They are checked by `open`: `make` cannot fail. Of `drain`, `idleGrace`, `spread`
 * and `linger` mean nothing here. `timeouts.open` is 30 s by default. With
 * `tracing.exchanges` each exchange has a span `Listener.exchange`, a root, and
 * what its handler does is below it. With `maskRemote` no remote address is shown:
 * reports, logs and spans have `"masked"` in its place.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface DatagramListenerOptions {
  readonly name?: string | undefined
  readonly drain?: DrainOptions | undefined
  readonly admission?: DatagramAdmissionOptions | undefined
  readonly timeouts?: { readonly open?: Duration.Input | undefined } | undefined
  readonly tracing?: { readonly exchanges?: boolean | undefined } | undefined
  readonly maskRemote?: boolean | undefined
}

/**
 * How datagrams are served.
 *
 * **Details**
 *
 * `label` names an exchange where it is shown: in `exchanges`, in the report that
 * says what was cut, in spans. It is called only then. Default: `datagram of 64
 * bytes`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface ServeOptions {
  readonly label?: ((datagram: Datagram) => string) | undefined
}
