/** Where the closes of a program stand, in words. */
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

/** Several closes as one; undefined when none is running. */
export const summary = (closes: ReadonlyArray<DrainProgress>) => {
  const running = closes.filter((close) => close.stage !== "Closed")
  const [stage, words] = stages.find(([stage]) => running.some((close) => close.stage === stage)) ?? []
  if (stage === undefined || words === undefined) return undefined
  return {
    stage,
    words,
    remaining: running.reduce((sum, close) => sum + close.remaining, 0),
    connections: closes.reduce((sum, close) => sum + close.connections, 0),
    timeLeft: Math.max(...running.map((close) => close.timeLeft)),
    oldest: running.flatMap((close) => Option.toArray(close.oldest))
      .reduce<ConnectionInfo | undefined>((a, b) => a === undefined || b.age > a.age ? b : a, undefined)
  }
}

export type Summary = Exclude<ReturnType<typeof summary>, undefined>

/**
 * `draining 37 of 120 · 12 s left · oldest GET /export 41 s from 10.0.0.7:50112`
 */
export const format = ({ connections, oldest, remaining, timeLeft, words }: Summary): string =>
  [
    `${words} ${remaining} of ${connections}`,
    timeLeft === Infinity ? "no deadline" : `${Math.ceil(timeLeft / 1000)} s left`,
    ...oldest === undefined ? [] : [`oldest ${formatOldest(oldest)}`]
  ].join(" · ")

const formatOldest = (info: ConnectionInfo): string => {
  const [first, ...others] = info.exchanges
  const work = others.reduce((a, b) => a === undefined || b.age > a.age ? b : a, first)
  const [label, age] = work === undefined ? [info.phase, info.phaseAge ?? info.age] : [work.label, work.age]
  // a label may hold what a client sent: it must not move the cursor
  return `${label.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?")} ${Math.floor(age / 1000)} s from ${info.remote}`
}

/** The same as the annotations of a log entry. */
export const annotations = ({ connections, oldest, remaining, stage, timeLeft }: Summary): Record<string, unknown> => ({
  event: "progress",
  stage,
  remaining,
  connections,
  // JSON has no infinity
  timeLeft: timeLeft === Infinity ? "none" : Math.round(timeLeft),
  ...oldest === undefined ? {} : { oldest: oldest.remote }
})
