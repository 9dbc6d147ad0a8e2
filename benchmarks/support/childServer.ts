/**
 * What every server program of the benchmarks does besides serving: it says
 * where it listens, and answers what the harness asks about its process.
 */

/** What the harness asks, and the answer's type. */
export interface Answers {
  /** CPU time of the process so far, in microseconds. */
  readonly cpu: number
  /** The part of it spent in the program itself, in microseconds: not in the kernel. */
  readonly user: number
  /** Resident memory after a collection, in bytes. */
  readonly memory: number
  /** The longest time the event loop was held since the last `stall`, in milliseconds. */
  readonly stall: number
}

/** Tells the harness that the server listens. */
export const announce = (port: number): void => {
  process.send!({ port })
}

const collect = (): void => {
  // started with --expose-gc; twice, because finalizers make garbage
  globalThis.gc?.()
  globalThis.gc?.()
}

let longest = 0
let watch: NodeJS.Timeout | undefined

/** Measures how late a timer of 1 ms is, which needs no sampling thread. */
const watchStalls = (): void => {
  let last = performance.now()
  watch = setInterval(() => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }, 1)
  watch.unref()
}

const answers: { readonly [K in keyof Answers]: () => number } = {
  cpu: () => {
    const { system, user } = process.cpuUsage()
    return user + system
  },
  user: () => process.cpuUsage().user,
  memory: () => {
    collect()
    return process.memoryUsage.rss()
  },
  stall: () => {
    const stall = longest
    longest = 0
    if (watch === undefined) watchStalls()
    return stall
  }
}

process.on("message", (question: keyof Answers) => {
  if (question in answers) process.send!({ question, answer: answers[question]() })
})
// the harness is gone
process.on("disconnect", () => process.exit(0))
// what is asked for must not keep a server alive that has stopped
process.channel?.unref()
