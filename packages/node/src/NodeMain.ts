/**
 * Runs a program with listeners as the main program of a process, and ends it
 * without losing what its clients have in flight.
 *
 * It is `NodeRuntime.runMain` with one difference: the first SIGTERM or SIGINT
 * closes the listeners of the program first, and interrupts the program when
 * they are closed. Interrupting at once would release whatever is built on a
 * listener before the listener drained, because a scope closes top-down.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as DrainReport from "@effect-listener/core/DrainReport"
import * as ListenerError from "@effect-listener/core/ListenerError"
import * as ListenerRegistry from "@effect-listener/core/ListenerRegistry"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import { inspect } from "node:util"
import { onClusterDisconnect } from "./internal/main/clusterWorker.ts"
import { afterSignal, exitCode } from "./internal/main/exitCode.ts"
import * as ProgressLine from "./internal/main/progressLine.ts"
import { closeMembers, watchedRegistry } from "./internal/main/shutdown.ts"
import { forcedExitCode, onSignal } from "./internal/main/signals.ts"

/**
 * The options of `runMain`.
 *
 * **Details**
 *
 * - `disableErrorReporting`: do not print the failure of the program.
 * - `teardown`: decides the exit code of the program itself. After a graceful
 *   signal it is given a success for what the signal brought about.
 * - `hostDeadline`: the time the host gives a program after its signal, such as
 *   `terminationGracePeriodSeconds`, less what finalizers need. From the first
 *   signal on every deadline is lowered to it, a lame duck included; a
 *   listener's `abortGrace` (1 s) may still follow. Default: none.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface RunMainOptions {
  readonly disableErrorReporting?: boolean | undefined
  readonly teardown?: Runtime.Teardown | undefined
  readonly hostDeadline?: Duration.Input | undefined
}

/**
 * Runs an effect as the main program of the process, and closes its listeners
 * gracefully on SIGTERM or SIGINT.
 *
 * **Details**
 *
 * The first signal closes every listener made in the program, all at once, and
 * joins closes that run already. While it waits, stderr shows where they stand:
 * one live line on a terminal, a line a second elsewhere. When all are closed the
 * program is interrupted, so that its finalizers run. The second signal ends the
 * process at once.
 *
 * | exit code | |
 * |---|---|
 * | 0 | everything drained |
 * | 1, or `Runtime.errorExitCode` | the program failed |
 * | 124 | a deadline passed and something was cut; each connection is named on stderr |
 * | 143, 130 | forced by a second SIGTERM, SIGINT |
 *
 * A program that ends by itself has the exit code `NodeRuntime.runMain` gives
 * it, also when a listener it closed with its scope cut something: that listener
 * has warned, and the program may have good reason. Everything printed here goes
 * to stderr.
 *
 * **Example** (An echo server that restarts without losing anything)
 *
 * ```ts no-run: it serves until a signal comes
 * import { Listener } from "@effect-listener/core"
 * import { NodeMain, NodeTcp } from "@effect-listener/node"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const listener = yield* Listener.listen(NodeTcp.transport({ port: 8080 }))
 *   yield* Listener.serve(listener, (connection) =>
 *     Effect.gen(function*() {
 *       const { pull } = yield* connection.socket.reader
 *       const { writeAll } = yield* connection.socket.writer
 *       yield* Effect.forever(Effect.flatMap(pull, writeAll))
 *     }), { idle: "pull" })
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
  /**
   * Runs an effect as the main program of the process, and closes its listeners
   * gracefully on SIGTERM or SIGINT.
   *
   * @stability experimental
   * @category running
   * @since 0.1.0
   */
  (options?: RunMainOptions): <E, A>(program: Effect.Effect<A, E>) => void
  /**
   * Runs an effect as the main program of the process, and closes its listeners
   * gracefully on SIGTERM or SIGINT.
   *
   * @stability experimental
   * @category running
   * @since 0.1.0
   */
  <E, A>(program: Effect.Effect<A, E>, options?: RunMainOptions): void
} = dual(
  (args) => Effect.isEffect(args[0]),
  <E, A>(program: Effect.Effect<A, E>, options?: RunMainOptions): void => {
    const deadline = hostDeadline(options?.hostDeadline)
    const registry = watchedRegistry()
    const display = ProgressLine.makeDisplay(process.stderr)
    const reports: Array<DrainReport.DrainReport> = []
    let closing: Fiber.Fiber<void> | undefined

    const onReport = (report: DrainReport.DrainReport): void => {
      reports.push(report)
      display.clear()
      for (const info of report.cut) tell(`${report.listener}: cut ${DrainReport.formatConnection(info)}`)
      for (const info of report.handlersLeftBehind) {
        tell(`${report.listener}: handler left behind ${DrainReport.formatConnection(info)}`)
      }
      const { neverAccepted } = report.connections
      if (neverAccepted > 0) tell(`${report.listener}: ${neverAccepted} connections taken by nobody`)
    }

    const start = Runtime.makeRunMain(({ fiber, teardown }) => {
      const stop = (reason: string): void => {
        const close = closeMembers(registry, {
          reason,
          deadline: Result.getOrUndefined(deadline),
          display,
          onReport
        })
        // a close may end the program there and then, and it has to be known by then
        closing = Effect.runFork(Effect.andThen(Effect.yieldNow, close))
        closing.addObserver(() => interruptGently(fiber))
      }
      const removeSignals = onSignal((signal) => {
        if (closing !== undefined) {
          display.clear()
          process.exit(forcedExitCode[signal])
        }
        stop(signal)
      })
      const removeDisconnect = onClusterDisconnect(() => {
        if (closing === undefined) stop("cluster disconnect")
      })
      const removeHandlers = (): void => {
        removeSignals()
        removeDisconnect()
      }
      fiber.addObserver((own) => {
        const end = (closed?: Exit.Exit<void>): void => {
          removeHandlers()
          const exit = closed === undefined ? own : Exit.isFailure(closed) ? closed : afterSignal(own)
          if (options?.disableErrorReporting !== true) reportFailure(exit)
          teardown(exit, (program) => {
            const code = exitCode({ program, reports })
            // a program that ends well by itself ends when nothing keeps it alive any more
            if (closing === undefined && code === 0) return
            // in the next turn: others who waited for the same close may have something to print
            setImmediate(() => process.exit(code))
          })
        }
        // a program may end as soon as its listeners are closed, or fail before they are
        if (closing === undefined) end()
        else closing.addObserver(end)
      })
    })

    start(
      Effect.provideService(
        Effect.andThen(Effect.fromResult(deadline), program),
        ListenerRegistry.CurrentRegistry,
        Option.some(registry)
      ),
      { disableErrorReporting: true, teardown: options?.teardown }
    )
  }
)

const tell = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

/**
 * As `Runtime.makeRunMain` does it, but on stderr, because stdout may be the
 * program's own, and with a listener's error in an operator's words.
 */
const reportFailure = (exit: Exit.Exit<unknown, unknown>): void => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return
  const error = Cause.squash(exit.cause)
  if (!Runtime.getErrorReported(error)) return
  const whole = exit.cause.reasons.length === 1 && ListenerError.isListenerError(error)
  const message = whole ? ListenerError.format(error) : exit.cause
  Effect.runFork(Effect.provideService(Effect.logError(message), References.LogToStderr, true))
}

/**
 * Interrupts a program, but not while it runs finalizers: an interruption that
 * waits for their end takes the place of the failure they run for.
 */
const interruptGently = (fiber: Fiber.Fiber<unknown, unknown>): void => {
  // not in the interface of fibers, but all of them have it; without it, the interruption waits inside the fiber
  const { interruptible } = fiber as { readonly interruptible?: boolean }
  if (interruptible !== false) return fiber.interruptUnsafe(fiber.id)
  const retry = setTimeout(() => interruptGently(fiber), 10)
  fiber.addObserver(() => clearTimeout(retry))
}

/** Milliseconds; undefined where the host sets none. */
const hostDeadline = (
  input: Duration.Input | undefined
): Result.Result<number | undefined, ListenerError.InvalidArgument> => {
  if (input === undefined) return Result.succeed(undefined)
  const millis = Number.isNaN(input) ? Option.none() : Option.map(Duration.fromInput(input), Duration.toMillis)
  return Option.isSome(millis) && millis.value >= 0
    ? Result.succeed(millis.value === Infinity ? undefined : millis.value)
    : Result.fail(
      new ListenerError.InvalidArgument({
        operation: "runMain",
        listener: "all",
        trail: [],
        parameter: "hostDeadline",
        detail: `is not a duration of zero or more (${inspect(input)})`
      })
    )
}
