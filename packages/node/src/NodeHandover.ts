/**
 * Replacing a running program by its next version while its clients go on
 * connecting: the successor is started with the listening sockets, and the
 * predecessor closes when that one accepts.
 *
 * A client never finds the port closed, because the socket is never closed: it
 * has one queue, and both processes accept from it for a moment. Until the
 * successor has proved that it accepts, whatever happens to it leaves the
 * predecessor as it was. `NodeMain.runMain` with `handover` does all of it at a
 * signal; `upgrade` does it when the program says so.
 *
 * Under a service manager that holds the sockets itself, such as systemd with
 * socket activation, none of this is needed; see `NodeInherit`.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type { DrainReport } from "@effect-listener/core/DrainReport"
import type { HostReport } from "@effect-listener/core/ListenerHost"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Report } from "./internal/inherit/protocol.ts"
import { CurrentMain } from "./internal/main/currentMain.ts"

/**
 * Why a hand-over came to nothing. The predecessor goes on as it was.
 *
 * **Details**
 *
 * - `Busy`: another one runs, or the predecessor of this process still drains.
 * - `Spawn`: the successor could not be started.
 * - `Exited`: it ended, or closed its channel, before it had taken over.
 * - `TimedOut`: it was not ready in time; `detail` says what it waited for.
 * - `Refused`: it said what it should not, did not accept, or was found wanting;
 *   or this process cannot be handed over at all.
 * - `Closing`: this program closes, or the hand-over was interrupted.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class HandoverFailed
  extends Schema.TaggedError<HandoverFailed>("@effect-listener/node/NodeHandover/HandoverFailed")(
    "HandoverFailed",
    {
      operation: Schema.String,
      listener: Schema.String,
      trail: Schema.Array(Schema.String),
      reason: Schema.Literals(["Busy", "Spawn", "Exited", "TimedOut", "Refused", "Closing"]),
      detail: Schema.String
    }
  )
{
  override get message(): string {
    return `${this.operation} on ${this.listener}: ${this.reason}: ${this.detail}`
  }
}

/**
 * Schema of `HandoverReport`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const HandoverReport = Schema.Struct({
  pid: Schema.Int,
  generation: Schema.Int,
  readyAfter: Schema.Finite,
  probes: Schema.Int,
  sockets: Schema.Array(Schema.Struct({ name: Schema.String, address: Schema.String })),
  drain: Report
})

/**
 * What a hand-over did: plain data.
 *
 * **Details**
 *
 * - `pid`, `generation`: the successor's.
 * - `readyAfter`: milliseconds from its start until it accepted.
 * - `probes`: how many connections of its own it took to prove that.
 * - `sockets`: what was handed over.
 * - `drain`: how the predecessor closed; of several listeners, as a host's report.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface HandoverReport {
  readonly pid: number
  readonly generation: number
  readonly readyAfter: number
  readonly probes: number
  readonly sockets: ReadonlyArray<{ readonly name: string; readonly address: string }>
  readonly drain: DrainReport | HostReport
}

/**
 * How to start the successor. Each option is looked at when it is started.
 *
 * **Details**
 *
 * - `program`: its file. Default: the one this process was started with, as it
 *   was named, so that a symbolic link in the path leads to the release of now.
 * - `args`, `execArgv`: its arguments and those of Node. Default: this process's,
 *   without `--inspect`, whose port is taken.
 * - `env`: on top of this process's environment.
 * - `cwd`: its working directory. Default: this process's.
 * - `readyWithin`: how long it may take to take over. Default 30 s.
 * - `verify`: whether it is good, once it accepts; a failure rolls back. Both
 *   processes accept while it runs. Default: it is.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface UpgradeOptions {
  readonly program?: string | URL | undefined
  readonly args?: ReadonlyArray<string> | undefined
  readonly execArgv?: ReadonlyArray<string> | undefined
  readonly env?: Record<string, string> | undefined
  readonly cwd?: string | undefined
  readonly readyWithin?: Duration.Input | undefined
  readonly verify?: Effect.Effect<unknown, unknown> | undefined
}

/**
 * The option `handover` of `NodeMain.runMain`.
 *
 * **Details**
 *
 * - `signal`: hands over. Default `"SIGUSR2"`; SIGUSR1 is Node's debugger.
 * - `next`: further options of an upgrade, asked for each time: a release folder
 *   that is read from a file, say. They go before the others.
 * - `handedOver`: runs in the predecessor when it has closed, before its program
 *   is interrupted.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface HandoverOptions extends UpgradeOptions {
  readonly signal?: NodeJS.Signals | undefined
  readonly next?: Effect.Effect<UpgradeOptions, unknown> | undefined
  readonly handedOver?: ((report: HandoverReport) => Effect.Effect<unknown, unknown>) | undefined
}

/**
 * Hands this program over to its next version, and completes when this one has
 * closed. Then the program is interrupted, and the process ends as it does after
 * a signal.
 *
 * **Details**
 *
 * All listeners of the program go, admin ports too, or none: one whose transport
 * cannot be passed on refuses the hand-over. Sockets go by the name in `inherit`,
 * or else by the name of their listener, and the successor has to take all of
 * them; it needs no options for that. The steps:
 *
 * 1. The successor is started with the sockets, builds itself, and says that it
 *    is prepared. It listens nowhere, so it accepts no client.
 * 2. It is told to go, listens, and connects to each address until it accepts
 *    such a connection itself.
 * 3. `verify` runs, if there is one.
 * 4. This program closes, leaving the accept queue to the successor; its report
 *    goes there and into this one.
 *
 * Fails with `HandoverFailed`, and then the successor's process has ended and
 * this program goes on. Not run by `NodeMain.runMain` with `handover`, as process
 * 1 of a container, or as a worker of `NodeWorkers`, it fails with `Refused`.
 * Interrupting it before step 4 rolls back.
 *
 * Timers, queues and locks of a program run twice meanwhile: what must not, waits
 * for the report of `predecessor`.
 *
 * **Example** (An admin route that hands over)
 *
 * ```ts
 * import { NodeHandover } from "@effect-listener/node"
 * import { Effect } from "effect"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 *
 * export const route = HttpRouter.add(
 *   "POST",
 *   "/upgrade",
 *   Effect.map(Effect.forkDetach(NodeHandover.upgrade()), () => HttpServerResponse.empty({ status: 202 }))
 * )
 * ```
 *
 * @stability experimental
 * @category running
 * @since 0.1.0
 */
export const upgrade = (options?: UpgradeOptions): Effect.Effect<HandoverReport, HandoverFailed> =>
  Effect.flatMap(CurrentMain, (main) =>
    Option.isSome(main) ? main.value.upgrade(options ?? {}) : Effect.fail(
      new HandoverFailed({
        operation: "upgrade",
        listener: "all",
        trail: [],
        reason: "Refused",
        detail: "the program is not run by NodeMain.runMain with the option handover"
      })
    ))

/**
 * How many times the service was handed over before this process: 0 for one that
 * was started in the usual way.
 *
 * @stability experimental
 * @category getters
 * @since 0.1.0
 */
export const generation: Effect.Effect<number> = Effect.flatMap(
  CurrentMain,
  (main) => Option.isSome(main) ? main.value.generation : Effect.succeed(0)
)

/**
 * The process that has handed over to this one.
 *
 * **Details**
 *
 * `report` waits until it has ended: a place for what must not run twice. `None`
 * when it ended without a word.
 *
 * **Example** (A job that only one process may run)
 *
 * ```ts
 * import { NodeHandover } from "@effect-listener/node"
 * import { Effect, Option } from "effect"
 *
 * declare const job: Effect.Effect<void>
 *
 * export const once = Effect.gen(function*() {
 *   const predecessor = yield* NodeHandover.predecessor
 *   if (Option.isSome(predecessor)) yield* predecessor.value.report
 *   yield* job
 * })
 * ```
 *
 * @stability experimental
 * @category getters
 * @since 0.1.0
 */
export const predecessor: Effect.Effect<
  Option.Option<{ readonly pid: number; readonly report: Effect.Effect<Option.Option<DrainReport | HostReport>> }>
> = Effect.flatMap(CurrentMain, (main) => Option.isSome(main) ? main.value.predecessor : Effect.succeedNone)

/**
 * Completes when this process accepts connections of the sockets it was handed;
 * at once where it was handed none.
 *
 * @stability experimental
 * @category getters
 * @since 0.1.0
 */
export const accepting: Effect.Effect<void> = Effect.flatMap(
  CurrentMain,
  (main) => Option.isSome(main) ? main.value.accepting : Effect.void
)
