/** A client of datagrams on `node:dgram`, with nothing of this library in it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Dgram from "node:dgram"

export class UdpClient {
  readonly socket: Dgram.Socket
  readonly answers: Array<string> = []
  /** Where the latest answer came from. */
  from: Dgram.RemoteInfo | undefined
  private waiting: Array<{ readonly count: number; readonly done: () => void }> = []

  constructor(socket: Dgram.Socket) {
    this.socket = socket
    socket.on("message", (payload, from) => {
      this.answers.push(payload.toString())
      this.from = from
      const done = this.waiting.filter(({ count }) => this.answers.length >= count)
      this.waiting = this.waiting.filter(({ count }) => this.answers.length < count)
      for (const one of done) one.done()
    })
  }

  /** Completes when the kernel of this machine has it: over loopback, that of the server. */
  send(payload: string, to: number, host = "127.0.0.1"): Effect.Effect<void> {
    return Effect.callback((resume) => {
      this.socket.send(payload, to, host, (error) => resume(error === null ? Effect.void : Effect.die(error)))
    })
  }

  /** Sends `count` in one go, before the event loop can turn. */
  burst(count: number, to: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      for (let i = 1; i < count; i++) this.socket.send("x".repeat(32), to, "127.0.0.1")
      return this.send("last", to)
    })
  }

  /** Waits until `count` answers have come in all. */
  answered(count: number): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (this.answers.length >= count) return resume(Effect.void)
      this.waiting.push({ count, done: () => resume(Effect.void) })
    })
  }
}

export const client = (type: Dgram.SocketType = "udp4"): Effect.Effect<UdpClient, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<UdpClient>((resume) => {
      // answers to a burst are a burst
      const socket = Dgram.createSocket({ type, recvBufferSize: 1 << 20 })
      socket.bind(0, type === "udp6" ? "::1" : "127.0.0.1", () => resume(Effect.succeed(new UdpClient(socket))))
    }),
    ({ socket }) =>
      Effect.callback<void>((resume) => {
        socket.close(() => resume(Effect.void))
      })
  )
