import { Effect, Logger } from "effect"

/** A log that is kept: its lines, and what writes to it. */
export const keptLog = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ message }) => {
    lines.push([message].flat().map(String).join(" "))
  })
  return { lines, logged: Effect.provide(Logger.layer([logger])) }
}

/** A log that throws at each line. */
export const throwingLog = Effect.provide(Logger.layer([
  Logger.make(() => {
    throw new Error("the log is full")
  })
]))
