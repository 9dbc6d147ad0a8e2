import type { ResolvedDrain } from "../../options/drain.ts"
import type { Timers } from "../../util/timers.ts"

/** What held work needs of its manager. */
export interface HeldWorkContext {
  readonly sweeping: boolean
  readonly drain: ResolvedDrain
  readonly timers: Timers
  readonly now: () => number
}

/** How long work is held at most, in milliseconds, and as a part of the deadline. */
const longest = 1000
const part = 0.1

/**
 * Work that comes on connections in service while the accept queue is swept. A
 * sweep takes a turn of the event loop for each client, and a turn is as long as
 * the work in it: what is asked meanwhile waits, and is done when the drain has
 * begun. It waits in vain where the turns are long for other reasons, and so not
 * for long.
 */
export class HeldWork {
  private readonly context: HeldWorkContext
  private held: Array<() => void> = []
  /** What was held is done; nothing more is held in this lifetime. */
  private over = false

  constructor(context: HeldWorkContext) {
    this.context = context
  }

  get holding(): boolean {
    return !this.over && (this.context.sweeping || this.held.length > 0)
  }

  add(work: () => void): void {
    const { drain, now, timers } = this.context
    if (this.held.push(work) === 1) timers.schedule(now() + Math.min(longest, drain.deadline * part), this.release)
  }

  readonly release = (): void => {
    this.over = true
    for (const work of this.held.splice(0)) work()
  }
}
