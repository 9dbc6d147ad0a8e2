import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import { format as formatReport, oneLine } from "../../DrainReport.ts"
import * as Hresult from "../../Hresult.ts"
import type { ErrorClass, ListenerError } from "../../ListenerError.ts"

/** An error for an operator, see `ListenerError.format`. */
export const errorText = (error: ListenerError, classOf: (error: ListenerError) => ErrorClass): string => {
  const { code, name, meaning } = Option.getOrThrow(Hresult.describe(Hresult.of(error)))
  return [
    oneLine(`${error._tag}: ${error.message}`),
    ...[
      `${Hresult.format(code)} ${name} (${classOf(error)}): ${meaning}`,
      ...error.trail.map(oneLine),
      ...carried(error, classOf)
    ].map((line) => `  ${line}`)
  ].join("\n")
}

const carried = (
  error: ListenerError,
  classOf: (error: ListenerError) => ErrorClass
): ReadonlyArray<string> => {
  switch (error._tag) {
    case "OperationAborted":
    case "OperationTimedOut":
      return error.report === undefined ? [] : formatReport(error.report).split("\n")
    case "ListenerFaulted":
      return error.reason === "Aborted" ? [] : errorText(error.reason, classOf).split("\n")
    case "TransportFailure":
      return error.cause === undefined ? [] : [oneLine(`cause: ${Formatter.format(error.cause)}`)]
    default:
      return []
  }
}
