/**
 * What the options of admission and of timeouts mean, and the decision about
 * one connection that arrives.
 */
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import type { AdmissionOptions, TimeoutOptions } from "../../Admission.ts"
import { type BadOption, millis } from "../options/time.ts"

export interface ResolvedAdmission {
  readonly maxConnections: number
  readonly overflow: "wait" | "reject"
  readonly maxQueued: number
  readonly maxPerRemote: number
  readonly acceptRate: { readonly limit: number; readonly interval: number }
  readonly maxEventLoopLag: number
}

export interface ResolvedTimeouts {
  readonly open: number
  readonly handshake: number
  readonly firstByte: number
  readonly inactivity: number
}

export const admissionDefaults: ResolvedAdmission = {
  maxConnections: Infinity,
  overflow: "wait",
  maxQueued: 511,
  maxPerRemote: Infinity,
  acceptRate: { limit: Infinity, interval: 1000 },
  maxEventLoopLag: Infinity
}

export const timeoutDefaults: ResolvedTimeouts = {
  open: 30_000,
  handshake: 15_000,
  firstByte: Infinity,
  inactivity: Infinity
}

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

export const resolveTimeouts = (options: TimeoutOptions | undefined): Result.Result<ResolvedTimeouts, BadOption> =>
  Result.gen(function*() {
    const time = (name: keyof ResolvedTimeouts) => {
      const input = options?.[name]
      return input === undefined
        ? Result.succeed(timeoutDefaults[name])
        : millis(`timeouts.${name}`, input, { infinite: true })
    }
    return {
      open: yield* time("open"),
      handshake: yield* time("handshake"),
      firstByte: yield* time("firstByte"),
      inactivity: yield* time("inactivity")
    }
  })

/**
 * Why a connection is refused: the limit it meets.
 */
export type RefusalReason = "maxConnections" | "maxQueued" | "maxPerRemote" | "acceptRate" | "maxEventLoopLag"

/** What the decision about one connection is made from. */
export interface Arrival {
  readonly open: number
  readonly queued: number
  /** Whether somebody is there to take it. */
  readonly taker: boolean
  /** How many connections its remote has, open or queued. */
  readonly fromRemote: number
  /** Whether the rate lets one in now, after all that are queued. */
  readonly inTime: boolean
  /** How late the event loop is, in milliseconds. */
  readonly lag: number
}

/**
 * Decides about an arriving connection: the limit it is refused for, if it is.
 *
 * **Details**
 *
 * First come, first served: nobody overtakes the queue. With `"reject"` the
 * queue holds only what has room but no taker yet, so what is queued counts as
 * open. A remote over its limit and a process that is late are refused with
 * `"wait"`, too: holding them would cost what the limit is there to save.
 */
export const refusal = (limits: ResolvedAdmission, now: Arrival): RefusalReason | undefined => {
  if (now.lag > limits.maxEventLoopLag) return "maxEventLoopLag"
  if (now.fromRemote >= limits.maxPerRemote) return "maxPerRemote"
  if (limits.overflow === "reject") {
    if (now.open + now.queued >= limits.maxConnections) return "maxConnections"
    if (!now.inTime) return "acceptRate"
  }
  const room = now.queued === 0 && now.open < limits.maxConnections && now.inTime
  if (now.taker && room) return undefined
  return now.queued < limits.maxQueued ? undefined : "maxQueued"
}
