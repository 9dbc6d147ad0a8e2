/**
 * Who is let in: how many connections are served at once, what happens to the
 * others, and how long a connection may take before it does something.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"

/**
 * The limits of a listener.
 *
 * **Details**
 *
 * - `maxConnections`: connections handled at the same time. Default: no limit.
 * - `overflow`: what happens beyond it: `"wait"` holds the connection, unread,
 *   until there is room; `"reject"` refuses it in its protocol's way (the
 *   `refuse` of `Listener.serve`, a FIN by default). Default `"wait"`.
 * - `maxQueued`: how many connections may be held; more are refused. Default
 *   511.
 * - `maxPerRemote`: connections of one remote IP address, those that are held
 *   included; more are refused. Remotes without one, as on a Unix socket, are
 *   not limited. Default: no limit.
 * - `acceptRate`: at most `limit` connections are let in in any stretch of time
 *   as long as `interval`; the others wait for their turn or are refused, as
 *   `overflow` says. Default: no limit.
 * - `maxEventLoopLag`: while the event loop is later than this, connections that
 *   arrive are refused: a process that cannot keep up serves those it has.
 *   Default: no limit.
 *
 * Limits are exact. `Infinity` is none. `Listener.setAdmission` changes them while
 * running: nobody is ended by a lower one, and who waits is let in at once by a
 * higher one.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface AdmissionOptions {
  readonly maxConnections?: number | undefined
  readonly overflow?: "wait" | "reject" | undefined
  readonly maxQueued?: number | undefined
  readonly maxPerRemote?: number | undefined
  readonly acceptRate?: { readonly limit: number; readonly interval: Duration.Input } | undefined
  readonly maxEventLoopLag?: Duration.Input | undefined
}

/**
 * How long a listener and its connections may take.
 *
 * **Details**
 *
 * - `open`: the bind. Default 30 s.
 * - `handshake`: until a connection's handshake is done. Default 15 s.
 * - `firstByte`: from a handler's first pull to the first byte. Default: off.
 * - `inactivity`: waiting in a pull with no byte in either direction. Default:
 *   off.
 *
 * A connection that takes longer is ended: its pull fails with a
 * `SocketCloseError` of code 1001.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface TimeoutOptions {
  readonly open?: Duration.Input | undefined
  readonly handshake?: Duration.Input | undefined
  readonly firstByte?: Duration.Input | undefined
  readonly inactivity?: Duration.Input | undefined
}
