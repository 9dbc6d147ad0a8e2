/**
 * Several processes that serve the same ports: one for each core, started again
 * when they crash, and replaced one after the other by a new version without a
 * client noticing.
 *
 * A supervisor binds the sockets, never listens, and passes them to its workers.
 * A worker is an ordinary program: it runs under `NodeMain.runMain`, and its
 * transports take the sockets by name, with the option `inherit`. Started alone
 * it binds for itself. The queue of a socket belongs to all that hold it: while
 * one worker is there, or comes, no client is refused.
 *
 * What concerns a process concerns each worker by itself: limits such as
 * `maxConnections` hold N times over, and memory is not shared.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type { CloseOptions } from "@effect-listener/core/Drain"
import type * as ListenerError from "@effect-listener/core/ListenerError"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import * as Predicate from "effect/Predicate"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import {
  ReplaceReport,
  TypeId as typeId,
  type WorkerEvent,
  WorkerFailure,
  type WorkerInfo,
  type WorkersReport
} from "./internal/reports/schemas.ts"
import * as internal from "./internal/workers/nodeWorkers.ts"
import { runWorkers } from "./internal/workers/runWorkers.ts"
import type * as ListenerInspector from "./ListenerInspector.ts"
import type * as NodeMain from "./NodeMain.ts"

/**
 * Runtime type identifier of the workers of a supervisor.
 *
 * @stability experimental
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: "~@effect-listener/node/NodeWorkers" = typeId

/**
 * A socket that workers share: bound to a port, bound to a path, or inherited
 * from systemd or another supervisor under that name.
 *
 * **Details**
 *
 * - `port`: 0 is any free one. `host`: `"::"` where there is IPv6, else
 *   `"0.0.0.0"`; a name is looked up once.
 * - `path`, `mode`: as `NodeUnix` has them. The supervisor owns the file: it is
 *   there through crashes and replacements, and gone after the close.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export type SocketOptions =
  | { readonly port: number; readonly host?: string | undefined; readonly ipv6Only?: boolean | undefined }
  | { readonly path: string; readonly mode?: number | undefined }
  | { readonly inherit: string }

/**
 * Which worker of how many replacements.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface WorkerPlace {
  readonly slot: number
  readonly generation: number
}

/**
 * The options of `make`.
 *
 * **Details**
 *
 * - `program`: the worker's file. It is looked up at each start, so that behind a
 *   symbolic link a replacement starts the new release.
 * - `args`, `cwd`: its arguments and working directory. Default: none, the
 *   supervisor's.
 * - `execArgv`: options for Node itself. Default: the supervisor's, without those
 *   of the inspector, whose port is taken.
 * - `env`: what a worker's environment has besides the supervisor's.
 * - `workers`: how many. Default `"cores"`, `os.availableParallelism()`.
 * - `sockets`: by the name under which workers inherit them.
 * - `readyWithin`: from its start a worker must accept within this time, or it is
 *   killed. Default 30 s.
 * - `restart`: the delays between the restarts of a worker that crashes. They
 *   begin anew when it has accepted for 10 s. Where they end, its slot is given
 *   up. Default: from 200 ms, twice as long each time, to 30 s.
 * - `replaceConcurrency`: how many workers are replaced at a time. Default 1.
 * - `drain`: the most a worker may take to close, and what its interrupted
 *   handlers have after that; both lower the worker's own. A worker that has not
 *   ended 2 s later is killed. Default 20 s and 1 s.
 * - `sharedTickets`: TLS sessions are resumed whichever worker a client reaches,
 *   also after a replacement: a `NodeTls` transport that inherits its socket and
 *   has no `ticketKeys` of its own uses the supervisor's, which are made at its
 *   start. Default `true`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly program: string | URL
  readonly args?: ReadonlyArray<string> | undefined
  readonly execArgv?: ReadonlyArray<string> | undefined
  readonly cwd?: string | undefined
  readonly env?: ((worker: WorkerPlace) => Record<string, string>) | undefined
  readonly workers?: number | "cores" | undefined
  readonly sockets: Record<string, SocketOptions>
  readonly readyWithin?: Duration.Input | undefined
  readonly restart?: Schedule.Schedule<unknown> | undefined
  readonly replaceConcurrency?: number | undefined
  readonly drain?: {
    readonly deadline?: Duration.Input | undefined
    readonly abortGrace?: Duration.Input | undefined
  } | undefined
  readonly sharedTickets?: boolean | undefined
}

export {
  ReplaceReport,
  WorkerEvent,
  WorkerFailure,
  WorkerInfo,
  WorkerReport,
  WorkersReport
} from "./internal/reports/schemas.ts"

/**
 * A worker did not get as far as accepting, or the workers are not running.
 * `report` is what a replacement did until then.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class WorkerFailed extends Schema.TaggedError<WorkerFailed>("@effect-listener/node/NodeWorkers/WorkerFailed")(
  "WorkerFailed",
  {
    operation: Schema.String,
    listener: Schema.String,
    trail: Schema.Array(Schema.String),
    failure: WorkerFailure,
    report: Schema.optional(ReplaceReport)
  }
) {
  override get message(): string {
    const { detail, generation, pid, slot } = this.failure
    const worker = slot < 0
      ? ""
      : ` worker ${slot} of generation ${generation} (${pid === null ? "no process" : `process ${pid}`})`
    return `${this.operation} on ${this.listener}:${worker} ${detail}. Start its program alone: errors/WorkerFailed`
  }
}

/**
 * The workers of a supervisor.
 *
 * **Details**
 *
 * - `addresses`: where each socket is bound, by name.
 * - `workers`: all processes there are, by slot, an old one before its successor.
 * - `events`: what becomes of them from now on; ends with the close.
 * - `replace`: replaces every worker by a new process, the oldest first: one more
 *   is started, and when it accepts, the old one drains and ends. It joins a
 *   replacement that runs. When a new one fails, the old one stays, what was
 *   replaced stays replaced, and the next replacement begins with the rest.
 * - `scale`: completes when there are so many workers. When a new one fails,
 *   there are as many as before.
 * - `close`: the supervisor releases the sockets, and all workers drain and end.
 *   A second one is `InvalidOperation` while the first runs; later it answers with
 *   the report. `deadline` and `abortGrace` are its own; the other options of a
 *   drain are the workers'.
 * - `closed`: waits for the end, whatever closes them.
 * - `readiness`: at least one worker accepts, and no close has begun.
 * - `liveness`: no close has ended, and not every slot was given up.
 * - `inspect`: what `/listeners` answers of an inspector of these workers.
 * - `metrics`: those of all workers, in Prometheus' text format.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface NodeWorkers {
  readonly [TypeId]: typeof TypeId
  readonly addresses: Record<string, NetAddress.SocketAddress>
  readonly workers: Effect.Effect<ReadonlyArray<WorkerInfo>>
  readonly events: Stream.Stream<WorkerEvent>
  readonly replace: Effect.Effect<ReplaceReport, WorkerFailed>
  readonly scale: (workers: number) => Effect.Effect<void, WorkerFailed>
  readonly close: (options?: CloseOptions) => Effect.Effect<WorkersReport, ListenerError.CloseError>
  readonly closed: Effect.Effect<WorkersReport>
  readonly readiness: Effect.Effect<boolean>
  readonly liveness: Effect.Effect<boolean>
  readonly inspect: (options?: {
    readonly limit?: number | undefined
  }) => Effect.Effect<ListenerInspector.Inspection>
  readonly metrics: Effect.Effect<string>
}

/**
 * Whether a value is the workers of a supervisor.
 *
 * @stability experimental
 * @category guards
 * @since 0.1.0
 */
export const isNodeWorkers = (u: unknown): u is NodeWorkers => Predicate.hasProperty(u, TypeId)

/**
 * Binds the sockets, starts the workers, and completes when all of them accept.
 * They close with the scope.
 *
 * **Details**
 *
 * No worker listens before all are prepared, and a first start that fails
 * fails it all. Binding needs Node 24.19 or newer (`NotSupported` before);
 * inheriting a socket does not.
 *
 * **Example** (A service on every core)
 *
 * ```ts no-run: it starts processes
 * import { NodeWorkers } from "@effect-listener/node"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const workers = yield* NodeWorkers.make({
 *     program: new URL("server.ts", import.meta.url),
 *     sockets: { http: { port: 8080 } }
 *   })
 *   const report = yield* workers.replace
 *   console.log(`replaced ${report.replaced.length} workers`)
 * })
 * ```
 *
 * @see {@link runMain} for a whole program
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const make: (
  options: Options
) => Effect.Effect<NodeWorkers, ListenerError.OpenError | WorkerFailed, Scope.Scope> = (options) =>
  internal.make(options, (fields) => new WorkerFailed(fields))

/**
 * The options of `runMain`: those of `make`, and what a program does besides.
 *
 * **Details**
 *
 * - `admin`: serves the routes of `ListenerInspector` for all workers, on a
 *   listener of the supervisor's own, which closes last.
 * - `onOpen`: runs when all workers accept. `addresses` are those of their sockets
 *   by name, and `admin`.
 * - `onReplaced`: runs at the end of each replacement; the report says whether it
 *   failed.
 * - `onClosed`: runs when all workers have ended.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface RunOptions extends Options {
  readonly admin?: { readonly port: number; readonly host?: string | undefined } | undefined
  readonly onOpen?:
    | ((opened: {
      readonly workers: NodeWorkers
      readonly addresses: Record<string, NetAddress.SocketAddress>
    }) => Effect.Effect<void>)
    | undefined
  readonly onReplaced?: ((report: ReplaceReport) => Effect.Effect<void>) | undefined
  readonly onClosed?: ((report: WorkersReport) => Effect.Effect<void>) | undefined
}

/**
 * Runs a supervisor as the main program of the process.
 *
 * **Details**
 *
 * SIGUSR2 and SIGHUP replace all workers; SIGTERM, SIGINT and SIGQUIT close them,
 * unless `signals` says otherwise. The other options, the exit codes and what is
 * printed are those of `NodeMain.runMain`: the code is 0 when every worker
 * drained, 1 when a first start failed, which stderr explains, 124 when something
 * was cut in any of them. What the supervisor logs goes to stderr. The options
 * may be an effect, which reads them from a configuration for example.
 *
 * **Example** (A supervisor in a container)
 *
 * ```ts no-run: it serves until a signal comes
 * import { NodeWorkers } from "@effect-listener/node"
 *
 * NodeWorkers.runMain({
 *   program: new URL("server.ts", import.meta.url),
 *   sockets: { http: { port: 8080 } },
 *   admin: { port: 9090 }
 * }, { hostDeadline: "25 seconds" })
 * ```
 *
 * @stability experimental
 * @category running
 * @since 0.1.0
 */
export const runMain = <E = never>(
  options: RunOptions | Effect.Effect<RunOptions, E>,
  main?: NodeMain.RunMainOptions
): void => runWorkers(options, main, make)
