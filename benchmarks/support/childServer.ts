/**
 * What every server program of the benchmarks does besides serving: it says
 * where it listens, and answers what the harness asks about its process.
 */

import * as Fs from "node:fs"
import * as Timers from "node:timers/promises"
import { profileFromHere } from "./profile.ts"

/** What the harness asks, and the answer's type. */
export interface Answers {
  /** CPU time of the process so far, in microseconds. */
  readonly cpu: number
  /** The part of it spent in the program itself, in microseconds: not in the kernel. */
  readonly user: number
  /** Resident memory after a collection that gives back what is not in use, in bytes. */
  readonly memory: number
  /** Resident memory as it is, garbage included, in bytes. */
  readonly resident: number
  /** The longest time the event loop was held since the last `stall`, in milliseconds. */
  readonly stall: number
  /** How long `connections` of the listener takes for each that is open, in microseconds; of ours only. */
  readonly listing: number
  /** The same of a dry run, which the progress of a drain counts by. */
  readonly counting: number
  /** Replaces all processes that serve, and says so when that is done; of a fleet only. */
  readonly replaced: number
  /** How long a scrape of the metrics takes, in microseconds; of ours only. */
  readonly scrape: number
  /** What it takes until all that wait have been told, in microseconds of CPU time; of `waiters` only. */
  readonly settling: number
}

/** Tells the harness that the server listens. */
export const announce = (port: number): void => {
  profileFromHere()
  process.send!({ port })
}

/** How long the engine may take to give pages back, which it does on threads of its own; in milliseconds. */
const givingBack = 300

/**
 * Started with --expose-gc. As if there were no memory left: an ordinary
 * collection keeps pages for what comes next, as many as there was garbage, and
 * they would be counted.
 */
const collect = async (): Promise<void> => {
  // finalizers make garbage
  for (let i = 0; i < 3; i++) globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" })
  await Timers.setTimeout(givingBack)
}

let longest = 0
let last = 0
let watch: NodeJS.Timeout | undefined

/** Measures how late a timer of 1 ms is, which needs no sampling thread. */
const watchStalls = (): void => {
  last = performance.now()
  watch = setInterval(() => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }, 1)
  watch.unref()
}

/** What a server's process says when it ends. */
export interface LastWords {
  /** The longest time the event loop was held since the last `stall`, in milliseconds. */
  readonly stall: number
  /** CPU time of the process in all, in microseconds. */
  readonly cpu: number
  /** How many turns of the event loop the goodbyes took; of `goodbyes` only. */
  readonly turns?: number | undefined
}

let moreLastWords: () => Partial<LastWords> = () => ({})

process.on("exit", () => {
  longest = Math.max(longest, performance.now() - last)
  const { system, user } = process.cpuUsage()
  const words: LastWords = { stall: longest, cpu: user + system, ...moreLastWords() }
  // a message might not be out before the process has ended; without the harness it has no reader
  if (watch !== undefined && process.connected) Fs.writeSync(4, JSON.stringify(words))
})

/** What one program says besides. */
export const sayAlso = (words: typeof moreLastWords): void => {
  moreLastWords = words
}

const answers: { [K in keyof Answers]?: () => number | Promise<number> } = {
  cpu: () => {
    const { system, user } = process.cpuUsage()
    return user + system
  },
  user: () => process.cpuUsage().user,
  memory: async () => {
    await collect()
    return process.memoryUsage.rss()
  },
  resident: () => process.memoryUsage.rss(),
  stall: () => {
    // what comes next is an end: a profile is of that
    profileFromHere()
    const stall = longest
    longest = 0
    if (watch === undefined) watchStalls()
    return stall
  }
}

/** What one program knows besides. */
export const answerAlso = (more: typeof answers): void => {
  Object.assign(answers, more)
}

const answer = async (question: keyof Answers): Promise<void> => {
  process.send!({ question, answer: await answers[question]?.() ?? Number.NaN })
}
process.on("message", (question: keyof Answers | "end") => {
  if (question === "end") process.exit(0)
  void answer(question)
})
// the harness is gone
process.on("disconnect", () => process.exit(0))
// what is asked for must not keep a server alive that has stopped
process.channel?.unref()
