/**
 * The end of a connection: flush, FIN, linger, destroy.
 */
import type { LingerOptions } from "@effect-listener/core/Transport"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Net from "node:net"

/** setTimeout takes no more: 2^31 - 1 ms, 24.8 days. */
const longestTimeout = 2_147_483_647

const toMillis = (duration: Duration.Duration): number => Math.min(Duration.toMillis(duration), longestTimeout)

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
 */
export const farewell = (socket: Net.Socket, linger: LingerOptions | "none", done: () => void): () => void => {
  if (socket.destroyed) {
    done()
    return cancelNothing
  }
  let timer: NodeJS.Timeout | undefined
  let look: NodeJS.Immediate | undefined
  let endOfTotal = 0
  let last = false
  let discarded = 0

  const destroy = () => {
    socket.destroy()
  }
  const onFinish = () => {
    if (linger === "none" || socket.readableEnded || discarded >= linger.bytes) return destroy()
    endOfTotal = performance.now() + toMillis(linger.total)
    arm(linger)
  }
  /** One timer: until `idle` passes without a byte, but never beyond `total`. */
  const arm = ({ idle, total }: LingerOptions) => {
    last = Duration.isLessThanOrEqualTo(total, idle)
    timer = last ? setTimeout(destroy, toMillis(total)) : setTimeout(onIdle, toMillis(idle))
  }
  const onIdle = () => {
    // due timers run before the next read: after a busy moment there may be bytes that came in time
    const before = discarded
    look = setImmediate(() => {
      if (discarded === before) destroy()
    })
  }
  const onData = (chunk: Uint8Array) => {
    if (linger === "none") return
    discarded += chunk.length
    if (discarded >= linger.bytes) return socket.writableFinished ? destroy() : void socket.pause()
    if (timer === undefined || last) return
    const left = endOfTotal - performance.now()
    if (left > toMillis(linger.idle)) return void timer.refresh()
    last = true
    clearTimeout(timer)
    timer = setTimeout(destroy, Math.max(0, left))
  }
  const stop = () => {
    clearTimeout(timer)
    clearImmediate(look)
    socket.off("data", onData)
    socket.off("finish", onFinish)
    socket.off("close", onClose)
  }
  const onClose = () => {
    stop()
    done()
  }

  socket.on("close", onClose)
  const byItself = socket.readableEnded
  if (!byItself && !socket.writableFinished) socket.on("finish", onFinish)
  if (!byItself && linger !== "none") {
    // a socket with such a listener never flows
    socket.removeAllListeners("readable")
    socket.on("data", onData)
    socket.resume()
  }
  if (!socket.writableEnded) socket.end()
  else if (socket.writableFinished) onFinish()
  return stop
}

const cancelNothing = () => {}

/** `farewell` as an effect; interrupting it abandons the socket. */
export const goodbye = (
  socket: Net.Socket,
  linger: LingerOptions | "none",
  abandon: () => void
): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const stop = farewell(socket, linger, () => resume(Effect.void))
    return Effect.sync(() => {
      stop()
      abandon()
    })
  })
