import { TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"

/** An option that cannot be used as it is. */
export const invalid = (parameter: string, detail: string): Effect.Effect<never, TransportBindError> =>
  Effect.fail(TransportBindError.InvalidArgument({ parameter, detail }))

/** Succeeds when a value, which may come from JavaScript, is a whole number within bounds. */
export const checkInteger = (
  parameter: string,
  value: number,
  least: number,
  most: number
): Effect.Effect<void, TransportBindError> =>
  Number.isInteger(value) && value >= least && value <= most
    ? Effect.void
    : invalid(parameter, `expected an integer from ${least} to ${most}, got ${value}`)

/** Succeeds when a value, which may come from JavaScript, is text the system can take. */
export const checkText = (parameter: string, value: string): Effect.Effect<void, TransportBindError> =>
  typeof value !== "string" || value === ""
    ? invalid(parameter, "expected a string that is not empty")
    : value.includes("\0")
    ? invalid(parameter, "expected a string without NUL characters")
    : Effect.void

/** Node's own default: the kernel makes 512 of it, or less where `net.core.somaxconn` is smaller. */
export const defaultBacklog = 511

/** Of an inherited socket: `net.core.somaxconn` as it usually is, which bounds it anyway. Less would be for good, and for all processes that have the socket. */
export const inheritedBacklog = 4096

/** listen(2) takes an int. */
const largestBacklog = 2_147_483_647

export const checkBacklog = (backlog: number): Effect.Effect<void, TransportBindError> =>
  checkInteger("backlog", backlog, 1, largestBacklog)
