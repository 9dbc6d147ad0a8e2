import * as Result from "effect/Result"
import { oneLine } from "../../DrainReport.ts"
import type { BadOption } from "./time.ts"

/** How many characters a name may have. */
const longest = 200

/** A name is printed by logs, probes and terminals: it is one short line, without anything that drives them. */
export const resolveName = (name: string): Result.Result<string, BadOption> => {
  if (typeof name !== "string" || name === "") return Result.fail({ parameter: "name", detail: "is empty" })
  if (name.length > longest) {
    return Result.fail({ parameter: "name", detail: `is longer than ${longest} characters (${name.length})` })
  }
  return oneLine(name) === name
    ? Result.succeed(name)
    : Result.fail({ parameter: "name", detail: `has control characters (${oneLine(name)})` })
}

/** What a listener with a bad name is called in the error that says so. */
export const shownName = (name: string): string => oneLine(String(name)).slice(0, longest)
