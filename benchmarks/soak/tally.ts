/**
 * What a soak counts, and how it is shown.
 */

/** More of what should not have happened says nothing new. */
const mostFindings = 50

export class Tally {
  connections = 0
  exchanges = 0
  closes = 0
  faults = 0
  badClients = 0
  refused = 0
  lost = 0
  leaked = 0
  scrapes = 0
  /** What the metrics of all listeners say at the end: why connections have ended. */
  readonly ended: Record<string, number> = {}
  /** Scrapes whose numbers do not add up. */
  wrong = 0
  /** How much longer a close took than its lame duck and its deadline, at worst, in milliseconds. */
  worst = -Infinity
  /** The same beyond the abort grace: what a close may take in all. */
  beyond = -Infinity
  /** Anything that should not have happened, in words; the first of it. */
  readonly findings: Array<string> = []

  find(what: string): void {
    if (this.findings.length < mostFindings) this.findings.push(what)
  }

  get line(): string {
    return `${this.connections} connections · ${this.exchanges} exchanges · ${this.closes} closes · ` +
      `${this.faults} faults · ${this.badClients} bad clients · ${this.lost} lost · ${this.leaked} leaked`
  }

  get table(): string {
    const ended = Object.values(this.ended).reduce((sum, count) => sum + count, 0)
    const rows: ReadonlyArray<readonly [string, string | number]> = [
      ["connections", this.connections],
      ["exchanges", this.exchanges],
      ["closes", this.closes],
      ["faults injected", this.faults],
      ["bad clients", this.badClients],
      ["refused by limits", this.refused],
      ["lost (must be 0)", this.lost],
      ["leaked (must be 0)", this.leaked],
      ["worst close over its deadline", this.closes === 0 ? "none" : `${Math.max(0, Math.round(this.worst))} ms`],
      ["scrapes of the metrics", this.scrapes],
      ["  accepted ≠ ended + open (must be 0)", this.wrong],
      ["  connections ended, each for one reason", ended],
      ...Object.entries(this.ended).map(([reason, count]) => [`    ${reason}`, count] as const)
    ]
    const width = Math.max(...rows.map(([name]) => name.length))
    return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${String(value).padStart(10)}`).join("\n")
  }

  /** A close may be as late as a busy machine is. */
  get passed(): boolean {
    return this.lost === 0 && this.leaked === 0 && this.wrong === 0 && this.findings.length === 0 &&
      this.closes > 0 && this.beyond <= 2000
  }
}
