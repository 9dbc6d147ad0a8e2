/**
 * What the options of admission and of timeouts mean, and the decision about
 * one connection that arrives.
 */
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import type { AdmissionOptions, TimeoutOptions } from "../Admission.ts"
import { type BadOption, millis } from "./drainOptions.ts"

export interface ResolvedAdmission {
  readonly maxConnections: number
  readonly overflow: "wait" | "reject"
  readonly maxQueued: number
}

export interface ResolvedTimeouts {
  readonly open: number
  readonly handshake: number
  readonly firstByte: number
  readonly inactivity: number
}

export const admissionDefaults: ResolvedAdmission = { maxConnections: Infinity, overflow: "wait", maxQueued: 511 }

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
      maxQueued: yield* count("admission.maxQueued", options?.maxQueued, base.maxQueued, 0)
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
 * What to do with a connection that arrives.
 */
export type Admit = "Take" | "Queue" | "Refuse"

/**
 * Decides about an arriving connection from what is open, what is queued, and
 * whether somebody is there to take it.
 *
 * **Details**
 *
 * First come, first served: nobody overtakes the queue. With `"reject"` the
 * queue holds only what has room but no taker yet, so what is queued counts as
 * open.
 */
export const admit = (
  limits: ResolvedAdmission,
  now: { readonly open: number; readonly queued: number; readonly taker: boolean }
): Admit => {
  if (limits.overflow === "reject" && now.open + now.queued >= limits.maxConnections) return "Refuse"
  if (now.taker && now.queued === 0 && now.open < limits.maxConnections) return "Take"
  return now.queued < limits.maxQueued ? "Queue" : "Refuse"
}
