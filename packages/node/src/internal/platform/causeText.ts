import * as Cause from "effect/Cause"
import * as Formatter from "effect/Formatter"
import { inspect } from "node:util"

/** What a failure says of itself. What was thrown may be anything, also an object of which `String` makes no text. */
export const causeText = (cause: unknown): string => {
  const text = cause instanceof Error ? cause.message : cause
  return typeof text === "string" ? text : Formatter.format(text)
}

/** Why something that was run at once, to its end, has not answered. */
export const whyNotAtOnce = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return Cause.isAsyncFiberError(error) ? "it does not answer at once" : causeText(error)
}

/** What was thrown, with its stack. It may say itself how it is shown, and throw as it does. */
export const shown = (error: unknown): string => {
  try {
    return inspect(error)
  } catch {
    return `${typeof error} that cannot be shown`
  }
}
