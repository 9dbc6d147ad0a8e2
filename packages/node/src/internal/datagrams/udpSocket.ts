import type { BoundDatagramTransport, TransportDatagram } from "@effect-listener/core/DatagramTransport"
import { TransportAcceptError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import type { DatagramSocketError } from "effect/socket/DatagramSocket"
import type * as Dgram from "node:dgram"
import { acceptError } from "../listen/errno.ts"
import { nativeAddress, socketAddress } from "../listen/socketAddress.ts"
import { untilQuiet } from "../listen/untilQuiet.ts"
import { stopReceiving } from "./receiving.ts"
import { sendError } from "./sendError.ts"

/** How many datagrams are kept while nothing receives: those that come between the bind and the opening of a host. */
const room = 1024

/** What the kernel charges a datagram with at least, however small it is; half of what Linux does. */
const leastCharge = 384

/** Bytes that fit into a frame of Ethernet: no such datagram is too large. */
const smallEnough = 1472

/** How long answers may take that the kernel has no room for, in milliseconds, before the socket closes anyway. */
const flushLimit = 250

const turn: Effect.Effect<void> = Effect.callback((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

/** A `node:dgram` socket from bind to close. */
export class UdpSocket {
  readonly native: Dgram.Socket
  private state: "Unbound" | "Bound" | "Closing" | "Closed" = "Unbound"
  private onBound: ((cause: unknown) => void) | undefined
  /** Takes what comes, instead of the queue. */
  private arrive: ((datagram: TransportDatagram) => void) | undefined
  private readonly queue: Array<TransportDatagram> = []
  private fail: ((error: TransportAcceptError) => void) | undefined
  /** What the next `receiveAll` fails with: the latest error, and a fatal one for ever. */
  private failure: TransportAcceptError | undefined
  private received = 0
  private dropped = 0
  /** What comes is no longer taken. */
  private stopped = false
  /** Datagrams of ours that the kernel does not have yet. */
  private sending = 0
  private onClosed: (() => void) | undefined

  constructor(native: Dgram.Socket) {
    this.native = native
    native.on("message", (payload, { address, port }) => this.onMessage(payload, address, port))
    native.on("error", (cause) => this.onError(cause))
    native.on("close", () => this.onClose())
  }

  // --- bind ------------------------------------------------------------------------------------------------------

  bind(options: Dgram.BindOptions): Effect.Effect<void, unknown> {
    return Effect.callback((resume) => {
      this.onBound = (cause) => resume(Effect.fail(cause))
      try {
        this.native.bind(options, () => {
          this.onBound = undefined
          if (this.state === "Unbound") this.state = "Bound"
          resume(Effect.void)
        })
      } catch (cause) {
        resume(Effect.fail(cause))
      }
    })
  }

  get bound(): BoundDatagramTransport {
    const { address, port } = this.native.address()
    return {
      address: nativeAddress(address, port),
      receiveAll: this.receiveAll,
      stop: this.stop,
      leave: this.leave,
      dropped: () => this.dropped
    }
  }

  private onError(cause: unknown): void {
    if (this.onBound !== undefined) return this.onBound(cause)
    this.fault(acceptError(cause))
  }

  // --- receive ---------------------------------------------------------------------------------------------------

  private onMessage(payload: Uint8Array, host: string, port: number): void {
    this.received++
    if (this.stopped || (this.arrive === undefined && this.queue.length >= room)) {
      this.dropped++
      return
    }
    const datagram = new UdpDatagram(payload, host, port, this)
    if (this.arrive === undefined) this.queue.push(datagram)
    else this.arrive(datagram)
  }

  private readonly receiveAll: BoundDatagramTransport["receiveAll"] = (arrive) =>
    Effect.callback((resume) => {
      const end = () => {
        this.arrive = this.fail = undefined
      }
      const failWith = (error: TransportAcceptError) => {
        end()
        if (error.class !== "fatal") this.failure = undefined
        resume(Effect.fail(error))
      }
      let over = false
      // what arrives may end the receiving
      while (this.queue.length > 0 && !over) arrive(this.queue.shift()!)
      if (over) return
      if (this.failure !== undefined) return failWith(this.failure)
      this.arrive = arrive
      this.fail = failWith
      return Effect.sync(() => {
        over = true
        end()
      })
    })

  private fault(error: TransportAcceptError): void {
    if (this.failure?.class === "fatal") return
    this.failure = error
    this.fail?.(error)
  }

  // --- send ------------------------------------------------------------------------------------------------------

  /** The callback comes when the kernel has the datagram: as a rule in the next tick, and later where it has no room. */
  send(
    payload: Uint8Array,
    to: UdpDatagram,
    done: (error: DatagramSocketError | undefined) => void
  ): void {
    this.sending++
    try {
      this.native.send(payload, to.port, to.host, (cause) => {
        this.sending--
        done(cause === null ? undefined : sendError(cause, to.remote))
      })
    } catch (cause) {
      this.sending--
      done(sendError(cause, to.remote))
    }
  }

  /** A callback would cost as much as all else that Node does for a datagram: it takes a tick of its own. */
  post(payload: Uint8Array, to: UdpDatagram): boolean {
    if (payload.length > smallEnough) return false
    try {
      this.native.send(payload, to.port, to.host)
      return true
    } catch {
      // what is wrong with it is for `send` to say
      return false
    }
  }

  // --- stop ------------------------------------------------------------------------------------------------------

  private get stop(): Effect.Effect<void> {
    return Effect.andThen(Effect.suspend(() => this.state === "Bound" ? this.sweep : Effect.void), this.leave)
  }

  /**
   * Turns the event loop, in which libuv reads up to 32 datagrams a turn, until
   * the kernel's queue was empty or all that can have been in it at the
   * beginning is out: it is a queue, and its size is known.
   */
  private readonly sweep: Effect.Effect<void> = Effect.suspend(() => {
    const enough = this.received + Math.ceil(this.native.getRecvBufferSize() / leastCharge)
    return untilQuiet(() => this.received, (received, quiet) => quiet || received >= enough)
  })

  private readonly leave: Effect.Effect<void> = Effect.sync(() => {
    this.stopped = true
    if (this.state === "Bound") stopReceiving(this.native)
  })

  // --- close -----------------------------------------------------------------------------------------------------

  /** Answers leave first; what the kernel has no room for has its time. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.stopped = true
    this.queue.length = 0
    return Effect.andThen(Effect.timeoutOption(this.allSent, flushLimit), this.closeNow)
  })

  private readonly allSent: Effect.Effect<void> = Effect.whileLoop({
    while: () => this.state === "Bound" && (this.sending > 0 || this.native.getSendQueueCount() > 0),
    body: () => turn,
    step: () => {}
  })

  private readonly closeNow: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.state === "Closed") return resume(Effect.void)
    this.state = "Closing"
    this.onClosed = () => resume(Effect.void)
    try {
      this.native.close()
    } catch {
      // the application has begun to close it
      resume(Effect.void)
    }
  })

  private onClose(): void {
    const asked = this.state === "Closing"
    this.state = "Closed"
    this.onClosed?.()
    if (asked) return
    const cause = new Error("the socket was closed by the application")
    this.fault(new TransportAcceptError({ class: "fatal", code: "EBADF", cause }))
  }
}

/** A datagram; its sender's address is made when it is asked for. */
class UdpDatagram implements TransportDatagram {
  readonly payload: Uint8Array
  readonly host: string
  readonly port: number
  private readonly socket: UdpSocket
  private address: NetAddress.InetAddress | undefined = undefined

  constructor(payload: Uint8Array, host: string, port: number, socket: UdpSocket) {
    this.payload = payload
    this.host = host
    this.port = port
    this.socket = socket
  }

  get remote(): NetAddress.InetAddress {
    return this.address ??= socketAddress(this.host, this.port)
  }

  send(payload: Uint8Array, done: (error: DatagramSocketError | undefined) => void): void {
    this.socket.send(payload, this, done)
  }

  post(payload: Uint8Array): boolean {
    return this.socket.post(payload, this)
  }
}
