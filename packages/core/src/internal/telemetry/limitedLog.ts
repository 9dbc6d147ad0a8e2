import * as Effect from "effect/Effect"
import type { Timers } from "../util/timers.ts"
import { logLine } from "./logLine.ts"

/** At most `most` lines of one kind in `interval` milliseconds. A flood says so with a count, and leaves the log readable. */
const most = 10
const interval = 10_000

interface Kind {
  begunAt: number
  written: number
  withheld: number
}

/** The log of a listener for what clients can cause: lines of one kind are limited, and what is withheld is counted. */
export class LimitedLog {
  private readonly listener: string
  private readonly timers: Timers
  private readonly now: () => number
  private readonly runFork: (effect: Effect.Effect<void>) => unknown
  private readonly kinds = new Map<string, Kind>()

  constructor(
    listener: string,
    { now, runFork, timers }: {
      readonly timers: Timers
      readonly now: () => number
      readonly runFork: (effect: Effect.Effect<void>) => unknown
    }
  ) {
    this.listener = listener
    this.timers = timers
    this.now = now
    this.runFork = runFork
  }

  /** The line, unless there were too many of its kind. */
  line(event: string, line: () => Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.allows(event)
        ? logLine(Effect.suspend(line), { event, listener: this.listener })
        : Effect.void
    )
  }

  private allows(event: string): boolean {
    const now = this.now()
    const kind = this.kinds.get(event)
    if (kind === undefined || now - kind.begunAt >= interval) {
      if (kind !== undefined) this.sum(event, kind)
      this.kinds.set(event, { begunAt: now, written: 1, withheld: 0 })
      return true
    }
    if (kind.written < most) {
      kind.written++
      return true
    }
    if (kind.withheld++ === 0) this.timers.schedule(kind.begunAt + interval, () => this.sum(event, kind))
    return false
  }

  private sum(event: string, kind: Kind): void {
    const { withheld } = kind
    if (withheld === 0) return
    kind.withheld = 0
    this.runFork(logLine(
      Effect.logWarning(`${withheld} more lines "${event}" on listener "${this.listener}"`),
      { event, listener: this.listener, withheld }
    ))
  }

  /** Says what is withheld. */
  flush(): void {
    for (const [event, kind] of this.kinds) this.sum(event, kind)
  }
}
