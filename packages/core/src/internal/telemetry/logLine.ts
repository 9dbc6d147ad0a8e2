import * as Effect from "effect/Effect"

/** A line in the log. A logger that throws harms nothing else: what says the line goes on. */
export const logLine = (line: Effect.Effect<void>, annotations: Record<string, unknown>): Effect.Effect<void> =>
  Effect.ignoreCause(Effect.annotateLogs(line, annotations))
