/**
 * A TLS connection: a TCP socket until the handshake is done, and from then on
 * a `NetConnection` over Node's `TLSSocket`.
 */
import { SecurityFailure } from "@effect-listener/core/ListenerError"
import {
  type FastConnection,
  type LingerOptions,
  type PullWatcher,
  type TransportConnection,
  unwrap
} from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Socket from "effect/socket/Socket"
import type * as Net from "node:net"
import type * as Tls from "node:tls"
import type { TlsInfo } from "../../NodeTls.ts"
import { tcpSocketOf } from "../platform/privateNode.ts"
import { notOpen, openError, readError } from "../platform/socketErrors.ts"
import { inheritIntroduction, introduce, introductionOf } from "../proxyProtocol/introduction.ts"
import { watchDeparture } from "../socket/departure.ts"
import { goodbye, lingerAndClose } from "../socket/goodbye/lingeringClose.ts"
import { NetConnection } from "../socket/netConnection.ts"
import { acceptedSocket, type NetConnectionOptions, nodeSocket, resetTcp } from "../socket/nodeSocket.ts"
import { Wakers } from "../socket/wakers.ts"

/** What the connections of one listening socket have in common. */
export interface TlsConnectionOptions extends Omit<NetConnectionOptions, "protocol" | "reset"> {
  /** Begins the handshake of a socket. Its outcome is told to `secured` or `failed`, unless the socket is closed before. */
  readonly handshake: (socket: Net.Socket) => void
  /** Clients show certificates. */
  readonly requestCert: boolean
  /** For the connections over TLS sockets. */
  readonly secure: NetConnectionOptions
}

/** What the connections over the TLS sockets of one listening socket have in common. */
export const secureOptions = (
  common: Omit<NetConnectionOptions, "protocol" | "reset">
): NetConnectionOptions => ({
  ...common,
  protocol: "tls",
  // the TCP socket was introduced
  introduction: undefined,
  reset: (socket) => ownerOf(socket)?.reset(socket)
})

/** How a listener of all TLS sockets finds the connection of one. */
const connectionOf: unique symbol = Symbol("@effect-listener/node/tlsConnectionOf")

interface OwnedSocket extends Net.Socket {
  [connectionOf]: TlsConnection | undefined
}

/** The connection whose TCP socket Node has wrapped into this TLS socket. */
export const ownerOf = (socket: Net.Socket): TlsConnection | undefined => {
  // it may be another's
  const tcp = tcpSocketOf(socket) as Partial<Pick<OwnedSocket, typeof connectionOf>> | undefined
  return tcp?.[connectionOf]
}

/** What the handshake of a connection of `NodeTls` has settled. */
export const infoOf = (connection: TransportConnection): Option.Option<TlsInfo> => {
  const own = unwrap(connection)
  return own instanceof TlsConnection ? Option.fromUndefinedOr(own.info) : Option.none()
}

/**
 * One connection. Until the handshake is done it is the TCP socket, which its
 * listener may count, bound and end; what is said and heard is the business of
 * the `NetConnection` over the TLS socket.
 */
export class TlsConnection implements TransportConnection, FastConnection {
  readonly protocol = "tls"
  /** What the handshake has settled: the TLS socket, and what that does not know for ever. */
  private secure: { readonly socket: Tls.TLSSocket } & Pick<TlsInfo, "version" | "peerCertificate"> | undefined
  /** From the end of the handshake on. */
  inner: NetConnection | undefined
  private readonly tcp: Net.Socket
  private readonly options: TlsConnectionOptions
  private begun = false
  private failure: SecurityFailure | Socket.SocketError | undefined
  private readonly waiting = new Wakers()
  private cancelLookUp: (() => void) | undefined
  private lazyOutcome: TransportConnection["ready"] | undefined
  private lazySocket: Socket.Socket | undefined
  private watcher: PullWatcher | undefined

  constructor(tcp: Net.Socket, options: TlsConnectionOptions) {
    this.tcp = tcp
    this.options = options
    // the listeners are only ever called on this socket, once it has its connection
    const owned = tcp as OwnedSocket
    owned[connectionOf] = this
    owned.on("error", onError)
    owned.on("close", onClose)
  }

  get [nodeSocket](): Net.Socket | undefined {
    return this.inner?.netSocket
  }
  get remote(): NetAddress.SocketAddress {
    return this.options.remote(this.tcp)
  }
  get local(): NetAddress.SocketAddress {
    return this.options.local(this.tcp)
  }
  get via(): NetAddress.SocketAddress | undefined {
    return this.options.introduction === undefined ? undefined : introductionOf(this.tcp)?.via
  }
  get introduced(): TransportConnection["introduced"] {
    const { introduction } = this.options
    return introduction === undefined ? undefined : introduce(this.tcp, this.remote, introduction)
  }
  get [acceptedSocket](): Net.Socket {
    return this.tcp
  }
  get settled(): Effect.Effect<void> {
    return this.options.pollPhase.passed
  }

  get fast(): FastConnection {
    return this
  }
  get owner(): TransportConnection {
    return this
  }

  /** What the connection carries, not what the wire does: a handshake is nothing received. */
  bytesPending(): number {
    return this.inner?.bytesPending() ?? 0
  }
  bytesIn(): number {
    return this.inner?.bytesIn() ?? 0
  }
  bytesOut(): number {
    return this.inner?.bytesOut() ?? 0
  }

  /** Before the handshake it is the TCP socket that is watched; a client that ends in the middle of one has gone. */
  watchDeparture(gone: () => void, halfOpen?: boolean): () => void {
    return this.inner === undefined
      ? watchDeparture(this.tcp, false, gone)
      : this.inner.watchDeparture(gone, halfOpen)
  }

  // --- the handshake ---------------------------------------------------------------------------------------------

  get ready(): TransportConnection["ready"] {
    return this.inner === undefined ? this.lazyOutcome ??= this.outcome : Effect.void
  }

  private get outcome(): TransportConnection["ready"] {
    return Effect.callback((resume) => {
      const { failure } = this
      if (failure !== undefined) return resume(Effect.fail(failure))
      if (this.inner !== undefined) return resume(Effect.void)
      const again = () => resume(this.failure === undefined ? Effect.void : Effect.fail(this.failure))
      const cancel = this.waiting.wait(again)
      if (!this.begun) {
        this.begun = true
        this.options.handshake(this.tcp)
      }
      return cancel
    })
  }

  private fail(failure: SecurityFailure | Socket.SocketError): void {
    if (this.inner !== undefined) return
    this.failure ??= failure
    this.waiting.wake()
  }

  /** The client has asked for a name whose certificate is being looked up. */
  lookingUp(cancel: () => void): void {
    this.cancelLookUp = cancel
  }

  secured(socket: Tls.TLSSocket): void {
    // the waiting fiber has given up in the meantime
    if (this.failure !== undefined) return void socket.destroy()
    // only now: a client that ends its side in the middle of its handshake is gone
    socket.allowHalfOpen = true
    this.secure = {
      socket,
      version: socket.getProtocol() ?? "unknown",
      peerCertificate: this.options.requestCert
        ? Option.fromUndefinedOr(socket.getPeerX509Certificate())
        : Option.none()
    }
    if (this.options.introduction !== undefined) inheritIntroduction(socket, this.tcp)
    this.inner = new NetConnection(socket, this.options.secure)
    if (this.watcher !== undefined) this.inner.watchPulls(this.watcher)
    this.waiting.wake()
  }

  get info(): TlsInfo | undefined {
    if (this.secure === undefined) return undefined
    const { peerCertificate, socket, version } = this.secure
    return {
      version,
      alpn: Option.fromUndefinedOr(socket.alpnProtocol || undefined),
      serverName: Option.fromUndefinedOr(socket.servername || undefined),
      authorized: socket.authorized,
      peerCertificate
    }
  }

  failed(cause: Error, socket: Tls.TLSSocket): void {
    this.fail(handshakeFailure(cause, socket.authorizationError))
  }

  released(): void {
    this.cancelLookUp?.()
    // where there is a TLS socket it has the last word, and knows why
    if (!this.begun) this.fail(notOpen())
  }

  // --- reading and writing ---------------------------------------------------------------------------------------

  /** Before the handshake, such as for a refusal in the protocol's words, a writer waits for it. */
  get socket(): Socket.Socket {
    if (this.inner !== undefined) return this.inner.socket
    const secure = Effect.map(this.ready, () => this.inner!.socket)
    return this.lazySocket ??= Socket.make({
      reader: Effect.flatMap(Effect.mapError(secure, unusable), (socket) => socket.reader),
      writer: Effect.matchEffect(secure, {
        onFailure: (failure) => Effect.succeed(brokenWriter(unusable(failure))),
        onSuccess: (socket) => socket.writer
      })
    })
  }

  watchPulls(watcher: PullWatcher): void {
    this.watcher = watcher
    this.inner?.watchPulls(watcher)
  }

  endReading(error: Socket.SocketError): boolean {
    return this.endReadingAfter(error, Infinity)
  }

  endReadingAfter(error: Socket.SocketError, bytes: number): boolean {
    if (this.inner !== undefined) return this.inner.endReadingAfter(error, bytes)
    this.fail(error)
    return true
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  goodbye(linger: LingerOptions | "none"): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.inner !== undefined) return this.inner.goodbye(linger)
      this.fail(notOpen())
      // In the middle of a handshake nothing has been said that could be lost, and TLS has no words for a goodbye yet.
      if (this.begun) this.tcp.destroy()
      return goodbye(this.tcp, linger, this.options.lingerTimer, () => resetTcp(this.tcp))
    })
  }

  goodbyeDetached(linger: LingerOptions | "none", done: () => void): void {
    if (this.inner !== undefined) return this.inner.goodbyeDetached(linger, done)
    this.fail(notOpen())
    if (this.begun) this.tcp.destroy()
    lingerAndClose(this.tcp, linger, this.options.lingerTimer, done)
  }

  get destroy(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.inner !== undefined) return this.inner.destroy
      this.fail(notOpen())
      if (!this.tcp.destroyed) resetTcp(this.tcp)
      return Effect.void
    })
  }

  /**
   * A reset is the TCP socket's to send; whether the FIN is under way, the TLS socket's to know. Node destroys the TLS
   * socket when the TCP socket has closed. Destroyed before, it frees what it has encrypted while libuv still holds it
   * in a write that is pending, and the process crashes.
   */
  reset(socket: Net.Socket): void {
    if (!this.tcp.destroyed) resetTcp(this.tcp, socket)
  }
}

function onError(): void {
  // Node tells the TLS socket too, once there is one; before that nothing is read, and `close` says it all
}

function onClose(this: OwnedSocket): void {
  const connection = this[connectionOf]
  // see netConnection.ts; before the end of the handshake the TLS socket has something to tell yet
  if (connection?.inner !== undefined) this[connectionOf] = undefined
  connection?.released()
}

const handshakeFailure = (
  cause: Error,
  authorizationError: Error | string | null | undefined
): SecurityFailure | Socket.SocketError => {
  if (cause instanceof SecurityFailure) return cause
  // Node says what is wrong with a client's certificate here, and to the client nothing
  if (authorizationError) return securityFailure("handshake", `client certificate refused: ${authorizationError}`)
  const { code = "", reason } = cause as { readonly code?: string; readonly reason?: string }
  return code.startsWith("ERR_")
    ? securityFailure("handshake", `${reason ?? cause.message} (${code})`)
    : readError(cause)
}

export const securityFailure = (operation: string, detail: string): SecurityFailure =>
  new SecurityFailure({ operation, listener: "tls", trail: [], detail })

const unusable = (cause: SecurityFailure | Socket.SocketError): Socket.SocketError =>
  Socket.isSocketError(cause) ? cause : openError(cause)

const brokenWriter = (error: Socket.SocketError): Socket.Writer => ({
  write: () => Effect.fail(error),
  writeAll: () => Effect.fail(error)
})
