/**
 * How a listener closes: the options of a drain and what can be watched of it.
 *
 * A drain stops accepting (sweeping the accept queue first), lets every
 * connection finish what it has in flight, says goodbye, and, when the deadline
 * passes, cuts what is left. `internal/drain.ts` is that algorithm step by step
 * and `internal/drainPolicy.ts` the decision about one connection.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { ConnectionInfo } from "./DrainReport.ts"
import type { LingerOptions } from "./Transport.ts"

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
 * - `lameDuck`: how long to go on accepting, not ready any more, before
 *   accepting stops. Default 0.
 * - `idleGrace`: how long a connection that was active just before is given for
 *   its next request. A courtesy; nothing that had arrived depends on it.
 *   Default 250 ms.
 * - `abortGrace`: how long interrupted handlers may take for their finalizers.
 *   Default 1 s.
 * - `linger`: see `LingerInput`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface DrainOptions {
  readonly deadline?: Duration.Input | undefined
  readonly lameDuck?: Duration.Input | LameDuck | undefined
  readonly idleGrace?: Duration.Input | undefined
  readonly abortGrace?: Duration.Input | undefined
  readonly linger?: LingerInput | undefined
}

/**
 * The options of one close. What is left out is the listener's own.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface CloseOptions extends DrainOptions {
  /** Why, for the report and the log. Default `"close"`. */
  readonly reason?: string | undefined
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
 * with none, connections nobody has taken yet; and the active ones by name.
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

/**
 * Drain options with every default filled in; times in milliseconds.
 *
 * @internal
 */
export interface ResolvedDrain {
  readonly deadline: number
  readonly lameDuck: { readonly min: number; readonly quiet: number; readonly max: number }
  readonly idleGrace: number
  readonly abortGrace: number
  readonly linger: { readonly idle: number; readonly total: number | undefined; readonly bytes: number }
}

/** @internal */
export const defaults: ResolvedDrain = {
  deadline: 20_000,
  lameDuck: { min: 0, quiet: 0, max: 0 },
  idleGrace: 250,
  abortGrace: 1000,
  linger: { idle: 500, total: undefined, bytes: 64 * 1024 * 1024 }
}

/**
 * An option that is out of range: its name and what is wrong with it.
 *
 * @internal
 */
export type BadOption = { readonly parameter: string; readonly detail: string }

/**
 * A time option in milliseconds: readable, not negative, finite unless allowed.
 *
 * @internal
 */
export const millis = (
  parameter: string,
  input: Duration.Input,
  options?: { readonly infinite?: boolean }
): Result.Result<number, BadOption> => {
  const bad = (what: string) => Result.fail({ parameter, detail: `${what} (${Formatter.format(input)})` })
  const duration = isComplete(input) ? Duration.fromInput(input) : Option.none()
  if (Option.isNone(duration)) return bad("is not a duration")
  const ms = Duration.toMillis(duration.value)
  if (ms < 0) return bad("is negative")
  if (ms === Infinity && options?.infinite !== true) return bad("is infinite")
  return Result.succeed(ms)
}

const units = ["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"] as const

// Duration reads NaN, and an object without a unit it knows, as zero. To a caller both are mistakes, such as
// `{ seconds: Number(process.env.DEADLINE) }`, and a deadline of zero would cut everybody
const isComplete = (input: Duration.Input): boolean => {
  if (typeof input === "number") return !Number.isNaN(input)
  if (typeof input !== "object" || input === null || Duration.isDuration(input)) return true
  const parts = Array.isArray(input) ? input : units.map((unit) => (input as Duration.DurationObject)[unit])
  const given = parts.filter((part) => part !== undefined)
  return given.length > 0 && given.every((part) => typeof part === "number" && !Number.isNaN(part))
}

/**
 * Fills in what is left out from `base` and checks the rest. `prefix` is where
 * the caller wrote these options: `"drain."` in those of a listener, nothing in
 * those of a close.
 *
 * @internal
 */
export const resolve = (
  options: DrainOptions | undefined,
  base: ResolvedDrain,
  { infiniteDeadline = false, prefix = "drain." }: {
    readonly infiniteDeadline?: boolean
    readonly prefix?: string
  } = {}
): Result.Result<ResolvedDrain, BadOption> =>
  Result.gen(function*() {
    const time = <A>(name: string, input: Duration.Input | undefined, fallback: A, infinite = false) =>
      input === undefined ? Result.succeed(fallback) : millis(`${prefix}${name}`, input, { infinite })
    const lameDuck = options?.lameDuck
    const linger = options?.linger
    return {
      deadline: yield* time("deadline", options?.deadline, base.deadline, infiniteDeadline),
      lameDuck: lameDuck === undefined ? base.lameDuck : yield* resolveLameDuck(`${prefix}lameDuck`, lameDuck),
      idleGrace: yield* time("idleGrace", options?.idleGrace, base.idleGrace),
      abortGrace: yield* time("abortGrace", options?.abortGrace, base.abortGrace),
      linger: {
        idle: yield* time("linger.idle", linger?.idle, base.linger.idle),
        total: yield* time("linger.total", linger?.total, base.linger.total),
        bytes: linger?.bytes === undefined
          ? base.linger.bytes
          : yield* wholeBytes(`${prefix}linger.bytes`, linger.bytes)
      }
    }
  })

const resolveLameDuck = (
  parameter: string,
  input: Duration.Input | LameDuck
): Result.Result<ResolvedDrain["lameDuck"], BadOption> =>
  Result.gen(function*() {
    if (!isLameDuck(input)) {
      const fixed = yield* millis(parameter, input)
      return { min: fixed, quiet: 0, max: fixed }
    }
    const min = yield* millis(`${parameter}.min`, input.min)
    const quiet = yield* millis(`${parameter}.quiet`, input.quiet)
    const max = yield* millis(`${parameter}.max`, input.max)
    if (max < min) {
      return yield* Result.fail({ parameter: `${parameter}.max`, detail: `is less than min (${max} ms < ${min} ms)` })
    }
    return { min, quiet, max }
  })

// one of its fields is enough: a lame duck with a field missing is told so, not taken for a duration
const isLameDuck = (input: Duration.Input | LameDuck): input is LameDuck =>
  typeof input === "object" && input !== null && ("min" in input || "quiet" in input || "max" in input)

const wholeBytes = (parameter: string, bytes: number): Result.Result<number, BadOption> =>
  Number.isSafeInteger(bytes) && bytes >= 0
    ? Result.succeed(bytes)
    : Result.fail({ parameter, detail: `is not a whole number of bytes (${Formatter.format(bytes)})` })

// a longer timer fires at once (setTimeout counts milliseconds in 31 bits)
const longestTimer = 2 ** 31 - 1

/**
 * The linger of a goodbye said now: its total is what is left of the deadline
 * while draining, else 30 s.
 *
 * @internal
 */
export const lingerFor = (resolved: ResolvedDrain, timeLeft: number | undefined): LingerOptions => ({
  idle: Duration.millis(Math.min(resolved.linger.idle, longestTimer)),
  total: Duration.millis(Math.min(resolved.linger.total ?? Math.max(timeLeft ?? 30_000, 0), longestTimer)),
  bytes: resolved.linger.bytes
})
