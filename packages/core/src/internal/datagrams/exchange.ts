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
import { type Candidate, unknownAddress } from "../accept/candidate.ts"
import { clip } from "../util/clip.ts"
import * as Foreign from "../util/foreign.ts"
import type { Linked, LinkedList } from "../util/linkedList.ts"

/** What an exchange needs of its manager. */
export interface ExchangeContext {
  readonly protocol: string
  readonly maskRemote: boolean
  readonly now: () => number
  /** Foreign code of an exchange has thrown: to be logged. */
  readonly logThrown: (exchange: Exchange, member: string, defect: unknown) => void
}

/** What is called when an answer is with the kernel, or is not going to be. */
export type Sent = (error: DatagramSocket.DatagramSocketError | undefined, exchange: Exchange) => void

type Posted = "posted" | "notPosted" | DatagramSocket.DatagramSocketError

const utf8 = new TextEncoder()

/** What its transport could not give. */
const noPayload = new Uint8Array(0)

/**
 * A datagram and all that it takes to answer it: what is in flight, what a close
 * waits for, and what a report names.
 */
export class Exchange implements Linked<Exchange>, Candidate, Foreign.ForeignOwner {
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
  /** Foreign code of it has thrown. */
  private broken = false

  constructor(id: number, datagram: TransportDatagram, context: ExchangeContext, since: number) {
    this.id = id
    this.datagram = datagram
    this.context = context
    this.since = since
  }

  get remote(): NetAddress.SocketAddress {
    return Foreign.read(this, this.datagram, "remote", unknownAddress)
  }
  get payload(): Uint8Array {
    return Foreign.read(this, this.datagram, "payload", noPayload)
  }

  /** The first throw is logged; those after it are its consequences. */
  threw(member: string, defect: unknown): void {
    if (this.broken) return
    this.broken = true
    this.context.logThrown(this, member, defect)
  }

  readonly reply: Reply = (payload) => new ReplyEffect(this, payload)

  /** Sends an answer. A transport that throws has failed no less than one that says so. */
  send(payload: Uint8Array | string, done: Sent): void {
    if (this.cut) return done(closedError(), this)
    let length = 0
    let over = false
    const sent = (error: DatagramSocket.DatagramSocketError | undefined): void => {
      if (over) return
      over = true
      this.bytesPending -= length
      if (error === undefined) this.bytesOut += length
      done(error, this)
    }
    Foreign.attempt(() => {
      const bytes = bytesOf(payload)
      length = bytes.length
      this.bytesPending += length
      this.datagram.send(bytes, sent)
    }, (cause) => sent(writeError(cause)))
  }

  /** Sends an answer that nothing waits for. */
  post(payload: Uint8Array | string, done: Sent): void {
    const posted = Foreign.attempt<Posted>(() => this.tryPost(payload), writeError)
    if (posted === "notPosted") return this.send(payload, done)
    done(posted === "posted" ? undefined : posted, this)
  }

  private tryPost(payload: Uint8Array | string): Posted {
    const { datagram } = this
    if (datagram.post === undefined) return "notPosted"
    const bytes = bytesOf(payload)
    if (!datagram.post(bytes)) return "notPosted"
    this.bytesOut += bytes.length
    return "posted"
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
    const { bytesIn, datagram, labelOf } = this
    const usual = `datagram of ${bytesIn} byte${bytesIn === 1 ? "" : "s"}`
    return labelOf === undefined ? usual : Foreign.call(this, "label", () => clip(String(labelOf(datagram))), usual)
  }

  get shownRemote(): string {
    return this.context.maskRemote
      ? "masked"
      : Foreign.call(this, "remote", ({ remote }) => String(NetAddress.formatSocketAddress(remote)), "unknown")
  }

  private get bytesIn(): number {
    return Foreign.number(this, "payload", () => this.payload.length)
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
      bytesIn: this.bytesIn,
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

const bytesOf = (payload: Uint8Array | string): Uint8Array =>
  typeof payload === "string" ? utf8.encode(payload) : payload
