/**
 * What is let in: how many connections are served at once, what happens to the
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
 * - `overflow`: what happens beyond it: `"wait"` holds the connection until
 *   there is room, `timeouts.queued` has passed, or its client has gone;
 *   `"reject"` refuses it in its protocol's way (the `refuse` of
 *   `Listener.serve`, a FIN by default). Default `"wait"`.
 * - `maxQueued`: how many connections may be held; more are refused. Default
 *   511.
 * - `maxPerRemote`: connections of one remote, those that are held included;
 *   more are refused. Remotes without an IP address, as on a Unix socket, are not
 *   limited. Default: no limit.
 * - `remotePrefix`: how many bits of an IPv6 address make one remote, 1 to 128:
 *   a client has a whole network of them. IPv4 addresses count whole, also where
 *   they are mapped to IPv6. Default 64.
 * - `acceptRate`: at most `limit` connections are let in in any stretch of time
 *   as long as `interval`; the others wait for their turn or are refused, as
 *   `overflow` says. Default: no limit.
 * - `maxEventLoopLag`: while the event loop is later than this, connections that
 *   arrive are refused: a process that cannot keep up serves those it has.
 *   Default: no limit.
 *
 * Limits are exact. `Infinity` is none. `Listener.setAdmission` changes them while
 * running: a lower one ends no connection, and a higher one lets in those that
 * wait at once.
 *
 * **Idle connections make room.** While connections wait for a place, those that
 * wait for their next request only are ended, the one idle for longest first,
 * after one read turn and within the drain's `idleGrace`; answers to the others
 * say goodbye where their protocol has a word for it. With `"reject"` a connection
 * is held for that read turn before it is refused, and one that was active within
 * its `idleGrace` is busy: none is held for it. A connection counts as one that
 * waits for its next request when its protocol says so (HTTP), or when it is
 * served with `idle` of `"pull"` or `"exchange"` and has had an exchange.
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
  readonly remotePrefix?: number | undefined
  readonly acceptRate?: { readonly limit: number; readonly interval: Duration.Input } | undefined
  readonly maxEventLoopLag?: Duration.Input | undefined
}

/**
 * How long a connection may live.
 *
 * **Details**
 *
 * - `max`: how long, from its accept on. More than zero.
 * - `jitter`: by how much the age of one connection may differ from `max` in
 *   either direction, so that connections that began together do not end
 *   together: a number from 0 to 1 is a part of `max`, any other duration is
 *   itself (`"30 seconds"`), and at most `max`. Default 0.1, which is a tenth.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface AgeLimit {
  readonly max: Duration.Input
  readonly jitter?: Duration.Input | undefined
}

/**
 * How long a listener and its connections may take.
 *
 * **Details**
 *
 * - `open`: the bind. Default 30 s.
 * - `queued`: held by admission, before it is refused. Default 60 s.
 * - `send`: bytes are pending, and the peer takes none for so long, in a drain
 *   and outside of one. A reader that is slow but steady is never ended by it, nor
 *   is a stream that is quiet. While a goodbye is flushed, `linger.total` is the
 *   limit if it is shorter. Looked at four times in it. Default 60 s.
 * - `handshake`: until a connection's handshake is done. Default 15 s.
 * - `firstByte`: from a handler's first pull to the first byte. Default: off.
 * - `inactivity`: waiting in a pull with no byte in either direction. Default:
 *   off.
 * - `age`: from its accept until a connection is told goodbye as in a drain, in
 *   its protocol's word and when nothing is in flight, so that connections move
 *   to the instances that were added (gRPC's `MAX_CONNECTION_AGE`). Nothing is
 *   cut for it: one that stays busy stays. Looked at as often as a hundredth of
 *   `max` passes, and at least each second. Default: off.
 *
 * A connection for which `firstByte` or `inactivity` is over is ended: its pull fails with a
 * `SocketCloseError` of code 1001. One for which `send` is over is destroyed, and
 * counted as cut.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface TimeoutOptions {
  readonly open?: Duration.Input | undefined
  readonly queued?: Duration.Input | undefined
  readonly send?: Duration.Input | undefined
  readonly handshake?: Duration.Input | undefined
  readonly firstByte?: Duration.Input | undefined
  readonly inactivity?: Duration.Input | undefined
  readonly age?: AgeLimit | undefined
}
