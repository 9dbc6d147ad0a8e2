/**
 * What the options of timeouts mean: defaults filled in, in milliseconds.
 */
import * as Result from "effect/Result"
import type { TimeoutOptions } from "../../Admission.ts"
import { type BadOption, millis } from "./time.ts"

export interface ResolvedTimeouts {
  readonly open: number
  readonly queued: number
  readonly handshake: number
  readonly firstByte: number
  readonly inactivity: number
}

export const timeoutDefaults: ResolvedTimeouts = {
  open: 30_000,
  queued: 60_000,
  handshake: 15_000,
  firstByte: Infinity,
  inactivity: Infinity
}

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
      queued: yield* time("queued"),
      handshake: yield* time("handshake"),
      firstByte: yield* time("firstByte"),
      inactivity: yield* time("inactivity")
    }
  })
