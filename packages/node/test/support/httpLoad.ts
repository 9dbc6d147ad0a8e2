/**
 * Keep-alive clients that ask again and again, and count what they were not
 * answered: plain callbacks, because a load generator must not be the load.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import * as Tls from "node:tls"

export interface Load {
  sent: number
  answered: number
  /** Sent on an established connection, and the connection ended before a byte of the answer. */
  lost: number
  /** The connection ended in the middle of an answer. */
  cut: number
  /** Lost, too, but sent when the server had no longer to wait for it. */
  late: number
}

export interface Options {
  readonly clients: number
  /** Milliseconds between an answer and the next request. */
  readonly pause: () => number
  readonly tls?: boolean | undefined
  /** How long the server waits for the next request of a connection when it drains, in milliseconds. Default: for ever. */
  readonly grace?: number | undefined
  /** What is asked for, and the body of its answer. Default: `/`, answered `ok`. */
  readonly path?: string | undefined
  readonly body?: string | undefined
}

class Client {
  private readonly port: number
  private readonly options: Options
  private readonly load: Load
  private readonly done: () => void
  private readonly onAnswer: () => void
  private waiting = false
  private text = ""
  /** The server's grace began no sooner: when the client began to connect, or sent its latest request. */
  private since = 0
  /** The request that waits for its answer was sent after the grace. */
  private late = false

  constructor(port: number, options: Options, load: Load, done: () => void, onAnswer: () => void) {
    this.port = port
    this.options = options
    this.load = load
    this.done = done
    this.onAnswer = onAnswer
    this.connect()
  }

  private connect(): void {
    const { pause, tls = false } = this.options
    const to = { port: this.port, host: "127.0.0.1" }
    this.since = performance.now()
    const socket = tls ? Tls.connect({ ...to, rejectUnauthorized: false }) : Net.connect(to)
    socket.setNoDelay()
    let over = false
    const ended = (again: boolean) => {
      if (over) return
      over = true
      socket.destroy()
      if (this.waiting && this.text === "") this.load[this.late ? "late" : "lost"]++
      else if (this.waiting) this.load.cut++
      this.waiting = false
      this.text = ""
      if (again) this.connect()
      else this.done()
    }
    socket.on(tls ? "secureConnect" : "connect", () => this.ask(socket))
    socket.on("data", (chunk) => {
      this.text += chunk.toString("latin1")
      if (!this.text.endsWith(`\r\n\r\n${this.options.body ?? "ok"}`)) return
      const close = this.text.includes("\r\nConnection: close\r\n")
      this.text = ""
      this.waiting = false
      this.load.answered++
      this.onAnswer()
      if (close) return ended(true)
      const millis = pause()
      if (millis === 0) this.ask(socket)
      else setTimeout(() => this.ask(socket), millis)
    })
    socket.on("end", () => ended(true))
    socket.on("error", (error: NodeJS.ErrnoException) => ended(error.code !== "ECONNREFUSED"))
    socket.on("close", () => ended(true))
  }

  private ask(socket: Net.Socket): void {
    if (socket.destroyed || !socket.writable) return
    const now = performance.now()
    this.late = now - this.since > (this.options.grace ?? Infinity)
    this.since = now
    this.waiting = true
    this.load.sent++
    socket.write(`GET ${this.options.path ?? "/"} HTTP/1.1\r\nHost: test\r\n\r\n`)
  }
}

/** So many clients. `answered` completes at so many answers, `refused` when the server is gone for all of them. */
export const start = (
  port: number,
  options: Options
): Effect.Effect<
  {
    readonly load: Load
    readonly answered: (count: number) => Effect.Effect<void>
    readonly refused: Effect.Effect<void>
  },
  never,
  Scope.Scope
> =>
  Effect.sync(() => {
    const load: Load = { sent: 0, answered: 0, lost: 0, cut: 0, late: 0 }
    let left = options.clients
    let resume = () => {}
    let look = () => {}
    for (let client = 0; client < options.clients; client++) {
      new Client(port, options, load, () => {
        left--
        if (left === 0) resume()
      }, () => look())
    }
    const answered = (count: number) =>
      Effect.callback<void>((done) => {
        look = () => load.answered >= count && done(Effect.void)
        look()
      })
    const refused = Effect.callback<void>((done) => {
      resume = () => done(Effect.void)
      if (left === 0) resume()
    })
    return { load, answered, refused }
  })
