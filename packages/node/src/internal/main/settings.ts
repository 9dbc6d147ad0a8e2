/** What the options of `runMain` mean, and what is wrong with them. */
import * as DurationOption from "@effect-listener/core/DurationOption"
import type * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import { inspect } from "node:util"
import type { HandoverOptions } from "../../NodeHandover.ts"
import type { RunMainOptions } from "../../NodeMain.ts"
import type { Progress } from "../display/display.ts"
import { startedBy } from "./holder.ts"
import * as Signals from "./stopping/signals.ts"

/** The options of `runMain` with every default filled in; times in milliseconds. */
export interface Settings {
  readonly disableErrorReporting: boolean
  readonly hostDeadline: number | undefined
  readonly signals: ReadonlyArray<NodeJS.Signals>
  readonly progress: Progress
  readonly uncaught: "report" | "drain"
  /** Whether and how it is handed over; its signal is checked. */
  readonly handover: HandoverOptions & { readonly signal: NodeJS.Signals } | undefined
}

export const resolve = (options: RunMainOptions): Result.Result<Settings, DurationOption.BadOption> =>
  Result.gen(function*() {
    return {
      disableErrorReporting: options.disableErrorReporting === true,
      hostDeadline: yield* hostDeadline(options.hostDeadline),
      signals: yield* Result.mapError(Signals.check(options.signals), (detail) => ({ parameter: "signals", detail })),
      // where a supervisor shows the close of all, one line of each worker is one too many
      progress: startedBy === "supervisor" ? "none" : yield* oneOf(
        "progress",
        options.progress,
        ["line", "log", "none"],
        process.stderr.isTTY ? "line" : "log"
      ),
      uncaught: yield* oneOf("uncaught", options.uncaught, ["report", "drain"], "report"),
      handover: options.handover === undefined ? undefined : yield* handover(options.handover)
    }
  })

const oneOf = <A extends string>(
  parameter: string,
  input: A | undefined,
  all: ReadonlyArray<A>,
  otherwise: A
): Result.Result<A, DurationOption.BadOption> => {
  if (input === undefined) return Result.succeed(otherwise)
  return all.includes(input)
    ? Result.succeed(input)
    : Result.fail({ parameter, detail: `is none of ${all.join(", ")} (${inspect(input)})` })
}

/** What holds where the options are wrong, for as long as it takes to say so. */
export const defaults: Settings = {
  disableErrorReporting: false,
  hostDeadline: undefined,
  signals: Signals.defaultSignals,
  progress: "log",
  uncaught: "report",
  handover: undefined
}

const handover = (options: HandoverOptions): Result.Result<Settings["handover"], DurationOption.BadOption> => {
  const { signal = "SIGUSR2" } = options
  return Result.mapBoth(Signals.check([signal]), {
    onFailure: (detail) => ({ parameter: "handover.signal", detail }),
    onSuccess: () => ({ ...options, signal })
  })
}

/** Milliseconds; undefined where the host sets none. */
const hostDeadline = (input: Duration.Input | undefined): Result.Result<number | undefined, DurationOption.BadOption> =>
  input === undefined
    ? Result.succeed(undefined)
    : Result.map(
      DurationOption.millis("hostDeadline", input, { infinite: true }),
      (millis) => millis === Infinity ? undefined : millis
    )
