import * as Effect from "effect/Effect"
import type { ForeignOwner } from "../util/foreign.ts"

/** A line in the log. A logger that throws harms nothing else: what says the line goes on. */
export const logLine = (line: Effect.Effect<void>, annotations: Record<string, unknown>): Effect.Effect<void> =>
  Effect.ignoreCause(Effect.annotateLogs(line, annotations))

/** The owner of foreign code that ends nothing as it throws: a line in the log says so. */
export const logsThrown = (listener: string, runFork: (effect: Effect.Effect<void>) => unknown): ForeignOwner => ({
  threw: (member, defect) => {
    const line = Effect.logError(`${member} of listener "${listener}" threw`, defect)
    runFork(logLine(line, { event: "foreignCode", listener }))
  }
})
