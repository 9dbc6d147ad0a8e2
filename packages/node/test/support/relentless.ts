/**
 * Clients that never stop, and count what becomes of each request: half of them
 * connect anew each time, the others keep their connection until they are told
 * to go. Raw sockets, so that nothing is retried behind the count.
 */
import * as NodeWS from "@effect/platform-node/NodeWS"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import * as Tls from "node:tls"

export interface Counts {
  answered: number
  refused: number
  reset: number
  unanswered: number
  hung: number
  /** How often they connected. */
  connected: number
  /** The processes that answered. */
  readonly by: Set<string>
}

export interface Clients {
  readonly counts: Counts
  /** Waits until `requests` more have been answered. */
  readonly more: (requests: number) => Effect.Effect<void>
  /** Waits until a process has answered. */
  readonly answeredBy: (pid: number) => Effect.Effect<void>
  /** Ends them, each after its request. */
  readonly stop: Effect.Effect<Counts>
}

export const lost = ({ hung, refused, reset, unanswered }: Counts) => ({ refused, reset, unanswered, hung })

export const none = { refused: 0, reset: 0, unanswered: 0, hung: 0 }

export type Protocol = "http" | "tls" | "unix" | "tcp" | "http2" | "webSocket"

export interface Target {
  readonly protocol: Protocol
  readonly port?: number | undefined
  readonly path?: string | undefined
}

/** Longer than anything takes here but a client that nothing answers. */
const patience = 15_000

/** A request over a connection; `again` tells that the connection can be used again. */
type Outcome = { readonly pid: string; readonly again: boolean } | "refused" | "reset" | "unanswered" | "hung" | "told"

export const start = (
  target: Target,
  clients: number,
  kept: (client: number) => boolean = (client) => client % 2 === 0
): Effect.Effect<Clients, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new Crowd(target, clients, kept)),
    (crowd) => crowd.stop
  )

class Crowd implements Clients {
  readonly counts: Counts = { answered: 0, refused: 0, reset: 0, unanswered: 0, hung: 0, connected: 0, by: new Set() }
  private stopped = false
  private readonly waiting = new Set<() => void>()
  private readonly running: ReadonlyArray<Promise<void>>

  constructor(target: Target, clients: number, kept: (client: number) => boolean) {
    this.running = Array.from({ length: clients }, (_, client) => this.run(target, kept(client)))
  }

  private async run(target: Target, kept: boolean): Promise<void> {
    let connection: Connection | undefined
    while (!this.stopped) {
      connection ??= connectionOf(target, kept, () => this.counts.connected++)
      const outcome = await connection.request()
      if (typeof outcome === "object") {
        this.counts.answered++
        this.counts.by.add(outcome.pid)
      } else if (outcome !== "told") this.counts[outcome]++
      if (typeof outcome !== "object" || !outcome.again) {
        connection.end()
        connection = undefined
      }
      for (const look of Array.from(this.waiting)) look()
      // a client that keeps its connection thinks between two requests
      if (kept) await new Promise((resume) => setTimeout(resume, 5))
      // Node runs timers before it reads: a goodbye that has come meanwhile is heard before the next request
      await new Promise((resume) => setImmediate(() => setImmediate(resume)))
    }
    connection?.end()
  }

  more(requests: number): Effect.Effect<void> {
    const target = this.counts.answered + requests
    return this.until(() => this.counts.answered >= target)
  }

  answeredBy(pid: number): Effect.Effect<void> {
    return this.until(() => this.counts.by.has(String(pid)))
  }

  private until(condition: () => boolean): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const look = () => {
        if (!condition()) return
        this.waiting.delete(look)
        resume(Effect.void)
      }
      this.waiting.add(look)
      look()
      return Effect.sync(() => this.waiting.delete(look))
    })
  }

  get stop(): Effect.Effect<Counts> {
    return Effect.promise(async () => {
      this.stopped = true
      await Promise.all(this.running)
      return this.counts
    })
  }
}

interface Connection {
  readonly request: () => Promise<Outcome>
  readonly end: () => void
}

const connectionOf = (target: Target, kept: boolean, onConnect: () => void): Connection => {
  switch (target.protocol) {
    case "http2":
      return new Http2Connection(target, kept, onConnect)
    case "webSocket":
      return new WebSocketConnection(target, kept, onConnect)
    case "tcp":
      return new RawConnection(target, onConnect, () => "x\n", (text) => {
        const end = text.indexOf("\n")
        return end < 0 ? undefined : { pid: text.slice(0, end), again: kept }
      }, kept)
    default:
      return new RawConnection(
        target,
        onConnect,
        () => `GET /pid HTTP/1.1\r\nHost: x\r\n${kept ? "" : "Connection: close\r\n"}\r\n`,
        (text) => {
          const head = text.indexOf("\r\n\r\n")
          if (head < 0) return undefined
          const length = Number(/content-length: (\d+)/i.exec(text)?.[1])
          const body = text.slice(head + 4)
          if (body.length < length) return undefined
          return { pid: body.slice(0, length), again: kept && !/connection: close/i.test(text.slice(0, head)) }
        }
      )
  }
}

class RawConnection implements Connection {
  private readonly socket: Net.Socket
  private readonly say: () => string
  private readonly read: (text: string) => Outcome | undefined
  /** Bytes alone have no word for goodbye: a client that is ended while it asks again asks the next one. */
  private readonly wordless: boolean
  private text = ""
  private connected = false
  private first = true
  private over: "refused" | "reset" | "unanswered" | undefined
  private resume: ((outcome: Outcome) => void) | undefined

  constructor(
    { path, port, protocol }: Target,
    onConnect: () => void,
    say: () => string,
    read: (text: string) => Outcome | undefined,
    wordless = false
  ) {
    this.say = say
    this.wordless = wordless
    this.read = read
    this.socket = protocol === "tls"
      ? Tls.connect({ port: port!, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] })
      : path !== undefined
      ? Net.connect({ path })
      : Net.connect({ port: port!, host: "127.0.0.1" })
    this.socket.setNoDelay(true)
    this.socket.once("connect", onConnect)
    this.socket.on(protocol === "tls" ? "secureConnect" : "connect", () => {
      this.connected = true
    })
    this.socket.on("data", (chunk: Buffer) => {
      this.text += chunk.toString("latin1")
      const outcome = this.read(this.text)
      if (outcome === undefined) return
      this.text = ""
      this.tell(outcome)
    })
    this.socket.on("error", (error: NodeJS.ErrnoException) =>
      this.fail(
        error.code === "ECONNREFUSED" || error.code === "ENOENT" || (!this.connected && error.code === "EAGAIN")
          ? "refused"
          : "reset"
      ))
    // a client that has heard the end asks no more: `close` comes turns later
    this.socket.on("end", () => this.fail("unanswered"))
    this.socket.on("close", () => this.fail("unanswered"))
  }

  request(): Promise<Outcome> {
    // one that was ended while it had nothing to ask lost nothing
    if (this.over !== undefined) return Promise.resolve(this.first ? this.over : "told")
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.tell("hung"), patience)
      this.resume = (outcome) => {
        clearTimeout(timer)
        resolve(outcome)
      }
      this.socket.write(this.say())
    })
  }

  private tell(outcome: Outcome): void {
    this.first = false
    const { resume } = this
    this.resume = undefined
    resume?.(outcome)
  }

  private fail(how: "refused" | "reset" | "unanswered"): void {
    this.over ??= how
    this.tell(how === "unanswered" && this.wordless && !this.first ? "told" : how)
  }

  end(): void {
    this.socket.destroy()
  }
}

/** A stream that is refused, or not taken by a session that says goodbye, was not executed: the client asks again. */
class Http2Connection implements Connection {
  private readonly session: Http2.ClientHttp2Session
  private readonly kept: boolean
  private over: "refused" | "reset" | undefined
  private going = false

  constructor({ port }: Target, kept: boolean, onConnect: () => void) {
    this.kept = kept
    this.session = Http2.connect(`http://127.0.0.1:${port}`)
    this.session.once("connect", onConnect)
    this.session.on("goaway", () => {
      this.going = true
    })
    this.session.on("close", () => {
      this.going = true
    })
    this.session.on("error", (error: NodeJS.ErrnoException) => {
      this.over ??= error.code === "ECONNREFUSED" ? "refused" : "reset"
    })
  }

  request(): Promise<Outcome> {
    if (this.going) return Promise.resolve("told")
    return new Promise((resolve) => {
      let text = ""
      const stream = this.session.request({ ":path": "/pid" })
      const timer = setTimeout(() => resolve("hung"), patience)
      stream.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1")
      })
      stream.on("error", () => {})
      stream.on("close", () => {
        clearTimeout(timer)
        if (text !== "") return resolve({ pid: text, again: this.kept && !this.going })
        // Node ends the streams of a session that fails before it says why
        setImmediate(() => {
          const told = stream.rstCode === Http2.constants.NGHTTP2_REFUSED_STREAM || this.going
          resolve(this.over ?? (told ? "told" : "unanswered"))
        })
      })
      stream.end()
    })
  }

  end(): void {
    this.session.close()
  }
}

/**
 * A WebSocket that is closed with 1001, or refused with 503 before there is one,
 * is told to come again; what it has not been answered it asks again.
 */
class WebSocketConnection implements Connection {
  private readonly socket: NodeWS.WebSocket
  private readonly opened: Promise<void>
  private readonly kept: boolean
  private over: Outcome | undefined
  private resume: ((outcome: Outcome) => void) | undefined

  constructor({ port }: Target, kept: boolean, onConnect: () => void) {
    this.kept = kept
    this.socket = new NodeWS.WebSocket(`ws://127.0.0.1:${port}/ws`)
    this.opened = new Promise((resolve) => this.socket.once("open", resolve))
    this.socket.once("open", onConnect)
    this.socket.once("unexpected-response", onConnect)
    this.socket.on("message", (data: Buffer) => this.tell({ pid: data.toString(), again: this.kept }))
    this.socket.on("unexpected-response", (_, response) => {
      this.fail(response.statusCode === 503 ? "told" : "unanswered")
      response.destroy()
    })
    this.socket.on(
      "error",
      (error: NodeJS.ErrnoException) => this.fail(error.code === "ECONNREFUSED" ? "refused" : "reset")
    )
    this.socket.on("close", (code) => this.fail(code === 1001 ? "told" : "unanswered"))
  }

  request(): Promise<Outcome> {
    if (this.over !== undefined) return Promise.resolve(this.over)
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.tell("hung"), patience)
      this.resume = (outcome) => {
        clearTimeout(timer)
        resolve(outcome)
      }
      void this.opened.then(() => this.socket.send("x"))
    })
  }

  private fail(how: Outcome): void {
    this.over ??= how
    this.tell(this.over)
  }

  private tell(outcome: Outcome): void {
    const { resume } = this
    this.resume = undefined
    resume?.(outcome)
  }

  end(): void {
    this.socket.terminate()
  }
}
