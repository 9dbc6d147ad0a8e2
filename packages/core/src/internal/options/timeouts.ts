/**
 * What the options of timeouts mean: defaults filled in, in milliseconds.
 */
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import type { AgeLimit, TimeoutOptions } from "../../Admission.ts"
import { type BadOption, millis } from "./time.ts"

export interface ResolvedTimeouts {
  readonly open: number
  readonly queued: number
  readonly send: number
  readonly handshake: number
  readonly firstByte: number
  readonly inactivity: number
  readonly age: ResolvedAge
}

/** How long connections live, and by how much that may differ. */
export interface ResolvedAge {
  readonly max: number
  readonly jitter: number
}

export const timeoutDefaults: ResolvedTimeouts = {
  open: 30_000,
  queued: 60_000,
  send: 60_000,
  handshake: 15_000,
  firstByte: Infinity,
  inactivity: Infinity,
  age: { max: Infinity, jitter: 0 }
}

/** A part of the age. */
const defaultJitter = 0.1

export const resolveTimeouts = (options: TimeoutOptions | undefined): Result.Result<ResolvedTimeouts, BadOption> =>
  Result.gen(function*() {
    const time = (name: Exclude<keyof ResolvedTimeouts, "age">) => {
      const input = options?.[name]
      return input === undefined
        ? Result.succeed(timeoutDefaults[name])
        : millis(`timeouts.${name}`, input, { infinite: true })
    }
    return {
      open: yield* time("open"),
      queued: yield* time("queued"),
      send: yield* time("send"),
      handshake: yield* time("handshake"),
      firstByte: yield* time("firstByte"),
      inactivity: yield* time("inactivity"),
      age: options?.age === undefined ? timeoutDefaults.age : yield* resolveAge(options.age)
    }
  })

const resolveAge = (options: AgeLimit): Result.Result<ResolvedAge, BadOption> =>
  Result.gen(function*() {
    // a program without types may give anything
    if (typeof options !== "object" || options === null) {
      return yield* Result.fail({ parameter: "timeouts.age", detail: `has no max (${Formatter.format(options)})` })
    }
    const max = yield* millis("timeouts.age.max", options.max, { infinite: true, positive: true })
    const jitter = yield* resolveJitter(max, options.jitter === undefined ? defaultJitter : options.jitter)
    return { max, jitter: max === Infinity ? 0 : jitter }
  })

const resolveJitter = (max: number, input: Exclude<AgeLimit["jitter"], undefined>): Result.Result<number, BadOption> =>
  Result.gen(function*() {
    const parameter = "timeouts.age.jitter"
    if (typeof input === "number") {
      return input >= 0 && input <= 1
        ? max * input
        : yield* Result.fail({ parameter, detail: `is neither a part from 0 to 1 nor a duration (${input})` })
    }
    const jitter = yield* millis(parameter, input)
    return jitter <= max
      ? jitter
      : yield* Result.fail({ parameter, detail: `is more than max (${jitter} ms > ${max} ms)` })
  })
