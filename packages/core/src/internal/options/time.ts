/**
 * What a duration in an option means: the one check of all modules.
 */
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as Result from "effect/Result"

/** See `DurationOption.BadOption`. */
export interface BadOption {
  readonly parameter: string
  readonly detail: string
}

/** setTimeout counts milliseconds in 31 bits, and fires at once when it is given more. */
export const longestTimer = 2 ** 31 - 1

/** See `DurationOption.millis`. */
export const millis = (
  parameter: string,
  input: Duration.Input,
  options?: { readonly infinite?: boolean | undefined; readonly positive?: boolean | undefined }
): Result.Result<number, BadOption> => {
  const bad = (what: string) => Result.fail({ parameter, detail: `${what} (${Formatter.format(input)})` })
  const duration = isComplete(input) ? Duration.fromInput(input) : Option.none()
  if (Option.isNone(duration)) return bad("is not a duration")
  const ms = Duration.toMillis(duration.value)
  if (ms < 0) return bad("is negative")
  if (ms === 0 && options?.positive === true) return bad("is no time at all")
  if (ms === Infinity && options?.infinite !== true) return bad("is infinite")
  return Result.succeed(ms)
}

const units = ["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"] as const

// Duration reads NaN, and an object without a unit it knows, as zero. To a caller both are mistakes, such as
// `{ seconds: Number(process.env.DEADLINE) }`, and a deadline of zero would cut every client
const isComplete = (input: Duration.Input): boolean => {
  if (typeof input === "number") return !Number.isNaN(input)
  if (typeof input !== "object" || input === null || Duration.isDuration(input)) return true
  const parts = Array.isArray(input) ? input : units.map((unit) => (input as Duration.DurationObject)[unit])
  const given = parts.filter((part) => part !== undefined)
  return given.length > 0 && given.every((part) => typeof part === "number" && !Number.isNaN(part))
}
