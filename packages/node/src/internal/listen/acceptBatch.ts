/**
 * Connections that come in a rush, handed over together.
 */

/** Who comes so soon after another is part of a rush, in milliseconds: several times as long as it takes to accept one. */
const rush = 0.25

/** How long the first waits for the others at most, in milliseconds, before the turn that is under way ends. */
const longest = 1

/** How many are handed over together at most. */
const most = 16

/**
 * Decides who waits for others, and for how long.
 *
 * libuv accepts one connection a turn of the event loop. Where each is served
 * before the next is accepted, two programs take turns on one processor, each
 * among the leftovers of the other; and every answer wakes a client that had
 * gone to sleep meanwhile. Accepting some and then serving them costs a sixth
 * less. Who comes alone is served at once, and a rush is over with the first
 * turn in which nobody came.
 */
export class Gathering {
  private readonly limit: number
  private readonly handOver: () => void
  private latest = -Infinity
  /** Since when the first of those that are held waits. */
  private since = 0
  /** How many are held, and how many were at the end of the turn before. */
  private held = 0
  private before = 0
  private turn: NodeJS.Immediate | undefined

  /** `handOver` takes all that are held; there is room for `backlog`. */
  constructor(backlog: number, handOver: () => void) {
    this.limit = Math.min(most, backlog)
    this.handOver = handOver
  }

  /** Whether the connection that has come is to be held. */
  holds(): boolean {
    const now = performance.now()
    const soon = now - this.latest < rush
    this.latest = now
    if (this.held > 0) return true
    this.since = now
    return soon && this.limit > 1
  }

  /** It is held. */
  add(): void {
    this.held++
    if (this.held >= this.limit) this.end()
    else this.turn ??= setImmediate(this.turned)
  }

  private readonly turned = (): void => {
    this.turn = undefined
    if (this.held === this.before || performance.now() - this.since >= longest) return this.end()
    this.before = this.held
    this.turn = setImmediate(this.turned)
  }

  private end(): void {
    this.stop()
    this.handOver()
  }

  /** Nobody is held any more. */
  stop(): void {
    this.held = 0
    this.before = 0
    clearImmediate(this.turn)
    this.turn = undefined
  }
}
