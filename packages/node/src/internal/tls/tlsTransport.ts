/**
 * Listening for TLS: TCP, with a handshake before the connection is ready.
 */
import { longestTimer } from "@effect-listener/core/DurationOption"
import { SecurityFailure } from "@effect-listener/core/ListenerError"
import { type BoundTransport, TransportBindError } from "@effect-listener/core/Transport"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import type { ReloadOptions, TlsTransport, TransportOptions } from "../../NodeTls.ts"
import { sharedTicketKeys } from "../inherit/sharedSocket.ts"
import { invalid } from "../listen/checks.ts"
import { bind } from "../listen/netListener.ts"
import { tcpBinding } from "../listen/tcp.ts"
import { causeText } from "../platform/causeText.ts"
import { missingFor } from "../platform/privateNode.ts"
import { ownerOf, secureOptions, securityFailure, TlsConnection, type TlsConnectionOptions } from "./tlsConnection.ts"
import { checkContext } from "./tlsContext.ts"

/** Here and not in the public module, which could not be evaluated before this one. */
export const TypeId = "~@effect-listener/node/NodeTls"

/** The certificates of a transport, and the servers that show them. */
export class TlsTransportImpl implements TlsTransport {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly name = "tls"
  private options: TransportOptions
  private readonly servers = new Set<Tls.Server>()

  constructor(options: TransportOptions) {
    this.options = options
  }

  get bind(): Effect.Effect<BoundTransport, TransportBindError, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const server = yield* this.handshakes
      const binding = yield* tcpBinding(this.options, (common) => {
        const options: TlsConnectionOptions = {
          ...common,
          handshake: (socket) => beginHandshake(server, socket),
          requestCert: this.options.requestCert ?? false,
          secure: secureOptions(common)
        }
        return (socket) => new TlsConnection(socket, options)
      })
      return yield* bind(binding)
    })
  }

  reload(options: ReloadOptions): Effect.Effect<void, SecurityFailure> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const { ca = this.options.ca, ticketKeys = this.options.ticketKeys } = options
      const next = { ...this.options, passphrase: undefined, ...options, ca, ticketKeys }
      const checked = checkTransport(next, now)
      const keys = ticketKeysOf(next)
      if (Result.isFailure(checked)) return Effect.fail(securityFailure("reload", checked.failure))
      if (Result.isFailure(keys)) return Effect.fail(securityFailure("reload", `ticketKeys: ${keys.failure}`))
      this.options = next
      // a session that was resumed would be believed by the authorities it began under
      const otherAuthorities = options.ca !== undefined && options.ticketKeys === undefined
      for (const server of this.servers) {
        server.setSecureContext(checked.success)
        // Node keeps those that its server was made with
        if (otherAuthorities) server.setTicketKeys(randomBytes(48))
        else if (keys.success !== undefined) server.setTicketKeys(keys.success)
      }
      return Effect.void
    })
  }

  /**
   * Node's TLS server, which here never listens: it makes secure what another
   * server has accepted. So a socket is ours to count, to bound and to end from
   * its first moment on, while what is delicate (which peer to believe, when a
   * resumed session is as good as a new one) stays with Node.
   */
  private get handshakes(): Effect.Effect<Tls.Server, TransportBindError, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const { alpnProtocols, rejectUnauthorized, requestCert, sni } = this.options
      const missing = missingFor("tls")
      if (missing !== undefined) return yield* Effect.fail(TransportBindError.NotSupported({ feature: missing }))
      if (alpnProtocols?.every(isProtocolName) === false) {
        return yield* invalid("alpnProtocols", "expected names of 1 to 255 bytes")
      }
      const ticketKeys = ticketKeysOf(this.options)
      if (Result.isFailure(ticketKeys)) return yield* invalid("ticketKeys", ticketKeys.failure)
      const checked = checkTransport(this.options, yield* Clock.currentTimeMillis)
      if (Result.isFailure(checked)) {
        return yield* Effect.fail(TransportBindError.SecurityFailure({ detail: checked.failure }))
      }
      const context = yield* Effect.context<never>()
      const keys = ticketKeys.success ?? (yield* sharedTicketKeys(this.options.inherit))
      const server = Tls.createServer({
        ...checked.success,
        ...(keys === undefined ? {} : { ticketKeys: keys }),
        requestCert: requestCert ?? false,
        rejectUnauthorized: rejectUnauthorized ?? true,
        // the listener's handshake time-out is the one that counts; Node takes no "none"
        handshakeTimeout: longestTimer,
        ...(alpnProtocols === undefined ? {} : { ALPNProtocols: Array.from(alpnProtocols) }),
        ...(sni === undefined ? {} : { SNICallback: lookUp(sni, context) })
      })
      server.on("secureConnection", (socket) => {
        const connection = ownerOf(socket)
        if (connection === undefined) socket.destroy()
        else connection.secured(socket)
      })
      server.on("tlsClientError", (cause, socket) => ownerOf(socket)?.failed(cause, socket))
      yield* Effect.acquireRelease(
        Effect.sync(() => this.servers.add(server)),
        () => Effect.sync(() => this.servers.delete(server))
      )
      return server
    })
  }
}

/** The one place where a public TLS transport becomes the class. */
export const implementationOf = (transport: TlsTransport): TlsTransportImpl => {
  if (transport instanceof TlsTransportImpl) return transport
  throw new TypeError("expected a transport that NodeTls.transport has made, not a copy or a likeness of one")
}

const ticketKeysOf = ({ ticketKeys }: ReloadOptions): Result.Result<Buffer | undefined, string> => {
  if (ticketKeys === undefined) return Result.succeed(undefined)
  const bytes: unknown = Redacted.isRedacted(ticketKeys) ? Redacted.value(ticketKeys) : ticketKeys
  return bytes instanceof Uint8Array && bytes.length === 48
    ? Result.succeed(Buffer.from(bytes))
    : Result.fail("expected 48 bytes")
}

/** ALPN has one byte for the length of a name. */
const isProtocolName = (name: string): boolean => name !== "" && Buffer.byteLength(name) < 256

const checkTransport = (options: TransportOptions, now: number): Result.Result<Tls.SecureContextOptions, string> =>
  options.requestCert === true && options.ca === undefined
    // Node would believe every public authority there is
    ? Result.fail("requestCert needs ca: whose client certificates are accepted")
    : checkContext(options, now)

/** Handing a TLS server a connected socket is documented, under its event `connection`. */
const beginHandshake = (server: Tls.Server, socket: Net.Socket): void => {
  // the TLS socket inherits it: an end in the middle of a handshake ends both sides
  socket.allowHalfOpen = false
  server.emit("connection", socket)
}

/** Runs the look-up of a name for Node; a client that does not wait for it interrupts it. */
const lookUp = (sni: NonNullable<TransportOptions["sni"]>, context: Context.Context<never>) =>
  function(
    // Node calls it on the socket
    this: unknown,
    name: string,
    done: (error: Error | null, context?: Tls.SecureContext) => void
  ): void {
    const fiber = Effect.runForkWith(context)(Effect.suspend(() => sni(name)))
    if (this instanceof Tls.TLSSocket) ownerOf(this)?.lookingUp(() => fiber.interruptUnsafe())
    fiber.addObserver((exit) => {
      if (Exit.isSuccess(exit)) return done(null, exit.value)
      if (Cause.hasInterruptsOnly(exit.cause)) return
      const error = Cause.squash(exit.cause)
      done(
        error instanceof SecurityFailure
          ? error
          : securityFailure("handshake", `sni died for ${JSON.stringify(name)}: ${causeText(error)}`)
      )
    })
  }
