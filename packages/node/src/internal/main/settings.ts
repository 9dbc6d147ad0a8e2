/** What the options of `runMain` mean, and what is wrong with them. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { inspect } from "node:util"
import type { RunMainOptions } from "../../NodeMain.ts"
import type { Progress } from "./display.ts"
import * as Signals from "./signals.ts"

/** The options of `runMain` with every default filled in; times in milliseconds. */
export interface Settings {
  readonly disableErrorReporting: boolean
  readonly hostDeadline: number | undefined
  readonly signals: ReadonlyArray<NodeJS.Signals>
  readonly progress: Progress
  readonly uncaught: "report" | "drain"
}

export interface BadSetting {
  readonly parameter: string
  readonly detail: string
}

export const resolve = (options: RunMainOptions): Result.Result<Settings, BadSetting> =>
  Result.gen(function*() {
    return {
      disableErrorReporting: options.disableErrorReporting === true,
      hostDeadline: yield* hostDeadline(options.hostDeadline),
      signals: yield* Result.mapError(Signals.check(options.signals), (detail) => ({ parameter: "signals", detail })),
      progress: yield* oneOf(
        "progress",
        options.progress,
        ["line", "log", "none"],
        process.stderr.isTTY ? "line" : "log"
      ),
      uncaught: yield* oneOf("uncaught", options.uncaught, ["report", "drain"], "report")
    }
  })

const oneOf = <A extends string>(
  parameter: string,
  input: A | undefined,
  all: ReadonlyArray<A>,
  otherwise: A
): Result.Result<A, BadSetting> => {
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
  uncaught: "report"
}

/** Milliseconds; undefined where the host sets none. */
const hostDeadline = (input: Duration.Input | undefined): Result.Result<number | undefined, BadSetting> => {
  if (input === undefined) return Result.succeed(undefined)
  const millis = isComplete(input) ? Option.map(Duration.fromInput(input), Duration.toMillis) : Option.none()
  return Option.isSome(millis) && millis.value >= 0
    ? Result.succeed(millis.value === Infinity ? undefined : millis.value)
    : Result.fail({ parameter: "hostDeadline", detail: `is not a duration of zero or more (${inspect(input)})` })
}

// Duration reads NaN, and an object without a unit it knows, as zero: `{ seconds: Number(process.env.GRACE) }` without
// that variable would cut every client at the first signal
const isComplete = (input: Duration.Input): boolean => {
  if (typeof input === "number") return !Number.isNaN(input)
  if (typeof input !== "object" || input === null || Duration.isDuration(input)) return true
  const parts: ReadonlyArray<unknown> = Object.values(input)
  return parts.length > 0 && parts.every((part) => typeof part === "number" && !Number.isNaN(part))
}
