/** A client that sends bytes, however wrong, and says what came of it. */
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import * as Tls from "node:tls"

export interface Hostile {
  readonly socket: Net.Socket
  /** What came, as latin1. */
  readonly text: () => string
  readonly bytes: () => Buffer
  /** The server has ended the connection. */
  readonly over: () => boolean
  /** Completes when the server has ended the connection. */
  readonly ended: Effect.Effect<void>
  /** Completes when something that this accepts has come, or the connection is over. */
  readonly until: (accepts: (text: string) => boolean) => Effect.Effect<void>
}

export interface Options {
  readonly tls?: boolean | undefined
  readonly alpn?: string | undefined
  /** Reads nothing. */
  readonly deaf?: boolean | undefined
}

/** Connects and sends; destroyed with the scope. The client never ends its side by itself. */
export const connect = (port: number, bytes: string | Uint8Array = "", options: Options = {}) =>
  Effect.gen(function*() {
    const tcp = yield* Effect.acquireRelease(
      Effect.sync(() => Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })),
      (tcp) => Effect.sync(() => tcp.destroy())
    )
    // over TLS it hears of its errors through the socket above
    tcp.on("error", () => {})
    const { alpn, tls = false } = options
    const socket = tls
      ? Tls.connect({
        socket: tcp,
        rejectUnauthorized: false,
        ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] })
      })
      : tcp
    const chunks: Array<Buffer> = []
    let over = false
    const waiting = new Set<() => void>()
    const wake = () => {
      for (const look of Array.from(waiting)) look()
    }
    const end = () => {
      over = true
      wake()
    }
    socket.on("error", end)
    socket.on("end", end)
    socket.on("close", end)
    const bytesOf = () => Buffer.concat(chunks)
    const until = (holds: () => boolean): Effect.Effect<void> =>
      Effect.callback((resume) => {
        const look = () => {
          if (!over && !holds()) return
          waiting.delete(look)
          resume(Effect.void)
        }
        waiting.add(look)
        look()
        return Effect.sync(() => waiting.delete(look))
      })
    yield* Effect.callback<void>((resume) => {
      socket.once(tls ? "secureConnect" : "connect", () => resume(Effect.void))
      socket.once("close", () => resume(Effect.void))
    })
    if (options.deaf === true) socket.pause()
    else {
      socket.on("data", (chunk: Buffer) => {
        chunks.push(chunk)
        wake()
      })
    }
    if (bytes.length > 0) socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes)
    const hostile: Hostile = {
      socket,
      bytes: bytesOf,
      text: () => bytesOf().toString("latin1"),
      over: () => over,
      ended: until(() => false),
      until: (accepts) => until(() => accepts(bytesOf().toString("latin1")))
    }
    return hostile
  })

/** The statuses that came, and whether the connection was ended. */
export const outcome = ({ over, text }: Hostile): string => {
  const statuses = Array.from(text().matchAll(/^HTTP\/1\.1 (\d+)/gm), ([, status]) => status)
  return [...statuses, ...(over() ? ["end"] : [])].join(" ") || "nothing"
}
