/**
 * Who is let in: how many connections are served at once, what happens to the
 * others, and how long a connection may take before it does something.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import { type BadOption, millis } from "./Drain.ts"

/**
 * The limits of a listener.
 *
 * **Details**
 *
 * - `maxConnections`: connections handled at the same time. Default: no limit.
 * - `overflow`: what happens beyond it: `"wait"` holds the connection, unread,
 *   until there is room; `"reject"` refuses it in its protocol's way (the
 *   `refuse` of `Listener.serve`, a FIN by default). Default `"wait"`.
 * - `maxQueued`: how many connections may be held; more are refused. Default
 *   511.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface AdmissionOptions {
  readonly maxConnections?: number | undefined
  readonly overflow?: "wait" | "reject" | undefined
  readonly maxQueued?: number | undefined
}

/**
 * How long a listener and its connections may take.
 *
 * **Details**
 *
 * - `open`: the bind. Default 30 s.
 * - `handshake`: until a connection's handshake is done. Default 15 s.
 * - `firstByte`: from a handler's first pull to the first byte. Default: off.
 * - `inactivity`: waiting in a pull with no byte in either direction. Default:
 *   off.
 *
 * A connection that takes longer is ended: its pull fails with a
 * `SocketCloseError` of code 1001.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface TimeoutOptions {
  readonly open?: Duration.Input | undefined
  readonly handshake?: Duration.Input | undefined
  readonly firstByte?: Duration.Input | undefined
  readonly inactivity?: Duration.Input | undefined
}

/** @internal */
export interface ResolvedAdmission {
  readonly maxConnections: number
  readonly overflow: "wait" | "reject"
  readonly maxQueued: number
}

/** @internal */
export interface ResolvedTimeouts {
  readonly open: number
  readonly handshake: number
  readonly firstByte: number
  readonly inactivity: number
}

/** @internal */
export const admissionDefaults: ResolvedAdmission = { maxConnections: Infinity, overflow: "wait", maxQueued: 511 }

/** @internal */
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

/** @internal */
export const resolveAdmission = (
  options: AdmissionOptions | undefined,
  base: ResolvedAdmission
): Result.Result<ResolvedAdmission, BadOption> =>
  Result.gen(function*() {
    const overflow = options?.overflow ?? base.overflow
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

/** @internal */
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
 *
 * @internal
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
 *
 * @internal
 */
export const admit = (
  limits: ResolvedAdmission,
  now: { readonly open: number; readonly queued: number; readonly taker: boolean }
): Admit => {
  if (limits.overflow === "reject" && now.open + now.queued >= limits.maxConnections) return "Refuse"
  if (now.taker && now.queued === 0 && now.open < limits.maxConnections) return "Take"
  return now.queued < limits.maxQueued ? "Queue" : "Refuse"
}
