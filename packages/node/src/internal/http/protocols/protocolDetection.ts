/**
 * A connection before it is known what will be spoken on it: a TLS handshake,
 * or the first bytes in the clear.
 */
import type { Ending } from "@effect-listener/core/Connection"
import type { ConnectionPhase } from "@effect-listener/core/DrainReport"
import { afterReading } from "../../platform/eventLoop.ts"
import { readBuffered } from "../../socket/readBuffered.ts"
import type { HttpConnection } from "../httpConnection.ts"
import type { InFlight, Protocol } from "../protocol.ts"

/** What every connection speaks until it is known what it does, which for most is at once. */
export const unspoken: Protocol = {
  name: "http",
  busy: () => false,
  exchanges: () => [],
  lastActive: () => 0,
  drainNotified: () => {},
  goodbye: () => {},
  phase: () => undefined,
  bytesPending: () => 0,
  closed: () => "byPeer"
}

/** Nothing is in flight, and a time-out runs until the first word. */
class Undetected {
  protected readonly owner: HttpConnection
  private readonly acceptedAt = performance.now()
  private noticedAt: number | undefined
  private timer: NodeJS.Timeout | undefined
  private known = false

  constructor(owner: HttpConnection) {
    this.owner = owner
  }

  protected limit(millis: number): void {
    if (millis === Infinity) return
    this.timer = setTimeout(() =>
      afterReading(() => {
        if (!this.known) this.owner.drop()
      }), millis)
  }

  /** It is known now what is spoken. */
  replaced(): void {
    this.known = true
    clearTimeout(this.timer)
  }

  busy(): boolean {
    return false
  }

  exchanges(): ReadonlyArray<InFlight> {
    return []
  }

  /** Half a handshake, like half a head, has a grace from when it is noticed. */
  lastActive(): number {
    if (this.owner.raw.bytesRead === 0) return this.acceptedAt
    return this.noticedAt ??= performance.now()
  }

  drainNotified(): void {}

  bytesPending(): number {
    return this.owner.raw.writableLength
  }

  closed(): Ending {
    this.replaced()
    return "byPeer"
  }
}

/** A TLS handshake that a server does for itself. */
export class ServerHandshake extends Undetected implements Protocol {
  readonly name = "tls"

  constructor(owner: HttpConnection, millis: number) {
    super(owner)
    this.limit(millis)
  }

  /** No protocol is spoken yet in which to say a word. */
  goodbye(): void {
    this.owner.drop()
  }

  phase(): ConnectionPhase {
    return "Handshake"
  }
}

/** "PRI", with which HTTP/2 begins in the clear, and which HTTP/1 reserves for that (RFC 9113, section 3.4). */
const preface = Buffer.from("PRI")

export type Spoken = "http/1.1" | "h2"

/** The first bytes in the clear, which tell the two HTTPs apart. */
export class PrefaceDetection extends Undetected implements Protocol {
  readonly name = "http"
  private held: Buffer | undefined
  private detected: ((spoken: Spoken) => void) | undefined

  /** Reads as much as it takes, puts it back, and calls `detected`; nothing where the client ends before. */
  begin(millis: number, detected: (spoken: Spoken) => void): void {
    this.limit(millis)
    this.detected = detected
    this.owner.raw.on("readable", this.look)
    this.owner.raw.on("end", this.ended)
  }

  override replaced(): void {
    super.replaced()
    this.owner.raw.off("readable", this.look)
    this.owner.raw.off("end", this.ended)
  }

  private readonly look = (): void => {
    const { raw } = this.owner
    const chunk = readBuffered(raw)
    if (chunk === null) return
    this.held = this.held === undefined ? chunk : Buffer.concat([this.held, chunk])
    const length = Math.min(this.held.length, preface.length)
    const same = this.held.compare(preface, 0, length, 0, length) === 0
    if (same && length < preface.length) return
    this.replaced()
    raw.unshift(this.held)
    this.detected?.(same ? "h2" : "http/1.1")
  }

  private readonly ended = (): void => {
    this.replaced()
    this.owner.close(this.owner.raw)
  }

  goodbye(): void {
    this.replaced()
    const { raw } = this.owner
    raw.once("data", () => this.owner.refused())
    this.owner.close(raw)
    raw.resume()
  }

  phase(): undefined {
    return undefined
  }
}
