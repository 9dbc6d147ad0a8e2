/**
 * The end of a connection: flush, FIN, linger, destroy (nginx' lingering close;
 * RFC 9112, section 9.6).
 */
import type { LingerOptions } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import { type LingerBounds, type Lingering, type LingerTimer, lookEvery } from "./lingerTimer.ts"

const noBounds: LingerBounds = { idle: 0, total: 0, bytes: 0 }

/** How a close begins, by what its socket has done so far. */
interface Beginning {
  /** What comes is discarded. */
  readonly data: boolean
  /** The FIN is waited for. */
  readonly finish: boolean
  /** Nothing is left to flush: the FIN goes out within the turn. */
  readonly lingers: boolean
}

/** Counts the bytes that come. */
interface Wire {
  readonly bytesRead: number
}

/**
 * Ends our side of a socket; a TLS socket in a turn of its own. Node's hears
 * nothing more of its peer when it is ended while what the peer has sent is
 * delivered and nothing is left to flush: a peer that still sends would be
 * taken for a silent one, and reset.
 */
export const endOurSide = (socket: Net.Socket): void => {
  if (!(socket instanceof Tls.TLSSocket)) return void socket.end()
  setImmediate(() => {
    if (!socket.writableEnded && !socket.destroyed) socket.end()
  })
}

/**
 * The lingering close of one socket, whatever is spoken on it.
 *
 * All that was written is flushed and the FIN sent (`finish` comes when the
 * kernel has both). Meanwhile and after that, input is read and discarded:
 * closing a socket with unread input makes the kernel send a reset, which
 * destroys the answer in the peer's kernel; and a peer that reads only when it
 * has sent everything would never let the flush finish. The time bounds begin
 * with the FIN, the byte bound with the close.
 *
 * There are two ways in. `begin` ends the socket and discards its input; the
 * caller passes on what the socket tells, `finished`, `received` and `closed`,
 * so that a connection with listeners of its own needs no others for its end.
 * `watch` is for a protocol that ends its socket and discards its input itself,
 * as Node's HTTP does: the timer alone looks at it, and only `closed` is told.
 *
 * The `end` and the `finish` of a socket that has seen both make Node destroy
 * it, so a peer that has already ended costs no timer.
 */
export class LingeringClose implements Lingering {
  readonly socket: Net.Socket
  at: number | undefined
  private readonly timer: LingerTimer
  private readonly wire: Wire
  /** None where the close does not linger. */
  private readonly bounds: LingerBounds | undefined
  private readonly done: () => void
  /** The count of the wire at which the peer has sent too much. */
  private readonly limit: number
  /** The FIN is out. */
  private lingers = false
  private stopped = false
  // a double from the beginning: V8 gives a field that turns from a small integer into one another shape
  private endsAt = Infinity
  private silentSince = Infinity
  /** The count of the wire when it was last looked at. */
  private heard: number

  /** `wire`: where what comes is counted, when the socket is one on top of another. */
  constructor(
    socket: Net.Socket,
    linger: LingerOptions | "none",
    timer: LingerTimer,
    done: () => void,
    wire: Wire = socket
  ) {
    this.socket = socket
    this.timer = timer
    this.wire = wire
    this.done = done
    this.bounds = linger === "none" ? undefined : timer.boundsOf(linger)
    this.heard = wire.bytesRead
    this.limit = this.bounds === undefined ? Infinity : this.heard - socket.readableLength + this.bounds.bytes
  }

  // --- ways in ---------------------------------------------------------------------------------------------------

  /** What `begin` needs. It has to be told what comes where `data`, the FIN where `finish`, and `closed` always. */
  get beginning(): Beginning {
    const { bounds, socket } = this
    const { readableEnded } = socket
    const lingers = bounds !== undefined && bounds.bytes > 0 && socket.writableLength === 0 && !readableEnded
    return {
      data: !readableEnded && bounds !== undefined,
      finish: !readableEnded && !lingers && !socket.writableFinished,
      lingers
    }
  }

  /** For a socket that is not destroyed. */
  begin({ data, lingers }: Beginning): void {
    const { socket } = this
    if (data) {
      // a socket with such a listener never flows
      if (socket.listenerCount("readable") > 0) socket.removeAllListeners("readable")
      socket.resume()
    }
    if (!socket.writableEnded) endOurSide(socket)
    else if (socket.writableFinished) return this.finished()
    if (lingers) this.linger()
  }

  /** For a socket that is not destroyed and that its protocol ends and reads. */
  watch(): void {
    const now = performance.now()
    if (this.socket.writableFinished) this.beginLingering(now)
    this.timer.add(this, this.due(now), now)
  }

  // --- what the socket tells -------------------------------------------------------------------------------------

  /** The FIN is out. */
  finished(): void {
    if (this.stopped || this.lingers) return
    if (this.bounds === undefined || this.socket.readableEnded || this.full) return void this.socket.destroy()
    this.heard = this.wire.bytesRead
    this.linger()
  }

  /** Something came. Before the FIN is out, too much of it is left where it is, which holds the peer back. */
  received(): void {
    if (this.stopped || !this.full) return
    if (this.socket.writableFinished) this.socket.destroy()
    else this.socket.pause()
  }

  closed(): void {
    if (this.stopped) return
    this.stop()
    this.done()
  }

  /** Leaves the socket as it is. */
  stop(): void {
    this.stopped = true
    this.timer.delete(this)
  }

  // --- bounds ----------------------------------------------------------------------------------------------------

  private get full(): boolean {
    return this.wire.bytesRead >= this.limit
  }

  private linger(): void {
    const now = performance.now()
    this.beginLingering(now)
    this.timer.add(this, this.due(now), now)
  }

  private beginLingering(now: number): void {
    this.lingers = true
    this.endsAt = now + (this.bounds?.total ?? 0)
    this.silentSince = now
  }

  private listen(now: number): void {
    const heard = this.wire.bytesRead
    if (heard === this.heard) return
    this.heard = heard
    this.silentSince = now
  }

  private due(now: number): number {
    const { idle, total } = this.bounds ?? noBounds
    return this.lingers
      ? Math.min(now + lookEvery, this.endsAt, this.silentSince + idle)
      : now + Math.min(lookEvery, total, idle)
  }

  look(now: number): number {
    const { idle } = this.bounds ?? noBounds
    this.listen(now)
    if (!this.lingers && this.socket.writableFinished) this.beginLingering(now)
    const over = now >= this.endsAt || now - this.silentSince >= idle || this.heard >= this.limit
    if (!this.lingers || !over) return this.due(now)
    this.socket.destroy()
    return Infinity
  }
}

/** The lingering close of a socket that has no other listeners. The result abandons it. */
export const lingerAndClose = (
  socket: Net.Socket,
  linger: LingerOptions | "none",
  timer: LingerTimer,
  done: () => void
): () => void => {
  if (socket.destroyed) {
    done()
    return cancelNothing
  }
  const close = new LingeringClose(socket, linger, timer, () => {
    ignore()
    done()
  })
  const onClose = () => close.closed()
  const onFinish = () => close.finished()
  const onData = () => close.received()
  const ignore = () => {
    socket.off("data", onData)
    socket.off("finish", onFinish)
    socket.off("close", onClose)
  }
  const { beginning } = close
  socket.on("close", onClose)
  if (beginning.finish) socket.on("finish", onFinish)
  if (beginning.data) socket.on("data", onData)
  close.begin(beginning)
  return () => {
    close.stop()
    ignore()
  }
}

const cancelNothing = () => {}

/** `lingerAndClose` as an effect. Interrupting it abandons the socket, and calls `abandoned`. */
export const goodbye = (
  socket: Net.Socket,
  linger: LingerOptions | "none",
  timer: LingerTimer,
  abandoned: () => void
): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const stop = lingerAndClose(socket, linger, timer, () => resume(Effect.void))
    return Effect.sync(() => {
      stop()
      abandoned()
    })
  })
