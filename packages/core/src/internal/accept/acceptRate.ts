/**
 * At most `limit` admissions in any stretch of time that is `interval` long:
 * remembers when each of those in the last one was. Times in milliseconds.
 */
export class AcceptRate {
  private limit: number
  private interval: number
  private readonly times: Array<number> = []
  /** Those before it are forgotten. */
  private head = 0

  constructor(limit: number, interval: number) {
    this.limit = limit
    this.interval = interval
  }

  /** Other limits from now on; what was admitted under the old ones counts. */
  change(limit: number, interval: number): void {
    this.limit = limit
    this.interval = interval
  }

  /** Whether one more may be admitted now, after the `ahead` that wait before it. */
  allows(now: number, ahead: number): boolean {
    return this.count(now) + ahead < this.limit
  }

  /** When the next one may be admitted. */
  nextAt(now: number): number {
    const count = this.count(now)
    return count < this.limit ? now : this.times[this.head + count - this.limit]! + this.interval
  }

  admitted(now: number): void {
    this.times.push(now)
  }

  /** How many were admitted in the interval that ends now. */
  private count(now: number): number {
    while (this.head < this.times.length && this.times[this.head]! + this.interval <= now) this.head++
    // given back in large pieces, so that forgetting one costs the same however many there are
    if (this.head > 1024 && this.head * 2 > this.times.length) {
      this.times.splice(0, this.head)
      this.head = 0
    }
    return this.times.length - this.head
  }
}
