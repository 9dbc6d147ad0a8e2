/**
 * Durations in options, as every module of this library reads them. Effect's
 * `Duration` reads `{ seconds: NaN }`, and an object without a unit it knows, as
 * zero; in an option both are mistakes, such as a variable that is not set, and a
 * deadline of zero would cut every client.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Result from "effect/Result"
import * as internal from "./internal/options/time.ts"

/**
 * An option that cannot be used: its name, and what is wrong with it.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface BadOption extends internal.BadOption {}

/**
 * The longest time that `setTimeout` can wait, in milliseconds: 24.8 days. It
 * fires at once when it is given more.
 *
 * @stability experimental
 * @category constants
 * @since 0.1.0
 */
export const longestTimer: number = internal.longestTimer

/**
 * A duration in milliseconds, or what is wrong with it: not a duration, NaN,
 * negative, infinite unless `infinite` allows it, or zero where it must be
 * `positive`.
 *
 * **Example** (A variable that is not set)
 *
 * ```ts
 * import { DurationOption } from "@effect-listener/core"
 * import { Result } from "effect"
 *
 * const say = (input: { readonly seconds: number }) =>
 *   Result.match(DurationOption.millis("deadline", input), {
 *     onFailure: ({ detail, parameter }) => `${parameter} ${detail}`,
 *     onSuccess: (ms) => `${ms} ms`
 *   })
 *
 * console.log(say({ seconds: 2 })) // => 2000 ms
 * console.log(say({ seconds: Number(undefined) })) // => deadline is not a duration ({"seconds":NaN})
 * ```
 *
 * @stability experimental
 * @category reading
 * @since 0.1.0
 */
export const millis: (
  parameter: string,
  input: Duration.Input,
  options?: { readonly infinite?: boolean | undefined; readonly positive?: boolean | undefined }
) => Result.Result<number, BadOption> = internal.millis
