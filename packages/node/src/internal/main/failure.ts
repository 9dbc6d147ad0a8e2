import * as ListenerError from "@effect-listener/core/ListenerError"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Runtime from "effect/Runtime"

/**
 * What is said of a program's failure: of a listener that did not open, and of
 * a setting that is wrong, what it is and what to do, without a stack; of
 * anything else its cause. Undefined where there is nothing to say.
 */
export const describeFailure = (exit: Exit.Exit<unknown, unknown>): string | Cause.Cause<unknown> | undefined => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return undefined
  const error = Cause.squash(exit.cause)
  if (!Runtime.getErrorReported(error)) return undefined
  if (exit.cause.reasons.length !== 1) return exit.cause
  const listenerError = within(error)
  if (listenerError !== undefined) {
    return [`${listenerError._tag}: ${listenerError.message}`, ...listenerError.trail.map((line) => `  ${line}`)].join(
      "\n"
    )
  }
  return error instanceof Error && Predicate.isTagged(error, "ConfigError") ? error.message : exit.cause
}

/** The listener's error that another one wraps, such as that of an HTTP server which could not listen. */
const within = (error: unknown): ListenerError.ListenerError | undefined => {
  for (let depth = 0; depth < 5 && typeof error === "object" && error !== null; depth++) {
    if (ListenerError.isListenerError(error)) return error
    const { cause, reason }: { readonly cause?: unknown; readonly reason?: unknown } = error
    error = reason instanceof Error ? reason : cause
  }
  return undefined
}
