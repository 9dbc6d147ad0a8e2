import type { ResolvedAdmission } from "../options/admission.ts"
import type { RefusalReason } from "../options/admission.ts"
import type { Timers } from "../util/timers.ts"
import { AcceptRate } from "./acceptRate.ts"
import { refusal } from "./admission.ts"
import type { Candidate } from "./candidate.ts"
import { EventLoopLag } from "./eventLoopLag.ts"
import { PerRemote } from "./perRemote.ts"

/**
 * The limits of a listener and what they are measured against: how many
 * connections each remote has, when the last ones were let in, how late the event
 * loop is.
 * `admission.ts` decides from it.
 */
export class Limits {
  readonly remotes: PerRemote
  private current: ResolvedAdmission
  readonly now: () => number
  private readonly rate: AcceptRate
  private readonly lag: EventLoopLag
  private watching = false

  constructor(limits: ResolvedAdmission, timers: Timers, now: () => number) {
    this.current = limits
    this.remotes = new PerRemote(limits.remotePrefix)
    this.now = now
    this.rate = new AcceptRate(limits.acceptRate.limit, limits.acceptRate.interval)
    this.lag = new EventLoopLag(timers, now)
  }

  get resolved(): ResolvedAdmission {
    return this.current
  }

  /** Applies to new connections; present ones keep their place and are counted. */
  change(limits: ResolvedAdmission, present: ReadonlyArray<Candidate>): void {
    this.current = limits
    this.rate.change(limits.acceptRate.limit, limits.acceptRate.interval)
    this.remotes.change(limits.remotePrefix, present)
    for (const connection of present) this.enter(connection)
    if (this.watching) this.watch()
  }

  /** Starts what is measured all the time: how late the event loop is. */
  watch(): void {
    this.watching = true
    if (this.current.maxEventLoopLag === Infinity) this.lag.stop()
    else this.lag.start(this.current.maxEventLoopLag)
  }

  stopWatching(): void {
    this.watching = false
    this.lag.stop()
  }

  /** Whether `maxConnections` is the only limit. */
  get onlyCounts(): boolean {
    const { acceptRate, maxEventLoopLag, maxPerRemote } = this.current
    return maxPerRemote === Infinity && acceptRate.limit === Infinity && maxEventLoopLag === Infinity
  }

  /** The limit for which a connection that arrives is refused. */
  refuses(
    connection: Candidate,
    { consumer, makeRoom, open, queued }: {
      readonly open: number
      readonly queued: number
      readonly consumer: boolean
      readonly makeRoom: () => number
    }
  ): RefusalReason | undefined {
    const { maxConnections, overflow } = this.current
    const full = overflow === "reject" && open + queued >= maxConnections
    return refusal(this.current, {
      open,
      queued,
      consumer,
      // counting them looks at every connection
      makeRoom: full ? makeRoom() : 0,
      fromRemote: this.current.maxPerRemote === Infinity ? 0 : this.remotes.of(connection),
      inTime: !this.rated || this.rate.allows(this.now(), queued),
      lag: this.lag.current
    })
  }

  /** A connection that is let in or held: it counts for its remote until it leaves. */
  enter(connection: Candidate): void {
    if (this.current.maxPerRemote !== Infinity && !connection.counted) this.remotes.add(connection)
  }

  release(connection: Candidate): void {
    if (connection.counted) this.remotes.remove(connection)
  }

  /** When the next in line may be taken, where it has to wait; `Infinity` where an open one has to end first. */
  waits(connection: Candidate, open: number): number | undefined {
    if (open >= this.current.maxConnections) return Infinity
    if (!this.rated || connection.admitted) return undefined
    const now = this.now()
    const at = this.rate.nextAt(now)
    return at > now ? at : undefined
  }

  /** A connection is taken; one that comes back and is taken again counts once. */
  take(connection: Candidate): void {
    if (this.rated && !connection.admitted) this.rate.admitted(this.now())
    connection.admitted = true
  }

  private get rated(): boolean {
    return this.current.acceptRate.limit !== Infinity
  }
}
