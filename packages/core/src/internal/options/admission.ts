/**
 * What the options of admission mean: defaults filled in, times in milliseconds.
 */
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import type { AdmissionOptions } from "../../Admission.ts"
import { type BadOption, millis } from "./time.ts"

/**
 * Why a connection is refused: the limit it meets.
 */
export type RefusalReason =
  | "maxConnections"
  | "maxQueued"
  | "maxPerRemote"
  | "acceptRate"
  | "maxEventLoopLag"
  | "queuedTimeout"
  | "notIntroduced"

export interface ResolvedAdmission {
  readonly maxConnections: number
  readonly overflow: "wait" | "reject"
  readonly maxQueued: number
  readonly maxPerRemote: number
  /** How many bits of an IPv6 address make one remote. */
  readonly remotePrefix: number
  readonly acceptRate: { readonly limit: number; readonly interval: number }
  readonly maxEventLoopLag: number
}

export const admissionDefaults: ResolvedAdmission = {
  maxConnections: Infinity,
  overflow: "wait",
  maxQueued: 511,
  maxPerRemote: Infinity,
  remotePrefix: 64,
  acceptRate: { limit: Infinity, interval: 1000 },
  maxEventLoopLag: Infinity
}

export const resolveAdmission = (
  options: AdmissionOptions | undefined,
  base: ResolvedAdmission
): Result.Result<ResolvedAdmission, BadOption> =>
  Result.gen(function*() {
    const overflow = options?.overflow === undefined ? base.overflow : options.overflow
    if (overflow !== "wait" && overflow !== "reject") {
      return yield* Result.fail({
        parameter: "admission.overflow",
        detail: `is neither "wait" nor "reject" (${Formatter.format(overflow)})`
      })
    }
    return {
      maxConnections: yield* count("admission.maxConnections", options?.maxConnections, base.maxConnections, 1),
      overflow,
      maxQueued: yield* count("admission.maxQueued", options?.maxQueued, base.maxQueued, 0),
      maxPerRemote: yield* count("admission.maxPerRemote", options?.maxPerRemote, base.maxPerRemote, 1),
      remotePrefix: yield* prefix("admission.remotePrefix", options?.remotePrefix, base.remotePrefix),
      acceptRate: options?.acceptRate === undefined ? base.acceptRate : yield* resolveRate(options.acceptRate),
      maxEventLoopLag: options?.maxEventLoopLag === undefined
        ? base.maxEventLoopLag
        : yield* millis("admission.maxEventLoopLag", options.maxEventLoopLag, { infinite: true, positive: true })
    }
  })

const resolveRate = (
  { interval, limit }: Exclude<AdmissionOptions["acceptRate"], undefined>
): Result.Result<ResolvedAdmission["acceptRate"], BadOption> =>
  Result.gen(function*() {
    return {
      // left out by a caller without types, it is no number
      limit: yield* count("admission.acceptRate.limit", limit ?? Number.NaN, Number.NaN, 1),
      interval: yield* millis("admission.acceptRate.interval", interval, { positive: true })
    }
  })

const count = (
  parameter: string,
  input: number | undefined,
  fallback: number,
  least: number
): Result.Result<number, BadOption> =>
  input === undefined
    ? Result.succeed(fallback)
    : input === Infinity || (Number.isSafeInteger(input) && input >= least)
    ? Result.succeed(input)
    : Result.fail({ parameter, detail: `is not a whole number of at least ${least} (${Formatter.format(input)})` })

const prefix = (parameter: string, input: number | undefined, fallback: number): Result.Result<number, BadOption> =>
  input === undefined
    ? Result.succeed(fallback)
    : Number.isInteger(input) && input >= 1 && input <= 128
    ? Result.succeed(input)
    : Result.fail({ parameter, detail: `is not a whole number from 1 to 128 (${Formatter.format(input)})` })
