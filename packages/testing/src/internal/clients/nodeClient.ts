/**
 * A client over a real socket: what all of `BadClients` are made of.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import * as Tls from "node:tls"

export interface TcpTarget {
  readonly host?: string | undefined
  readonly port: number
  readonly tls?: Tls.ConnectionOptions | undefined
}

export interface UnixTarget {
  readonly path: string
}

export type Target = TcpTarget | UnixTarget

/** How a connection ended: by the server's FIN, broken off, or closed by the client itself. */
export type Ending = "Fin" | "Reset" | "Closed"

/** Why a connection gives and takes no more bytes. */
export interface Ended {
  readonly how: Ending
  readonly cause: Error | undefined
}

/** Node calls a FIN in the middle of a handshake so. */
const endedInHandshake = /^Client network socket disconnected before secure TLS connection was established/

export class NodeClient {
  private readonly raw: Net.Socket
  private readonly socket: Net.Socket
  private readonly canReset: boolean
  private readonly waiting = new Set<() => void>()
  private readonly begunAt: number
  private reading = false
  private received = 0
  private ending: Ending | undefined
  private code: string | undefined
  private isConnected = false
  private lastError: Error | undefined
  private duration: number | undefined

  constructor(raw: Net.Socket, target: Target) {
    this.raw = raw
    this.canReset = !("path" in target)
    this.begunAt = performance.now()
    this.socket = "path" in target || target.tls === undefined
      ? raw
      : Tls.connect({ rejectUnauthorized: false, servername: "localhost", ...target.tls, socket: raw })
    this.socket.on("error", (error: NodeJS.ErrnoException) => {
      this.lastError ??= error
      this.code ??= error.code ?? error.message
      this.over(endedInHandshake.test(error.message) ? "Fin" : "Reset")
    })
    this.socket.on("end", () => this.over("Fin"))
    this.socket.on("close", () => this.over("Closed"))
    if (this.socket !== raw) {
      raw.on("error", (error) => {
        if (!this.isConnected) this.socket.destroy(error)
      })
    }
    raw.once("connect", () => {
      this.isConnected = true
      this.wake()
    })
  }

  get observed() {
    return {
      connected: this.isConnected,
      received: this.received,
      sent: this.socket.bytesWritten,
      ending: this.ending ?? "Open" as const,
      code: this.code,
      millis: this.duration ?? performance.now() - this.begunAt
    }
  }

  private over(ending: Ending): void {
    if (this.ending === undefined) {
      this.ending = ending
      this.duration = performance.now() - this.begunAt
    }
    this.wake()
  }

  private wake(): void {
    for (const look of Array.from(this.waiting)) look()
  }

  /** Waits until there is something to say. */
  private until<A, E>(look: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E> {
    return Effect.callback((resume) => {
      const attempt = () => {
        const result = look()
        if (result === undefined) return
        this.waiting.delete(attempt)
        resume(result)
      }
      this.waiting.add(attempt)
      attempt()
      return Effect.sync(() => {
        this.waiting.delete(attempt)
      })
    })
  }

  /** Nothing is read of the socket before this. */
  private startReading(): void {
    if (this.reading) return
    this.reading = true
    this.socket.on("readable", () => this.wake())
  }

  write(data: string | Uint8Array): Effect.Effect<void, Ended> {
    return Effect.callback((resume) => {
      this.socket.write(
        data,
        (error) =>
          resume(error ? Effect.fail({ how: this.ending ?? "Reset", cause: this.lastError ?? error }) : Effect.void)
      )
    })
  }

  /** The next bytes, not more than the limit. */
  read(limit = Infinity): Effect.Effect<Uint8Array, Ended> {
    return Effect.suspend(() => {
      this.startReading()
      return this.until((): Effect.Effect<Uint8Array, Ended> | undefined => {
        const { readableLength } = this.socket
        const chunk: Uint8Array | null = this.socket.read(readableLength > limit ? limit : undefined)
        if (chunk !== null) {
          this.received += chunk.length
          return Effect.succeed(chunk)
        }
        return this.ending === undefined ? undefined : Effect.fail({ how: this.ending, cause: this.lastError })
      })
    })
  }

  get end(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.socket.end()
    })
  }

  get reset(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.over("Closed")
      if (this.canReset && !this.raw.destroyed) this.raw.resetAndDestroy()
      this.close()
    })
  }

  /** Completes when the connection is made, or will never be. */
  get connected(): Effect.Effect<boolean> {
    return this.until(() =>
      this.isConnected || this.ending !== undefined ? Effect.succeed(this.isConnected) : undefined
    )
  }

  /** Why it is over, if an error said so. */
  get failure(): Error | undefined {
    return this.lastError
  }

  /** Reads and drops what comes until the end. */
  get ended(): Effect.Effect<Ending> {
    return Effect.catch(
      Effect.forever(this.read()),
      () => this.until(() => this.ending === undefined ? undefined : Effect.succeed(this.ending))
    )
  }

  close(): void {
    this.over("Closed")
    // Node destroys the TLS socket when the TCP socket has closed; before that, with a write pending, it would crash
    if (this.raw.destroyed) return
    this.socket.destroy()
    this.raw.destroy()
  }
}

/** Begins to connect. To an address, not a name, the kernel has connected one tick later. */
export const begin = (target: Target): Effect.Effect<NodeClient, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const raw = Net.connect(connecting(target))
      // it was not asked to read
      raw.pause()
      return new NodeClient(raw, target)
    }),
    (client) => Effect.sync(() => client.close())
  )

const connecting = (target: Target): Net.NetConnectOpts =>
  "path" in target
    ? { path: target.path, allowHalfOpen: true }
    // without delay: what was written goes to the server, without waiting for an acknowledgement of what was before
    : { host: target.host ?? "127.0.0.1", port: target.port, allowHalfOpen: true, noDelay: true }
