/**
 * The end of a connection: flush, FIN, linger, destroy.
 */
import type { LingerOptions } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import type { Lingerer, Lingerers } from "./lingerTimer.ts"

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
 * Ends a socket well, and calls `done` once when it is released.
 *
 * All that was written is flushed and the FIN sent (`finish` comes when the
 * kernel has both). Meanwhile and after that, input is read and discarded:
 * closing a socket with unread input makes the kernel send a reset, which
 * destroys the answer in the peer's kernel; and a peer that reads only when it
 * has sent everything would never let the flush finish. The time bounds begin
 * with the FIN. The byte bound holds from the beginning: when it is reached
 * before everything is flushed, input is left where it is, which holds the
 * peer back.
 *
 * The `end` and the `finish` of a socket that has seen both make Node destroy
 * it, so a peer that has already ended costs no timer.
 *
 * Whoever begins one tells it what the socket tells: `finished`, `received`
 * and `closed`. So a connection that has listeners needs no others for its end.
 */
export class Farewell {
  private readonly socket: Net.Socket
  private readonly linger: LingerOptions | "none"
  private readonly lingerers: Lingerers
  private readonly done: () => void
  private lingerer: Lingerer | undefined
  /** What was discarded. */
  bytesRead = 0
  private stopped = false

  constructor(socket: Net.Socket, linger: LingerOptions | "none", lingerers: Lingerers, done: () => void) {
    this.socket = socket
    this.linger = linger
    this.lingerers = lingerers
    this.done = done
  }

  /** What it has to be told of the socket from its beginning on; `closed` always. */
  get listensTo(): { readonly finish: boolean; readonly data: boolean } {
    const { readableEnded, writableFinished } = this.socket
    return {
      finish: !readableEnded && !writableFinished && this.lingersAtOnce === undefined,
      data: !readableEnded && this.linger !== "none"
    }
  }

  /** Where nothing is left to flush, the FIN goes out within the turn: it lingers from now on, for so long. */
  private get lingersAtOnce(): LingerOptions | undefined {
    const { linger, socket } = this
    if (linger === "none" || linger.bytes === 0 || socket.writableLength > 0 || socket.readableEnded) return undefined
    return linger
  }

  /** Called when it is told of the socket, which is not destroyed. */
  begin(): void {
    const { lingersAtOnce, socket } = this
    if (this.listensTo.data) {
      // a socket with such a listener never flows
      if (socket.listenerCount("readable") > 0) socket.removeAllListeners("readable")
      socket.resume()
    }
    if (!socket.writableEnded) endOurSide(socket)
    else if (socket.writableFinished) return this.finished()
    if (lingersAtOnce !== undefined) this.lingerer = this.lingerers.add(socket, this, lingersAtOnce, true)
  }

  /** The FIN is out. */
  finished(): void {
    const { linger, socket } = this
    if (this.stopped) return
    if (linger === "none" || socket.readableEnded || this.bytesRead >= linger.bytes) return void socket.destroy()
    this.lingerer = this.lingerers.add(socket, this, linger)
  }

  received(chunk: Uint8Array): void {
    const { linger, socket } = this
    if (linger === "none" || this.stopped) return
    this.bytesRead += chunk.length
    if (this.bytesRead < linger.bytes) return
    if (socket.writableFinished) socket.destroy()
    else socket.pause()
  }

  closed(): void {
    if (this.stopped) return
    this.stop()
    this.done()
  }

  /** The socket is left as it is. */
  stop(): void {
    this.stopped = true
    if (this.lingerer !== undefined) this.lingerers.delete(this.lingerer)
  }
}

/** Ends a socket well that nobody else listens to; the result abandons it. */
export const farewell = (
  socket: Net.Socket,
  linger: LingerOptions | "none",
  lingerers: Lingerers,
  done: () => void
): () => void => {
  if (socket.destroyed) {
    done()
    return cancelNothing
  }
  const parting = new Farewell(socket, linger, lingerers, () => {
    ignore()
    done()
  })
  const onClose = () => parting.closed()
  const onFinish = () => parting.finished()
  const onData = (chunk: Uint8Array) => parting.received(chunk)
  const ignore = () => {
    socket.off("data", onData)
    socket.off("finish", onFinish)
    socket.off("close", onClose)
  }
  const { data, finish } = parting.listensTo
  socket.on("close", onClose)
  if (finish) socket.on("finish", onFinish)
  if (data) socket.on("data", onData)
  parting.begin()
  return () => {
    parting.stop()
    ignore()
  }
}

const cancelNothing = () => {}

/** `farewell` as an effect; interrupting it abandons the socket. */
export const goodbye = (
  socket: Net.Socket,
  linger: LingerOptions | "none",
  lingerers: Lingerers,
  abandon: () => void
): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const stop = farewell(socket, linger, lingerers, () => resume(Effect.void))
    return Effect.sync(() => {
      stop()
      abandon()
    })
  })
