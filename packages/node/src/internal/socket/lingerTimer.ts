/**
 * Sockets whose last word has been said, and that wait for their peers to end.
 */
import type { LingerOptions } from "@effect-listener/core/Transport"
import * as Duration from "effect/Duration"
import type * as Net from "node:net"

/** How often they are looked at, in milliseconds: by so much a silence may last longer than it may. */
const lookEvery = 100

/** setTimeout takes no more: 2^31 - 1 ms, 24.8 days. */
const longestTimeout = 2_147_483_647

const toMillis = (duration: Duration.Duration): number => Math.min(Duration.toMillis(duration), longestTimeout)

/**
 * All of one server, with one timer, which outlasts the last of them by a
 * moment: where clients come one by one, each would need a new one. Each is
 * destroyed when its peer is silent for too long or has had its time; when the
 * peer ends, Node does it. Their protocols go on reading meanwhile and discard
 * what they read.
 */
export class Lingerers {
  /** In no order: an array, because a set whose members come and go keeps its garbage alive (core's `LinkedList`). */
  private readonly members: Array<Lingerer> = []
  /** When they are looked at next: milliseconds of `performance.now()`, like all times here. */
  private lookAt = Infinity
  private timer: NodeJS.Timeout | undefined
  private looking: NodeJS.Immediate | undefined
  private closed = false
  /** Those of one goodbye are mostly those of the next. */
  private latest: LingerOptions | undefined
  private bounds: Bounds = { idle: 0, total: 0, bytes: 0 }

  /**
   * Bounds how long a socket lingers, from when its FIN is out, or now where that is sure to go; `wire` counts what its
   * peer sends.
   */
  add(socket: Net.Socket, wire: Wire, linger: LingerOptions, sent = socket.writableFinished): Lingerer {
    if (linger !== this.latest) {
      this.latest = linger
      this.bounds = { idle: toMillis(linger.idle), total: toMillis(linger.total), bytes: linger.bytes }
    }
    const lingerer = new Lingerer(socket, wire, this.bounds)
    lingerer.at = this.members.push(lingerer) - 1
    const now = performance.now()
    if (sent) lingerer.begin(now)
    this.lookBy(lingerer.due(now), now)
    return lingerer
  }

  /** The socket is closed. */
  delete(lingerer: Lingerer): void {
    const { at } = lingerer
    if (at === undefined) return
    lingerer.at = undefined
    const last = this.members.pop()
    if (last !== undefined && last !== lingerer) {
      this.members[at] = last
      last.at = at
    }
    if (this.closed) this.disarmIfEmpty()
  }

  /** The server has ended: with the last of them, the timer goes. */
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
    // a timer's callback comes before what has arrived is read: a busy event loop is not a silent peer; and timers of a
    // fraction have another shape than those of Node's idle sockets, which would get it, too, one by one as they end
    this.timer = setTimeout(() => {
      this.looking = setImmediate(() => this.look())
    }, Math.ceil(at - now))
  }

  private look(): void {
    const now = performance.now()
    let next = Infinity
    this.lookAt = Infinity
    // a copy: who is taken out changes places
    for (const lingerer of this.members.slice()) {
      lingerer.look(now)
      if (lingerer.over(now)) lingerer.socket.destroy()
      else next = Math.min(next, lingerer.due(now))
    }
    if (next < Infinity) this.lookBy(next, now)
  }
}

/** `LingerOptions` in milliseconds. */
interface Bounds {
  readonly idle: number
  readonly total: number
  readonly bytes: number
}

/** What counts the bytes that came. */
interface Wire {
  readonly bytesRead: number
}

/** One of them. Its bounds begin with the first look that finds its FIN sent, if not before. */
export class Lingerer {
  readonly socket: Net.Socket
  /** Where it is among the others. */
  at: number | undefined
  private readonly wire: Wire
  private readonly bounds: Bounds
  private lingers = false
  private end = Infinity
  private limit = Infinity
  /** Less than there can be, so that it begins with something heard. */
  private read = -1
  /** Not a small integer, as it will not be: another kind of number is another shape. */
  private silentSince = Infinity

  constructor(socket: Net.Socket, wire: Wire, bounds: Bounds) {
    this.socket = socket
    this.wire = wire
    this.bounds = bounds
  }

  begin(now: number): void {
    this.lingers = true
    this.end = now + this.bounds.total
    this.heard(now)
    this.limit = this.read + this.bounds.bytes
  }

  look(now: number): void {
    if (this.lingers) this.heard(now)
    else if (this.socket.writableFinished) this.begin(now)
  }

  private heard(now: number): void {
    const read = this.wire.bytesRead
    if (read === this.read) return
    this.read = read
    this.silentSince = now
  }

  over(now: number): boolean {
    return this.lingers && (now >= this.end || now - this.silentSince >= this.bounds.idle || this.read >= this.limit)
  }

  /** When it has to be looked at next. */
  due(now: number): number {
    const { idle, total } = this.bounds
    return this.lingers
      ? Math.min(now + lookEvery, this.end, this.silentSince + idle)
      : now + Math.min(lookEvery, total, idle)
  }
}
