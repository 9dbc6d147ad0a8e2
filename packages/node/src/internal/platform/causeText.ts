import * as Formatter from "effect/Formatter"

/** What a failure says of itself. What was thrown may be anything, also an object of which `String` makes no text. */
export const causeText = (cause: unknown): string => {
  const text = cause instanceof Error ? cause.message : cause
  return typeof text === "string" ? text : Formatter.format(text)
}
