/**
 * A connection before anybody knows what will be spoken on it: a TLS handshake,
 * or the first bytes in the clear.
 */
import type { ConnectionPhase } from "@effect-listener/core/DrainReport"
import type { Ending, HttpConnection, InFlight, Protocol } from "./httpConnection.ts"

export class Opening implements Protocol {
  readonly name: string
  private readonly owner: HttpConnection
  private readonly acceptedAt = performance.now()
  private noticedAt: number | undefined
  private readonly secure: boolean
  private readonly timer: NodeJS.Timeout | undefined

  constructor(owner: HttpConnection, options: { readonly secure: boolean; readonly limit: number }) {
    this.owner = owner
    this.secure = options.secure
    this.name = options.secure ? "tls" : "http"
    if (options.limit !== Infinity) this.timer = setTimeout(() => owner.drop(), options.limit)
  }

  /** It is known now. */
  over(): void {
    clearTimeout(this.timer)
  }

  busy(): boolean {
    return false
  }

  inFlight(): ReadonlyArray<InFlight> {
    return []
  }

  /** Half a handshake, like half a head, has a grace from when it is noticed. */
  lastActive(): number {
    if (this.owner.raw.bytesRead === 0) return this.acceptedAt
    return this.noticedAt ??= performance.now()
  }

  draining(): void {}

  goodbye(): void {
    this.over()
    // under a handshake there is nobody yet to say a word to
    if (this.secure) this.owner.drop()
    else {
      this.owner.part(this.owner.raw)
      this.owner.raw.resume()
    }
  }

  phase(): ConnectionPhase | undefined {
    return this.secure ? "Handshake" : undefined
  }

  bytesPending(): number {
    return this.owner.raw.writableLength
  }

  closed(): Ending {
    this.over()
    return "byPeer"
  }
}
