/**
 * Closing a listening TCP socket with no client in its accept queue.
 *
 * The kernel completes handshakes until close(2), and then resets what waits. A process that loses its processor
 * between its last look at the queue and the close resets all that connect meanwhile. So the queue is given the least
 * room there is, one place, and a connection of our own takes it. Clients that connect from then on are not heard:
 * they try again after a second, and find the next process, or are refused.
 */
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import { isConnected, shortenQueue } from "../../platform/privateNode.ts"
import { reachableHost } from "../../socket/reachableHost.ts"
import type { KernelQueue } from "./kernelQueue.ts"

/** How often the place is tried for: a client may be faster. Under 32 clients that connect without pause 3 were enough. */
const attempts = 16

export class QueueSeal {
  private readonly server: Net.Server
  private readonly queue: () => KernelQueue | undefined
  private readonly close: () => void
  /** The ports that our own connections come from. */
  private readonly ports = new Set<number>()
  /** Looks at the queue, where that is waited for. */
  private lookAgain: (() => void) | undefined

  /** `close` closes the listening socket, at once. */
  constructor(server: Net.Server, queue: () => KernelQueue | undefined, close: () => void) {
    this.server = server
    this.queue = queue
    this.close = close
  }

  /** Whether an accepted socket is the other end of a connection of our own. */
  owns(socket: Net.Socket): boolean {
    return this.ports.size > 0 && socket.remotePort !== undefined && this.ports.has(socket.remotePort) &&
      socket.remoteAddress === socket.localAddress
  }

  /** A connection was taken out of the queue: the next look need not wait for the end of the turn. */
  taken(): void {
    this.lookAgain?.()
  }

  /**
   * Takes out what is in the queue and what still comes, then closes. Where the queue cannot be seen or closed to
   * clients, holds more than `most` to begin with, or never is without one, it completes and has not closed.
   */
  readonly closeEmpty = (most: number): Effect.Effect<void> =>
    Effect.callback((resume) => {
      const address = this.server.address()
      if (address === null || typeof address === "string") return resume(Effect.void)
      const to = { port: address.port, host: reachableHost(address.address) }
      let left = attempts
      let bound = most
      let own: Net.Socket | undefined
      let immediate: NodeJS.Immediate | undefined
      let over = false
      const look = () => {
        clearImmediate(immediate)
        this.lookAgain = undefined
        const waiting = this.queue()?.waiting
        if (waiting === undefined || waiting > bound || waiting <= 1 && left-- === 0) return resume(Effect.void)
        // from here on it only gets shorter
        bound = Infinity
        if (waiting > 0) return shortenQueue(this.server) ? again() : resume(Effect.void)
        // Node connects in a tick of its own: the three follow each other, and no turn between them empties the queue
        let shortened = false
        process.nextTick(() => {
          shortened = !over && shortenQueue(this.server)
        })
        const socket = own = Net.connect(to).on("error", () => {})
        process.nextTick(() => {
          if (over) return
          const sealed = shortened && isConnected(socket)
          if (sealed) this.close()
          if (socket.localPort !== undefined) this.ports.add(socket.localPort)
          const failed = !shortened || socket.destroyed
          socket.destroy()
          if (failed) resume(Effect.void)
          else if (sealed) socket.once("close", () => resume(Effect.void))
          else again()
        })
      }
      const again = () => {
        this.lookAgain = look
        immediate = setImmediate(look)
      }
      look()
      return Effect.sync(() => {
        over = true
        this.lookAgain = undefined
        clearImmediate(immediate)
        own?.destroy()
      })
    })
}
