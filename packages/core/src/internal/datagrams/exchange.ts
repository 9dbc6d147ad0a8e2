import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Fiber from "effect/Fiber"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as DatagramSocket from "effect/socket/DatagramSocket"
import type * as Tracer from "effect/Tracer"
import type { Datagram, Reply } from "../../DatagramListener.ts"
import type { TransportDatagram } from "../../DatagramTransport.ts"
import type { ConnectionInfo } from "../../DrainReport.ts"
import type { Candidate } from "../accept/candidate.ts"
import { clip } from "../util/clip.ts"
import type { Linked, LinkedList } from "../util/linkedList.ts"

/** What an exchange needs of its manager. */
export interface ExchangeContext {
  readonly protocol: string
  readonly maskRemote: boolean
  readonly now: () => number
}

/** What is called when an answer is with the kernel, or is not going to be. */
export type Sent = (error: DatagramSocket.DatagramSocketError | undefined, exchange: Exchange) => void

const utf8 = new TextEncoder()

/**
 * A datagram and all that it takes to answer it: what is in flight, what a close
 * waits for, and what a report names.
 */
export class Exchange implements Linked<Exchange>, Candidate {
  list: LinkedList<Exchange> | undefined
  previous: Exchange | undefined
  next: Exchange | undefined
  remoteKey: string | undefined
  counted = false
  admitted = false
  stopWatching: (() => void) | undefined

  readonly id: number
  readonly datagram: TransportDatagram
  readonly context: ExchangeContext
  /** When it arrived, in monotonic milliseconds. */
  readonly since: number
  step: "Queued" | "Active" | "Ended" = "Queued"
  /** The fiber whose `close` must not wait for it: its handler's, or the one that received it. */
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** Its fiber is its handler's own, the listener's to interrupt. */
  handled = false
  /** The scope it was received in, whose end is its own. */
  scope: Scope.Scope | undefined
  /** What its handler calls it. */
  labelOf: ((datagram: Datagram) => string) | undefined
  span: Tracer.Span | undefined
  /** Ended by a deadline or an abort. */
  cut = false
  private bytesOut = 0
  /** Bytes of answers that the kernel does not have yet. */
  private bytesPending = 0

  constructor(id: number, datagram: TransportDatagram, context: ExchangeContext, since: number) {
    this.id = id
    this.datagram = datagram
    this.context = context
    this.since = since
  }

  get remote(): NetAddress.SocketAddress {
    return this.datagram.remote
  }

  readonly reply: Reply = (payload) => new ReplyEffect(this, payload)

  /** Sends an answer. A transport that throws has failed no less than one that says so. */
  send(payload: Uint8Array | string, done: Sent): void {
    if (this.cut) return done(closedError(), this)
    const bytes = typeof payload === "string" ? utf8.encode(payload) : payload
    const { length } = bytes
    let over = false
    const sent = (error: DatagramSocket.DatagramSocketError | undefined): void => {
      if (over) return
      over = true
      this.bytesPending -= length
      if (error === undefined) this.bytesOut += length
      done(error, this)
    }
    this.bytesPending += length
    try {
      this.datagram.send(bytes, sent)
    } catch (cause) {
      sent(writeError(cause))
    }
  }

  /** Sends an answer that nothing waits for. */
  post(payload: Uint8Array | string, done: Sent): void {
    const bytes = typeof payload === "string" ? utf8.encode(payload) : payload
    try {
      if (this.datagram.post?.(bytes) !== true) return this.send(bytes, done)
    } catch (cause) {
      return done(writeError(cause), this)
    }
    this.bytesOut += bytes.length
    done(undefined, this)
  }

  /**
   * Whether it cannot end before such a fiber goes on: it is what its handler does,
   * or was received in the scope that the fiber is in. Received in another scope
   * it may be answered by any fiber.
   */
  waitsFor(which: (fiber: Fiber.Fiber<unknown, unknown>) => boolean): boolean {
    const { fiber } = this
    if (fiber === undefined || !which(fiber)) return false
    return this.handled || Option.getOrUndefined(Context.getOption(fiber.context, Scope.Scope)) === this.scope
  }

  interrupt(): void {
    if (this.handled) this.fiber?.interruptUnsafe()
  }

  get label(): string {
    const { datagram, labelOf } = this
    const { length } = datagram.payload
    const usual = `datagram of ${length} byte${length === 1 ? "" : "s"}`
    if (labelOf === undefined) return usual
    try {
      return clip(String(labelOf(datagram)))
    } catch {
      // a name that cannot be made must not keep a report from being made
      return usual
    }
  }

  get shownRemote(): string {
    return this.context.maskRemote ? "masked" : NetAddress.formatSocketAddress(this.remote)
  }

  describe(): ConnectionInfo {
    const age = Math.max(0, Math.round(this.context.now() - this.since))
    const queued = this.step === "Queued"
    return {
      id: this.id,
      remote: this.shownRemote,
      protocol: this.context.protocol,
      phase: queued ? "Queued" : "Active",
      exchanges: queued ? [] : [{ label: this.label, age }],
      age,
      bytesIn: this.datagram.payload.length,
      bytesOut: this.bytesOut,
      bytesPending: this.bytesPending
    }
  }
}

const closedError = () =>
  new DatagramSocket.DatagramSocketError({ reason: new DatagramSocket.DatagramSocketClosedError() })

const writeError = (cause: unknown) =>
  new DatagramSocket.DatagramSocketError({
    reason: new DatagramSocket.DatagramSocketWriteError({ kind: "Unknown", cause })
  })

/** An answer. A handler that is nothing else needs no fiber. */
export class ReplyEffect extends Effectable.Class<void, DatagramSocket.DatagramSocketError> {
  readonly exchange: Exchange
  private readonly payload: Uint8Array | string

  constructor(exchange: Exchange, payload: Uint8Array | string) {
    super()
    this.exchange = exchange
    this.payload = payload
  }

  /** Sends it without a fiber, and without asking how that went where that is cheaper. */
  post(done: Sent): void {
    this.exchange.post(this.payload, done)
  }

  asEffect(): Effect.Effect<void, DatagramSocket.DatagramSocketError> {
    return Effect.callback((resume) => {
      this.exchange.send(this.payload, (error) => resume(error === undefined ? Effect.void : Effect.fail(error)))
    })
  }
}
