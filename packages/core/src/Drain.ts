/**
 * How a listener closes: the options of a drain and what can be watched of it.
 *
 * A drain stops accepting (sweeping the accept queue first), lets every
 * connection finish what it has in flight, says goodbye, and, when the deadline
 * passes, cuts what is left. `internal/lifecycle/closing/listenerClose.ts` is that
 * algorithm step by step, and `internal/connection/draining/drainLadder.ts` the
 * decision about one connection.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Option from "effect/Option"
import type { ConnectionInfo } from "./DrainReport.ts"

/**
 * How long a connection that was told goodbye is read from, so that a client
 * still sending gets its answer.
 *
 * **Details**
 *
 * - `idle`: time without a byte after which it is released. Default 500 ms.
 * - `total`: the whole time. Default: what is left of the deadline, else 30 s.
 * - `bytes`: how much is read and discarded. Default 64 MiB.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface LingerInput {
  readonly idle?: Duration.Input | undefined
  readonly total?: Duration.Input | undefined
  readonly bytes?: number | undefined
}

/**
 * A lame duck that ends early: it lasts at least `min`, then until no new
 * connection came for `quiet`, and at most `max`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface LameDuck {
  readonly min: Duration.Input
  readonly quiet: Duration.Input
  readonly max: Duration.Input
}

/**
 * The options of a drain.
 *
 * **Details**
 *
 * - `deadline`: how long connections may take, from when accepting stops.
 *   Default 20 s. Finite in a listener's own options; an infinite one is
 *   allowed in `close`.
 * - `lameDuck`: how long to go on accepting, no longer ready, before
 *   accepting stops. Default 0.
 * - `idleGrace`: how long a connection that was active just before is given for
 *   its next request. A courtesy; nothing that had arrived depends on it. Served
 *   with `idle: "pull"`, its next answer ends it. Default 250 ms.
 * - `spread`: how long the goodbyes of a drain are spread over, so that their
 *   clients do not all reconnect at once: each connection has its turn, oldest
 *   first, and is served as before until then. One that came during the drain is
 *   told at once. At most three quarters of the deadline: what is told last is
 *   to finish, too. A lame duck tells all at once, and ends none. Default 0.
 * - `abortGrace`: how long interrupted handlers may take for their finalizers.
 *   Default 1 s.
 * - `linger`: see `LingerInput`. `"none"`: a connection that is idle at its
 *   goodbye and has nothing unread is closed at once, and not kept until its client
 *   has ended, too: a close with thousands of them takes less of a processor. What a
 *   client sends in that moment is answered with a reset, where it would have been
 *   read and discarded; a reset also takes from a client that is slow to read
 *   what it had not read of its last answer. No request that was executed is lost to
 *   one that has read its answers. What was in flight lingers as it does without it,
 *   and so do TLS and HTTP/2, which have a last word to deliver.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface DrainOptions {
  readonly deadline?: Duration.Input | undefined
  readonly lameDuck?: Duration.Input | LameDuck | undefined
  readonly idleGrace?: Duration.Input | undefined
  readonly spread?: Duration.Input | undefined
  readonly abortGrace?: Duration.Input | undefined
  readonly linger?: LingerInput | "none" | undefined
}

/**
 * The options of one close. What is left out is the listener's own.
 *
 * **Details**
 *
 * - `queue`: what becomes of clients that the kernel has accepted and the
 *   listener has not: they are served (`"sweep"`), or left to another process
 *   that has the same listening socket (`"leave"`). If no process has it, they
 *   are reset, so only that process, or what started it, can know that it is
 *   right. A sweep is never wrong. A transport that cannot leave sweeps. Default
 *   `"sweep"`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface CloseOptions extends DrainOptions {
  /** Why, for the report and the log. Default `"close"`. */
  readonly reason?: string | undefined
  readonly queue?: "sweep" | "leave" | undefined
}

/**
 * Where a close stands.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type DrainStage = "LameDuck" | "Sweeping" | "Draining" | "Aborting" | "Closed"

/**
 * A running close: its stage, how many connections it still waits for, how many
 * milliseconds it may still take (`Infinity` without a deadline), how many
 * connections it is about in all, and the one that is open longest.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface DrainProgress {
  readonly listener: string
  readonly stage: DrainStage
  readonly remaining: number
  readonly timeLeft: number
  readonly connections: number
  readonly oldest: Option.Option<ConnectionInfo>
}

/**
 * What a close now would wait for: connections with work in flight, connections
 * with none, connections that nothing has taken yet; and the active ones by name.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface DryRun {
  readonly active: number
  readonly idle: number
  readonly queued: number
  readonly waitingFor: ReadonlyArray<ConnectionInfo>
}
