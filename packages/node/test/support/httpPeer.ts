/**
 * An HTTP/1 client of bytes: it sends exactly what it is told, and reads
 * responses one after another, whatever their connection does.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { Changes } from "./changes.ts"
import type { Ending } from "./netClient.ts"

export interface Head {
  readonly status: number
  /** Names in lower case; of names that come more than once, the last. */
  readonly headers: Record<string, string | undefined>
}

export interface Response extends Head {
  /** The lines of the head as they came. */
  readonly lines: ReadonlyArray<string>
  /** The body as text; empty where it is longer than 1 MiB. */
  readonly body: string
  readonly length: number
  readonly trailers: Record<string, string | undefined>
}

export interface HttpPeer {
  readonly socket: Net.Socket
  /** Writes, without waiting for anything. */
  readonly send: (data: string | Uint8Array) => Effect.Effect<void>
  /** Writes, and waits until the kernel has taken it. */
  readonly sendAll: (data: string | Uint8Array) => Effect.Effect<void, Error>
  /** Waits for the next response. */
  readonly response: Effect.Effect<Response, Error>
  /** Waits for the head of the next response, or of the one whose body is coming. */
  readonly head: Effect.Effect<Head, Error>
  /** The response to a GET of this path, on this connection. */
  readonly get: (path: string) => Effect.Effect<Response, Error>
  /** Waits for the end of the connection; responses that were not asked for are dropped. */
  readonly ending: Effect.Effect<Ending>
  /** Waits for it, and answers whether something of a response came before. */
  readonly rest: Effect.Effect<{ readonly ending: Ending; readonly partial: boolean }>
  /** Breaks the connection off, by a reset on the wire. */
  readonly reset: Effect.Effect<void>
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** Whole responses so far, asked for or not. */
  readonly responses: () => number
}

export const get = (path: string, headers = ""): string => `GET ${path} HTTP/1.1\r\nHost: test\r\n${headers}\r\n`

export interface Options {
  readonly tls?: boolean | undefined
  /** Requests are HEAD: responses have no body. */
  readonly headOnly?: boolean | undefined
  readonly path?: string | undefined
  /** Called when the kernels have connected: over TLS, before the handshake. */
  readonly onTcpConnect?: (() => void) | undefined
}

/** Connects; the scope destroys the socket. */
export const connect = (port: number, options: Options = {}): Effect.Effect<HttpPeer, Error, Scope.Scope> =>
  Effect.gen(function*() {
    const to: Net.NetConnectOpts = options.path === undefined
      ? { port, host: "127.0.0.1", allowHalfOpen: true }
      : { path: options.path, allowHalfOpen: true }
    const tcp = yield* Effect.acquireRelease(
      Effect.sync(() => Net.connect(to)),
      (tcp) => Effect.sync(() => tcp.destroy())
    )
    // over TLS it hears of its errors through the socket above
    tcp.on("error", () => {})
    if (options.onTcpConnect !== undefined) tcp.once("connect", options.onTcpConnect)
    const socket = options.tls === true
      ? Tls.connect({ socket: tcp, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] })
      : tcp
    const peer = makePeer(socket, tcp, options)
    yield* Effect.callback<void, Error>((resume) => {
      socket.once(options.tls === true ? "secureConnect" : "connect", () => resume(Effect.void))
      socket.once("error", (error) => resume(Effect.fail(error)))
    })
    return peer
  })

const makePeer = (socket: Net.Socket, tcp: Net.Socket, options: Options): HttpPeer => {
  const parser = new Parser(options.headOnly === true)
  let ending: Ending | undefined
  let taken = 0
  const changes = new Changes()
  const ended = (by: Ending) => {
    if (ending !== undefined) return
    ending = by
    parser.end()
    changes.notify()
  }
  socket.on("data", (chunk) => {
    parser.push(chunk)
    changes.notify()
  })
  socket.on("end", () => ended("FIN"))
  socket.on("error", (error: NodeJS.ErrnoException) => ended(error.code ?? error.message))
  socket.on("close", () => ended("destroyed"))

  const noResponse = () => new Error(`no response: ${ending}${parser.partial ? ", in the middle of one" : ""}`)
  const response = changes.until(() =>
    parser.whole.length > taken
      ? Effect.succeed(parser.whole[taken++]!)
      : ending === undefined
      ? undefined
      : Effect.fail(noResponse())
  )
  const send = (data: string | Uint8Array) =>
    Effect.sync(() => {
      socket.write(data)
    })
  return {
    socket,
    send,
    sendAll: (data) =>
      Effect.callback((resume) => {
        socket.write(data, (error) => resume(error ? Effect.fail(error) : Effect.void))
      }),
    response,
    head: changes.until((): Effect.Effect<Head, Error> | undefined => {
      const head = parser.whole[taken] ?? parser.current
      return head !== undefined ? Effect.succeed(head) : ending === undefined ? undefined : Effect.fail(noResponse())
    }),
    get: (path) => Effect.andThen(send(get(path)), response),
    ending: changes.until(() => ending === undefined ? undefined : Effect.succeed(ending)),
    rest: changes.until(() => ending === undefined ? undefined : Effect.succeed({ ending, partial: parser.partial })),
    reset: Effect.sync(() => {
      tcp.resetAndDestroy()
    }),
    pause: Effect.sync(() => {
      socket.pause()
    }),
    resume: Effect.sync(() => {
      socket.resume()
    }),
    responses: () => parser.whole.length
  }
}

const keptBytes = 1 << 20

interface Current extends Head {
  readonly lines: ReadonlyArray<string>
  readonly body: Array<Buffer>
  length: number
}

/** Takes bytes, gives responses. */
class Parser {
  readonly whole: Array<Response> = []
  current: Current | undefined
  private bytes: Buffer = Buffer.alloc(0)
  /** What is left of the body or of its chunk; `undefined` where a chunk's size comes next, `Infinity` to the end. */
  private left: number | undefined
  private chunked = false
  private readonly headOnly: boolean

  constructor(headOnly: boolean) {
    this.headOnly = headOnly
  }

  get partial(): boolean {
    return this.current !== undefined || this.bytes.length > 0
  }

  push(chunk: Buffer): void {
    // a long body is not collected only to be dropped
    if (this.bytes.length === 0 && this.current !== undefined && this.left !== undefined && this.left > chunk.length) {
      return this.take(chunk)
    }
    this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk])
    while (this.step());
  }

  end(): void {
    if (this.left === Infinity) this.finish({})
  }

  private step(): boolean {
    if (this.current === undefined) return this.readHead()
    if (this.left === undefined) return this.readChunkSize()
    if (this.bytes.length === 0 && this.left > 0) return false
    const part = this.bytes.subarray(0, Math.min(this.left, this.bytes.length))
    this.bytes = this.bytes.subarray(part.length)
    this.take(part)
    return true
  }

  private take(part: Buffer): void {
    const current = this.current!
    current.length += part.length
    if (current.length <= keptBytes) current.body.push(part)
    this.left! -= part.length
    if (this.left! > 0) return
    if (this.chunked) this.left = undefined
    else this.finish({})
  }

  private readHead(): boolean {
    const at = this.bytes.indexOf("\r\n\r\n")
    if (at < 0) return false
    const [first = "", ...lines] = this.bytes.toString("latin1", 0, at).split("\r\n")
    this.bytes = this.bytes.subarray(at + 4)
    const status = Number(first.split(" ")[1])
    const headers = fields(lines)
    this.current = { status, headers, lines: [first, ...lines], body: [], length: 0 }
    const length = headers["content-length"]
    this.chunked = headers["transfer-encoding"] === "chunked"
    if (this.headOnly || status < 200 || status === 204 || status === 304) this.finish({})
    else if (this.chunked) this.left = undefined
    else if (length === undefined) this.left = Infinity
    else if (Number(length) === 0) this.finish({})
    else this.left = Number(length)
    return true
  }

  private readChunkSize(): boolean {
    let start = 0
    // the end of the chunk before
    if (this.bytes[0] === 13 && this.bytes[1] === 10) start = 2
    const at = this.bytes.indexOf("\r\n", start)
    if (at < 0) return false
    const size = parseInt(this.bytes.toString("latin1", start, at), 16)
    if (size > 0) {
      this.bytes = this.bytes.subarray(at + 2)
      this.left = size
      return true
    }
    const end = this.bytes.indexOf("\r\n\r\n", at)
    if (end < 0) return false
    const trailers = fields(this.bytes.toString("latin1", at + 2, Math.max(at + 2, end)).split("\r\n"))
    this.bytes = this.bytes.subarray(end + 4)
    this.finish(trailers)
    return true
  }

  private finish(trailers: Record<string, string | undefined>): void {
    const { body, headers, length, lines, status } = this.current!
    this.whole.push({ status, headers, lines, trailers, length, body: Buffer.concat(body).toString() })
    this.current = undefined
    this.left = undefined
  }
}

const fields = (lines: ReadonlyArray<string>): Record<string, string | undefined> =>
  Object.fromEntries(
    lines.filter((line) => line !== "").map((line) => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    })
  )
