import type { DrainProgress } from "@effect-listener/core/Drain"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"
import { LiveLine } from "./liveLine.ts"
import * as Output from "./output.ts"
import * as ProgressLine from "./progressLine.ts"

/** How a program says where its closes stand. */
export type Progress = "line" | "log" | "none"

export interface Entry {
  readonly level: LogLevel.Severity
  readonly message: string
  readonly annotations: Record<string, unknown>
}

/** What an operator of a main program sees. */
export interface Display {
  /** How often where the closes stand is worth showing (ms). */
  readonly interval: number
  readonly progress: (closes: ReadonlyArray<DrainProgress>) => void
  /** Says something once. */
  readonly say: (entry: Entry) => void
  /** Nothing of a live line is left. */
  readonly clear: () => void
}

/**
 * One live line on a terminal, with plain text above it; elsewhere entries of the
 * program's own log, on stderr. `context` is what the program logs with, as far as it is known.
 */
export const make = (
  progress: Progress,
  terminal: boolean,
  context: () => Context.Context<never> | undefined
): Display => {
  const line = progress === "line" && terminal ? new LiveLine() : undefined
  const say = (entry: Entry): void => {
    if (!terminal) return log(context(), entry.level, entry.message, entry.annotations)
    line?.clear()
    Output.write(`${entry.message}\n`)
  }
  return {
    interval: line === undefined ? 1000 : 100,
    progress: (closes) => {
      if (progress === "none") return
      const summary = ProgressLine.summary(closes)
      if (summary === undefined) return
      const message = ProgressLine.format(summary)
      if (line !== undefined) line.show(message)
      else if (progress === "line") Output.write(`${message}\n`)
      else log(context(), "Info", message, ProgressLine.annotations(summary))
    },
    say,
    clear: () => line?.clear()
  }
}

/** An entry of the program's log, on stderr, because stdout may be the program's own. */
export const log = (
  context: Context.Context<never> | undefined,
  level: LogLevel.Severity,
  message: unknown,
  annotations: Record<string, unknown>
): void => {
  Effect.logWithLevel(level)(message).pipe(
    Effect.annotateLogs(annotations),
    Effect.provideService(References.LogToStderr, true),
    Effect.runForkWith(context ?? Context.empty())
  )
}
