/**
 * What the options of a drain mean: defaults filled in, times in milliseconds,
 * and every one that is out of range named.
 */
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import type { CloseOptions, LameDuck } from "../../Drain.ts"
import type { LingerOptions } from "../../Transport.ts"
import { type BadOption, longestTimer, millis } from "./time.ts"

/**
 * Drain options with every default filled in; times in milliseconds.
 */
export interface ResolvedDrain {
  readonly deadline: number
  readonly lameDuck: { readonly min: number; readonly quiet: number; readonly max: number }
  readonly idleGrace: number
  readonly spread: number
  readonly abortGrace: number
  readonly queue: "sweep" | "leave"
  readonly linger: { readonly idle: number; readonly total: number | undefined; readonly bytes: number }
  /** Connections that are idle at their goodbye linger, too. */
  readonly idleLingers: boolean
}

export const defaults: ResolvedDrain = {
  deadline: 20_000,
  lameDuck: { min: 0, quiet: 0, max: 0 },
  idleGrace: 250,
  spread: 0,
  abortGrace: 1000,
  queue: "sweep",
  linger: { idle: 500, total: undefined, bytes: 64 * 1024 * 1024 },
  idleLingers: true
}

/**
 * Fills in what is left out from `base` and checks the rest. `prefix` is where
 * the caller wrote these options: `"drain."` in those of a listener, nothing in
 * those of a close.
 */
export const resolve = (
  options: CloseOptions | undefined,
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
    const given = options?.linger
    const linger = given === undefined || typeof given === "object"
      ? given
      : yield* resolveLinger(`${prefix}linger`, given)
    return {
      deadline: yield* time("deadline", options?.deadline, base.deadline, infiniteDeadline),
      lameDuck: lameDuck === undefined ? base.lameDuck : yield* resolveLameDuck(`${prefix}lameDuck`, lameDuck),
      idleGrace: yield* time("idleGrace", options?.idleGrace, base.idleGrace),
      spread: yield* time("spread", options?.spread, base.spread),
      abortGrace: yield* time("abortGrace", options?.abortGrace, base.abortGrace),
      queue: options?.queue === undefined ? base.queue : yield* resolveQueue(`${prefix}queue`, options.queue),
      linger: {
        idle: yield* time("linger.idle", linger?.idle, base.linger.idle),
        total: yield* time("linger.total", linger?.total, base.linger.total),
        bytes: linger?.bytes === undefined
          ? base.linger.bytes
          : yield* wholeBytes(`${prefix}linger.bytes`, linger.bytes)
      },
      idleLingers: given === undefined ? base.idleLingers : given !== "none"
    }
  })

const resolveQueue = (parameter: string, input: string): Result.Result<ResolvedDrain["queue"], BadOption> =>
  input === "sweep" || input === "leave"
    ? Result.succeed(input)
    : Result.fail({ parameter, detail: `is neither "sweep" nor "leave" (${Formatter.format(input)})` })

/** A word leaves the bounds of those that linger as they are. */
const resolveLinger = (parameter: string, input: string): Result.Result<undefined, BadOption> =>
  input === "none"
    ? Result.succeed(undefined)
    : Result.fail({ parameter, detail: `is neither "none" nor an object (${Formatter.format(input)})` })

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

/**
 * A courtesy (the grace, the silence of a linger) takes at most this part of a
 * short time: one that took the whole would end in a cut, and both leave half for
 * what is in flight.
 */
export const courtesyPart = 0.25

/** What a courtesy may take of a time, in milliseconds. */
export const courtesyWithin = (courtesy: number, time: number): number =>
  Math.min(courtesy, courtesyPart * Math.max(0, time))

/** Options whose courtesies fit their deadline. */
export const fitCourtesies = (drain: ResolvedDrain): ResolvedDrain => ({
  ...drain,
  idleGrace: courtesyWithin(drain.idleGrace, drain.deadline),
  linger: { ...drain.linger, idle: courtesyWithin(drain.linger.idle, drain.deadline) }
})

/**
 * The linger of a goodbye said now: its total is what is left of the deadline
 * while draining, else 30 s.
 */
export const lingerFor = (resolved: ResolvedDrain, timeLeft: number | undefined): LingerOptions => ({
  idle: Duration.millis(Math.min(resolved.linger.idle, longestTimer)),
  total: Duration.millis(Math.min(resolved.linger.total ?? Math.max(timeLeft ?? 30_000, 0), longestTimer)),
  bytes: resolved.linger.bytes
})
