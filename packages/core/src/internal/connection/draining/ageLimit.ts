import * as Context from "effect/Context"
import * as Random from "effect/Random"
import type { ResolvedAge, ResolvedTimeouts } from "../../options/timeouts.ts"
import type { Timers } from "../../util/timers.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { Connections } from "../connections.ts"

/** What a limit of age needs of its manager. */
export interface AgeContext {
  readonly connections: Connections
  readonly context: Context.Context<never>
  readonly timeouts: ResolvedTimeouts
  readonly timers: Timers
  readonly now: () => number
  /** All connections are told goodbye anyway. */
  readonly draining: boolean
  /** Tells a connection to end when it is idle, after one read turn. */
  readonly retire: (connection: ConnectionImpl) => void
}

const goldenRatio = (Math.sqrt(5) - 1) / 2

/**
 * Where a connection stands between the least age and the most, from 0 to 1. Any
 * number of connections that follow each other stand evenly apart, and nothing
 * has to be remembered of each.
 */
export const agePosition = (seed: number, id: number): number => (seed + id * goldenRatio) % 1

/** When a connection has lived long, in monotonic milliseconds. */
export const oldAt = ({ jitter, max }: ResolvedAge, since: number, position: number): number =>
  since + max + jitter * (2 * position - 1)

/** How far apart two looks are at least, in milliseconds. */
export const ageStep = ({ max }: ResolvedAge): number => Math.min(1000, max / 100)

/** Longer sleeps end at once where time is Node's. Milliseconds. */
const longestSleep = 2 ** 30

/**
 * Tells connections that have lived long to go. One timer for all of them, and
 * nothing kept of each: when it fires, it looks at the level.
 */
export class AgeLimit {
  private readonly context: AgeContext
  private readonly age: ResolvedAge
  private readonly seed: number
  private looksAt = Infinity
  private cancel: (() => void) | undefined

  constructor(context: AgeContext) {
    this.context = context
    this.age = context.timeouts.age
    this.seed = Context.get(context.context, Random.Random).nextDoubleUnsafe()
  }

  /** A connection is there that may become old. */
  watch(connection: ConnectionImpl): void {
    this.lookBy(connection.since + this.age.max - this.age.jitter)
  }

  private lookBy(at: number): void {
    if (at >= this.looksAt) return
    this.cancel?.()
    this.looksAt = Math.min(at, this.context.now() + longestSleep)
    this.cancel = this.context.timers.schedule(this.looksAt, () => this.look())
  }

  private look(): void {
    const { connections, draining, now, retire } = this.context
    this.looksAt = Infinity
    this.cancel = undefined
    if (draining) return
    const at = now()
    let next = Infinity
    const old = connections.filter((connection) => {
      if (connection.retired) return false
      const due = oldAt(this.age, connection.since, agePosition(this.seed, connection.id))
      // half a handshake is no connection yet
      const retires = due <= at && connection.step === "Serving"
      if (!retires) next = Math.min(next, due)
      return retires
    })
    if (next < Infinity) this.lookBy(Math.max(next, at + ageStep(this.age)))
    for (const connection of old) retire(connection)
  }
}
