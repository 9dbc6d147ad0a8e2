/**
 * Connections that come in a rush, handed over together.
 */

/** Connections closer together than this are a rush, in milliseconds: several times as long as it takes to accept one. */
const closeTogether = 0.25

/** How long the first of a batch waits at most, in milliseconds, before the turn that is under way ends. */
const longest = 1

/** How many are handed over together at most. */
const most = 16

/**
 * Decides which connections wait for others, and for how long.
 *
 * libuv accepts one connection a turn of the event loop. Where each is served
 * before the next is accepted, two programs take turns on one processor, each
 * among the leftovers of the other; and every answer wakes a client that had
 * gone to sleep meanwhile. Accepting some and then serving them costs a sixth
 * less. A connection that comes alone is served at once, and a rush is over
 * with the first turn that brings none.
 */
export class AcceptBatch {
  private readonly limit: number
  private readonly deliver: () => void
  /** When the latest connection came, in milliseconds. */
  latest = -Infinity
  /** Since when the first of the batch waits. */
  private since = 0
  /** How many wait, and how many did at the end of the turn before. */
  private waiting = 0
  private before = 0
  private turn: NodeJS.Immediate | undefined

  /** `deliver` takes the whole batch; there is room for `backlog`. */
  constructor(backlog: number, deliver: () => void) {
    this.limit = Math.min(most, backlog)
    this.deliver = deliver
  }

  /** Whether the connection that has come is to wait for others; then `add` follows. */
  batches(): boolean {
    const now = performance.now()
    const soon = now - this.latest < closeTogether
    this.latest = now
    if (this.waiting > 0) return true
    this.since = now
    return soon && this.limit > 1
  }

  add(): void {
    this.waiting++
    if (this.waiting >= this.limit) this.end()
    else this.turn ??= setImmediate(this.turned)
  }

  private readonly turned = (): void => {
    this.turn = undefined
    if (this.waiting === this.before || performance.now() - this.since >= longest) return this.end()
    this.before = this.waiting
    this.turn = setImmediate(this.turned)
  }

  private end(): void {
    this.stop()
    this.deliver()
  }

  /** Ends the batch without handing it over. */
  stop(): void {
    this.waiting = 0
    this.before = 0
    clearImmediate(this.turn)
    this.turn = undefined
  }
}
