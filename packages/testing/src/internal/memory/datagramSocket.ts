import type { BoundDatagramTransport, TransportDatagram } from "@effect-listener/core/DatagramTransport"
import type { TransportAcceptError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import * as DatagramSocket from "effect/socket/DatagramSocket"

/** What a test decides, whichever socket is bound. */
export interface SocketState {
  readonly room: number
  readonly largest: number
  readonly deliver: (to: NetAddress.SocketAddress, payload: Uint8Array) => void
  readonly receiveFailures: Array<TransportAcceptError>
  readonly sendFailures: Array<DatagramSocket.IoErrorKind>
  held: boolean
  sendsHeld: boolean
  lost: number
}

type Done = (error: DatagramSocket.DatagramSocketError | undefined) => void

/** Turns without a datagram after which a sweep is over where nothing receives. */
const quietTurns = 2

/** A turn of all others: a lower priority than any fiber's own yield. */
const turn = Effect.yieldNowWith(Number.MAX_SAFE_INTEGER)

/** The server's socket from bind to close. */
export class MemoryDatagramSocket implements BoundDatagramTransport {
  readonly address: NetAddress.SocketAddress
  private readonly state: SocketState
  private readonly queue: Array<TransportDatagram> = []
  private readonly unsent: Array<{ readonly send: () => void; readonly done: Done }> = []
  private wake: (() => void) | undefined
  private handedOver = 0
  private stopped = false
  private sweeping = false
  private late = 0
  private dead: TransportAcceptError | undefined
  private closed = false

  constructor(state: SocketState, address: NetAddress.SocketAddress) {
    this.state = state
    this.address = address
  }

  static state(options: Pick<SocketState, "room" | "largest" | "deliver">): SocketState {
    return { ...options, receiveFailures: [], sendFailures: [], held: false, sendsHeld: false, lost: 0 }
  }

  // --- receive ---------------------------------------------------------------------------------------------------

  get queued(): number {
    return this.queue.length
  }

  arrive(payload: Uint8Array, remote: NetAddress.SocketAddress): void {
    if (this.stopped) this.late++
    else if (this.queue.length >= this.state.room) this.state.lost++
    else {
      this.queue.push({ payload, remote, send: (answer, done) => this.send(remote, answer, done) })
      this.poll()
    }
  }

  readonly dropped = (): number => this.late

  /** There may be something to receive. */
  poll(): void {
    const { wake } = this
    if (!this.ready) return
    this.wake = undefined
    wake?.()
  }

  private get ready(): boolean {
    if (this.dead !== undefined || this.state.receiveFailures.length > 0) return true
    return this.queue.length > 0 && (!this.state.held || this.sweeping)
  }

  readonly receiveAll: BoundDatagramTransport["receiveAll"] = (arrive) =>
    Effect.gen({ self: this }, function*() {
      while (true) {
        if (!this.ready) {
          yield* this.arrival
          // what has arrived waits in the kernel until others have had their turn
          yield* Effect.yieldNow
          continue
        }
        const failure = this.dead ?? this.state.receiveFailures.shift()
        if (failure !== undefined) return yield* failure
        this.handedOver++
        arrive(this.queue.shift()!)
      }
    })

  private readonly arrival: Effect.Effect<void> = Effect.callback((resume) => {
    const wake = () => resume(Effect.void)
    this.wake = wake
    return Effect.sync(() => {
      if (this.wake === wake) this.wake = undefined
    })
  })

  // --- send ------------------------------------------------------------------------------------------------------

  private send(to: NetAddress.SocketAddress, payload: Uint8Array, done: Done): void {
    const kind = payload.length > this.state.largest ? "MessageTooLarge" : this.state.sendFailures.shift()
    if (this.closed || this.dead !== undefined) done(closedError())
    else if (kind !== undefined) done(writeError(kind))
    else {
      this.unsent.push({ send: () => this.state.deliver(to, payload), done })
      this.flush()
    }
  }

  /** The kernel takes what it has room for. */
  flush(): void {
    while (!this.state.sendsHeld && this.unsent.length > 0) {
      const { done, send } = this.unsent.shift()!
      send()
      done(undefined)
    }
  }

  // --- stop ------------------------------------------------------------------------------------------------------

  readonly leave: Effect.Effect<void> = Effect.sync(() => {
    this.stopped = true
  })

  get stop(): Effect.Effect<void> {
    return Effect.andThen(this.sweep, this.leave)
  }

  private get sweep(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const enough = this.handedOver + this.state.room
      this.sweeping = true
      this.poll()
      for (let quiet = 0; this.queue.length > 0 && quiet < quietTurns && this.handedOver < enough;) {
        const before = this.handedOver
        yield* turn
        quiet = this.handedOver === before ? quiet + 1 : 0
      }
    })
  }

  // --- end -------------------------------------------------------------------------------------------------------

  die(error: TransportAcceptError): void {
    this.dead ??= error
    this.failUnsent()
    this.poll()
  }

  close(): void {
    this.stopped = true
    this.closed = true
    this.failUnsent()
  }

  private failUnsent(): void {
    for (const { done } of this.unsent.splice(0)) done(closedError())
  }
}

const closedError = () =>
  new DatagramSocket.DatagramSocketError({ reason: new DatagramSocket.DatagramSocketClosedError() })

const writeError = (kind: DatagramSocket.IoErrorKind) =>
  new DatagramSocket.DatagramSocketError({
    reason: new DatagramSocket.DatagramSocketWriteError({ kind, cause: new Error(kind) })
  })
