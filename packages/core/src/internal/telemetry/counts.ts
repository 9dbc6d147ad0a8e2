import type { DatagramCounts, DropReason, EndReason, Outcome } from "../../DrainReport.ts"
import type { RefusalReason } from "../options/admission.ts"

/** Upper bounds of the durations that are told apart, in milliseconds. */
export const durations: ReadonlyArray<number> = [
  1,
  2.5,
  5,
  10,
  25,
  50,
  100,
  250,
  500,
  1000,
  2500,
  5000,
  10_000,
  30_000,
  60_000,
  300_000
]

/** How long things took, in milliseconds. */
export class Durations {
  count = 0
  sum = 0
  min = Infinity
  max = 0
  /** How many fell under each bound and above the one before; the last is above all. */
  readonly within = new Float64Array(durations.length + 1)

  add(millis: number): void {
    let i = 0
    while (i < durations.length && millis > durations[i]!) i++
    this.within[i]!++
    this.count++
    this.sum += millis
    if (millis < this.min) this.min = millis
    if (millis > this.max) this.max = millis
  }
}

/** How the exchange of a datagram ends. */
export type ExchangeEnd = "answered" | "failed" | "cut" | "closer"

/** What became of datagrams. */
export class DatagramTally {
  received = 0
  readonly ends: Record<ExchangeEnd, number> = { answered: 0, failed: 0, cut: 0, closer: 0 }
  readonly dropped: Record<DropReason, number> = {
    maxExchanges: 0,
    maxPerRemote: 0,
    receiveRate: 0,
    maxQueued: 0,
    maxEventLoopLag: 0,
    neverReceived: 0,
    transport: 0
  }

  get counts(): DatagramCounts {
    return { received: this.received, ...this.ends, dropped: { ...this.dropped } }
  }
}

/** All zero: what counting ends begins with. */
export const noEnds = (): Record<EndReason, number> => ({
  drained: 0,
  idle: 0,
  endedByPeer: 0,
  failed: 0,
  cut: 0,
  closer: 0,
  detached: 0,
  neverAccepted: 0
})

/**
 * What has happened on the listeners of one name since the program began. Plain
 * numbers, because they change with every connection and every exchange; metrics
 * read them when they are asked for.
 */
export class Counts {
  /** Connections that were let in or held, and those of them that have not ended. */
  accepted = 0
  open = 0
  readonly ended = noEnds()
  readonly refused: Record<RefusalReason, number> = {
    maxConnections: 0,
    maxQueued: 0,
    maxPerRemote: 0,
    acceptRate: 0,
    maxEventLoopLag: 0,
    queuedTimeout: 0,
    notIntroduced: 0
  }
  requestsRefused = 0
  /** Present once one of the listeners is one of datagrams. */
  datagrams: DatagramTally | undefined
  /** Exchanges that have begun; those that have ended are the count of their durations. */
  exchanges = 0
  readonly exchangeTime = new Durations()
  swept = 0
  handlersLeftBehind = 0
  readonly closes: Record<Outcome, number> = { Drained: 0, DeadlineExceeded: 0, Aborted: 0 }
  /** Milliseconds the last close took. */
  lastClose = 0
  readonly acceptErrors = new Map<string, number>()
  /** Told of an accept error that has not occurred before. */
  onNewError: ((code: string) => void) | undefined
  /** The listeners there are now. */
  readonly listeners = new Set<Counted>()

  accept(): void {
    this.accepted++
    this.open++
  }

  end(reason: EndReason): void {
    this.ended[reason]++
    this.open--
  }

  exchangeEnded(millis: number): void {
    this.exchangeTime.add(millis)
  }

  acceptError(code: string): void {
    const before = this.acceptErrors.get(code)
    this.acceptErrors.set(code, (before ?? 0) + 1)
    if (before === undefined) this.onNewError?.(code)
  }
}

/** What metrics ask a listener for. */
export interface Counted {
  readonly queued: number
  /** How much may be open at once; `Infinity` without a limit. */
  readonly limit: number
  readonly ready: boolean
  /** The close that runs: its stage, since when and how long in all in milliseconds, and how many it waits for. */
  readonly closingNow:
    | {
      readonly stage: number
      readonly duration: number
      /** `Infinity` without a deadline. */
      readonly longest: number
      readonly remaining: number
    }
    | undefined
}
