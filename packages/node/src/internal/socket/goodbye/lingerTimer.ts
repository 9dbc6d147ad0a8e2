/**
 * One timer for all sockets of a server that wait for their peers to end.
 */
import { longestTimer } from "@effect-listener/core/DurationOption"
import type { LingerOptions } from "@effect-listener/core/Transport"
import * as Duration from "effect/Duration"

/** How often the sockets are looked at, in milliseconds: a silence can outlast its bound by so much. */
export const lookEvery = 100

/** `LingerOptions` in milliseconds. */
export interface LingerBounds {
  readonly idle: number
  readonly total: number
  readonly bytes: number
}

/** A socket that waits for its peer to end. Times are milliseconds of `performance.now()`. */
export interface Lingering {
  /** Its index among the others. */
  at: number | undefined
  /** Destroys the socket when a bound is reached. Answers when to look again; `Infinity`: never. */
  readonly look: (now: number) => number
}

/**
 * The timer outlasts the last of the sockets by a moment: where clients leave
 * one by one, each would need a new one.
 */
export class LingerTimer {
  /** In no order: an array, because a set whose members come and go keeps its garbage alive (core's `LinkedList`). */
  private readonly members: Array<Lingering> = []
  /** When they are looked at next: milliseconds of `performance.now()`. */
  private lookAt = Infinity
  private timer: NodeJS.Timeout | undefined
  private looking: NodeJS.Immediate | undefined
  private closed = false
  /** The options of one goodbye are mostly those of the next. */
  private latest: LingerOptions | undefined
  private bounds: LingerBounds = { idle: 0, total: 0, bytes: 0 }

  boundsOf(linger: LingerOptions): LingerBounds {
    if (linger !== this.latest) {
      this.latest = linger
      this.bounds = { idle: toMillis(linger.idle), total: toMillis(linger.total), bytes: linger.bytes }
    }
    return this.bounds
  }

  /** Looks at a socket from now on, which `due` says when to do first. */
  add(member: Lingering, due: number, now: number): void {
    member.at = this.members.push(member) - 1
    this.lookBy(due, now)
  }

  delete(member: Lingering): void {
    const { at } = member
    if (at === undefined) return
    member.at = undefined
    const last = this.members.pop()
    if (last !== undefined && last !== member) {
      this.members[at] = last
      last.at = at
    }
    if (this.closed) this.disarmIfEmpty()
  }

  /** The server has ended: the timer goes with the last socket. */
  close(): void {
    this.closed = true
    this.disarmIfEmpty()
  }

  private disarmIfEmpty(): void {
    if (this.members.length > 0) return
    clearTimeout(this.timer)
    clearImmediate(this.looking)
    this.lookAt = Infinity
  }

  private lookBy(at: number, now: number): void {
    if (at >= this.lookAt) return
    this.lookAt = at
    clearTimeout(this.timer)
    // a timer's callback runs before what has arrived is read: a busy event loop is not a silent peer. Whole
    // milliseconds: a timer of a fraction has another shape than those of Node's idle sockets, which would change
    // theirs, one by one, as they end
    this.timer = setTimeout(() => {
      this.looking = setImmediate(() => this.look())
    }, Math.ceil(at - now))
  }

  private look(): void {
    const now = performance.now()
    let next = Infinity
    this.lookAt = Infinity
    // a copy: a socket that is taken out changes places with another
    for (const member of this.members.slice()) next = Math.min(next, member.look(now))
    if (next < Infinity) this.lookBy(next, now)
  }
}

const toMillis = (duration: Duration.Duration): number => Math.min(Duration.toMillis(duration), longestTimer)
