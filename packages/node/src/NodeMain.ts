/**
 * Runs a program with listeners as the main program of a process, and ends it
 * without losing what its clients have in flight.
 *
 * It is `NodeRuntime.runMain` with one difference: the first signal closes the
 * listeners of the program first, and interrupts the program when they are
 * closed. Interrupting at once would release whatever is built on a listener
 * before the listener drained, because a scope closes top-down.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as ListenerError from "@effect-listener/core/ListenerError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import { MainProgram } from "./internal/main/mainProgram.ts"
import { defaults, resolve } from "./internal/main/settings.ts"
import type { HandoverOptions } from "./NodeHandover.ts"

/**
 * The options of `runMain`.
 *
 * **Details**
 *
 * - `disableErrorReporting`: do not print the failure of the program.
 * - `teardown`: decides the exit code of the program itself. After a graceful
 *   signal it is given a success for what the signal brought about.
 * - `hostDeadline`: the time the host gives a program after its signal, such as
 *   `terminationGracePeriodSeconds` less 2 s. From the first signal on every
 *   deadline is lowered to it, a lame duck included, and what follows the close
 *   is bounded by it, too: handlers that were cut have 1 s more for their end,
 *   finalizers at least 500 ms. What still runs then is named, and the exit code
 *   is 124. Default: none.
 * - `signals`: those that close the program. Default: SIGTERM, SIGINT, SIGHUP and
 *   SIGQUIT. A signal that is left out does what it does without `runMain`.
 * - `progress`: how stderr shows where a close stands. `"line"`: one line, that
 *   changes in place on a terminal and comes once a second elsewhere. `"log"`: an
 *   entry of the program's own log each second. `"none"`: not at all. Default:
 *   `"line"` on a terminal, `"log"` elsewhere.
 * - `uncaught`: what becomes of an uncaught error. `"report"`: it ends the process,
 *   as Node does, and what it cuts is named first. `"drain"`: it is printed, and
 *   the listeners are closed as at a signal; the exit code is 1. After such an
 *   error a program may be in any state. Default `"report"`.
 * - `handover`: at a signal, SIGUSR2 unless it says otherwise, the next version of
 *   the program is started with the listening sockets, and this one closes when
 *   that one accepts; see `NodeHandover`. It takes Node 24.19, and listeners fail
 *   to open with `NotSupported` without it. Default: no hand-over.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface RunMainOptions {
  readonly disableErrorReporting?: boolean | undefined
  readonly teardown?: Runtime.Teardown | undefined
  readonly hostDeadline?: Duration.Input | undefined
  readonly signals?: ReadonlyArray<NodeJS.Signals> | undefined
  readonly progress?: "line" | "log" | "none" | undefined
  readonly uncaught?: "report" | "drain" | undefined
  readonly handover?: HandoverOptions | undefined
}

/**
 * Runs an effect as the main program of the process, and closes its listeners
 * gracefully when a signal asks the process to stop.
 *
 * **Details**
 *
 * The first signal closes every listener made in the program, all at once, and
 * joins closes that run already. While it waits, stderr shows where they stand.
 * When all are closed the program is interrupted, so that its finalizers run.
 *
 * One stop may be heard several times: from a terminal and from a package manager
 * in front of the program, or by a whole group. What comes within 1 s of the first
 * signal is the same stop, whichever signals they are. A later one ends the
 * process at once, and what that cuts is named.
 *
 * | exit code | |
 * |---|---|
 * | 0 | everything drained |
 * | 1, or `Runtime.errorExitCode` | the program failed, or an error was not caught |
 * | 124 | a deadline passed, and something was cut or still ran; each is named on stderr |
 * | 143, 130, 129, 131 | forced by a later SIGTERM, SIGINT, SIGHUP, SIGQUIT |
 *
 * A program that ends by itself has the exit code `NodeRuntime.runMain` gives
 * it, also when a listener it closed with its scope cut something: that listener
 * has warned, and the program may have good reason. Where several programs run in
 * one process, each drains, and the last to end exits with the worst of their
 * codes.
 *
 * Everything printed here goes to stderr. A reader of stdout or stderr that is
 * gone, a full disk or a closed terminal fails nothing, and before the exit both
 * have 1 s to take what was written. A worker thread gets no signals, and says
 * so; its listeners have to be closed by a message.
 *
 * **Example** (An echo server that restarts without losing anything)
 *
 * ```ts no-run: it serves until a signal comes
 * import { type Connection, Listener } from "@effect-listener/core"
 * import { NodeMain, NodeTcp } from "@effect-listener/node"
 * import { Effect } from "effect"
 *
 * const echo = Effect.fnUntraced(function*(connection: Connection.Connection) {
 *   const { pull } = yield* connection.socket.reader
 *   const { writeAll } = yield* connection.socket.writer
 *   yield* Effect.forever(Effect.flatMap(pull, writeAll))
 * })
 *
 * const program = Effect.gen(function*() {
 *   const listener = yield* Listener.listen(NodeTcp.transport({ port: 8080 }))
 *   yield* Listener.serve(listener, echo, { idle: "pull" })
 * })
 *
 * NodeMain.runMain(Effect.scoped(program), { hostDeadline: "25 seconds" })
 * ```
 *
 * @stability experimental
 * @category running
 * @since 0.1.0
 */
export const runMain: {
  (options?: RunMainOptions): <E, A>(program: Effect.Effect<A, E>) => void
  <E, A>(program: Effect.Effect<A, E>, options?: RunMainOptions): void
} = dual(
  (args) => Effect.isEffect(args[0]),
  <E, A>(program: Effect.Effect<A, E>, options?: RunMainOptions): void => {
    const settings = resolve(options ?? {})
    const main = new MainProgram(Result.getOrElse(settings, () => defaults))
    const start = Runtime.makeRunMain(({ fiber, teardown }) => main.start(fiber, teardown))
    const checked = Result.mapError(
      settings,
      (bad) => new ListenerError.InvalidArgument({ operation: "runMain", listener: "all", trail: [], ...bad })
    )
    start(
      main.provide(Effect.andThen(Effect.fromResult(checked), program)),
      // by us: on stderr, because stdout may be the program's own, and with a listener's error in an operator's words
      { disableErrorReporting: true, teardown: options?.teardown }
    )
  }
)
