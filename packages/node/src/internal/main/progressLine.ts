import type { DrainProgress, DrainStage } from "@effect-listener/core/Drain"
import type { ConnectionInfo } from "@effect-listener/core/DrainReport"
import * as Option from "effect/Option"

/** From the least to the most advanced: several listeners are as far as the last of them. */
const stages: ReadonlyArray<readonly [stage: DrainStage, words: string]> = [
  ["LameDuck", "lame duck"],
  ["Sweeping", "sweeping"],
  ["Draining", "draining"],
  ["Aborting", "aborting"]
]

/**
 * Where the closes of a program stand, in one line; undefined when none is
 * running.
 *
 * `draining 37 of 120 · 12 s left · oldest GET /export 41 s from 10.0.0.7:50112`
 */
export const format = (closes: ReadonlyArray<DrainProgress>): string | undefined => {
  const running = closes.filter((close) => close.stage !== "Closed")
  const words = stages.find(([stage]) => running.some((close) => close.stage === stage))?.[1]
  if (words === undefined) return undefined
  const remaining = running.reduce((sum, close) => sum + close.remaining, 0)
  const connections = closes.reduce((sum, close) => sum + close.connections, 0)
  const timeLeft = Math.max(...running.map((close) => close.timeLeft))
  const oldest = running.flatMap((close) => Option.toArray(close.oldest))
    .reduce<ConnectionInfo | undefined>((a, b) => a === undefined || b.age > a.age ? b : a, undefined)
  return [
    `${words} ${remaining} of ${connections}`,
    timeLeft === Infinity ? "no deadline" : `${Math.ceil(timeLeft / 1000)} s left`,
    ...oldest === undefined ? [] : [`oldest ${formatOldest(oldest)}`]
  ].join(" · ")
}

const formatOldest = (info: ConnectionInfo): string => {
  const [first, ...others] = info.exchanges
  const work = others.reduce((a, b) => a === undefined || b.age > a.age ? b : a, first)
  const [label, age] = work === undefined ? [info.phase, info.age] : [work.label, work.age]
  // a label may hold what a client sent: it must not move the cursor
  return `${label.replace(/\p{Cc}/gu, "?")} ${Math.floor(age / 1000)} s from ${info.remote}`
}

/** Shows a line that changes: in place on a terminal, one after the other elsewhere. */
export interface Display {
  /** How often a new line is worth showing (ms). */
  readonly interval: number
  readonly show: (line: string) => void
  readonly clear: () => void
}

/** The parts of a stream, such as `process.stderr`, that a display needs. */
export interface Output {
  readonly write: (text: string) => unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

const eraseLine = "\r\u001b[2K"

export const makeDisplay = (output: Output): Display =>
  output.isTTY === true
    ? {
      interval: 100,
      show: (line) => output.write(eraseLine + line.slice(0, (output.columns ?? 80) - 1)),
      clear: () => output.write(eraseLine)
    }
    : {
      interval: 1000,
      show: (line) => output.write(`${line}\n`),
      clear: () => {}
    }
