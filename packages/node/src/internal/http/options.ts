/**
 * What the options of an HTTP server mean: for its listener, its transport, and
 * Node's servers.
 */
import * as DurationOption from "@effect-listener/core/DurationOption"
import { type Transport, TransportBindError } from "@effect-listener/core/Transport"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import type { LazyArg } from "effect/Function"
import * as Result from "effect/Result"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import type { Options, ServerOptions, TimeoutOptions } from "../../NodeHttp.ts"
import type { TransportOptions } from "../../NodeTcp.ts"
import { tcpTransport } from "../listen/tcp.ts"
import { unixTransport } from "../listen/unix.ts"
import { causeText } from "../platform/causeText.ts"
import { TlsTransportImpl } from "../tls/tlsTransport.ts"
import { isServing, type NodeHttpServersOptions, type NodeServer } from "./nodeHttpServers.ts"
import type { Http1Limits } from "./protocols/http1.ts"
import { Response } from "./protocols/http1Hooks.ts"
import { Http2Response } from "./protocols/http2Response.ts"
import type { HttpServerOptions } from "./server.ts"

/** Milliseconds; `Infinity` where there is no limit, `undefined` where nothing was said. */
type Limits = { readonly [Name in keyof typeof defaults]: number | undefined }

/** The limits of a server that is made here, in milliseconds. */
const defaults = {
  handshake: 15_000,
  firstByte: 60_000,
  head: 60_000,
  request: 300_000,
  inactivity: 5_000,
  send: 60_000
}

const defaultMaxPipelined = 64
const defaultMaxStreams = 250

/** How often Node looks for requests that are late, in milliseconds; its own 30 s would make every limit longer. */
const checkingInterval = 500

/** Everything a server is opened with. Options that cannot be used fail its bind. */
export const httpServer = (
  createServer: LazyArg<NodeServer> | undefined,
  options: ServerOptions,
  bad?: TransportBindError
): HttpServerOptions => {
  const checked = bad === undefined
    ? Result.flatMap(check(options), (limits) => servers(createServer, options, limits))
    : Result.fail(bad)
  return {
    transport: Result.match(checked, {
      onFailure: cannotBind,
      onSuccess: ({ server }) => transport(options, createServer === undefined ? undefined : server)
    }),
    listener: {
      name: options.name ?? "http",
      drain: { ...options.drain, deadline: options.drain?.deadline ?? options.gracefulShutdownTimeout },
      admission: options.admission,
      timeouts: options.timeouts,
      tracing: options.tracing,
      maskRemote: options.maskRemote
    },
    // nothing ever comes to those of a bind that fails
    servers: Result.getOrElse(checked, () => madeServers({}, noLimits)),
    webSockets: options.websocket
  }
}

/** What the options limit. */
interface Checked extends Limits {
  readonly maxPipelined: number
}

const noLimits: Checked = {
  handshake: undefined,
  firstByte: undefined,
  head: undefined,
  request: undefined,
  inactivity: undefined,
  send: undefined,
  maxPipelined: defaultMaxPipelined
}

const check = (options: ServerOptions): Result.Result<Checked, TransportBindError> =>
  Result.gen(function*() {
    const { maxPipelined = defaultMaxPipelined, timeouts } = options
    if (!Number.isSafeInteger(maxPipelined) || maxPipelined < 1) {
      yield* invalid("maxPipelined", `expected a whole number of at least 1, got ${Formatter.format(maxPipelined)}`)
    }
    return {
      handshake: yield* limit("handshake", timeouts),
      firstByte: yield* limit("firstByte", timeouts),
      head: yield* limit("head", timeouts),
      request: yield* limit("request", timeouts),
      inactivity: yield* limit("inactivity", timeouts),
      send: yield* limit("send", timeouts),
      maxPipelined
    }
  })

const limit = (
  name: keyof Limits,
  options: TimeoutOptions | undefined
): Result.Result<number | undefined, TransportBindError> => {
  const input = options?.[name]
  if (input === undefined) return Result.succeed(undefined)
  return DurationOption.millis(`timeouts.${name}`, input, { infinite: true, positive: true }).pipe(
    // a timer's longest time, 24.8 days, is as good as no limit
    Result.map((millis) => millis > DurationOption.longestTimer ? Infinity : millis),
    Result.mapError(TransportBindError.InvalidArgument)
  )
}

const invalid = (parameter: string, detail: string): Result.Result<never, TransportBindError> =>
  Result.fail(TransportBindError.InvalidArgument({ parameter, detail }))

const servers = (
  createServer: LazyArg<NodeServer> | undefined,
  options: ServerOptions,
  limits: Checked
): Result.Result<NodeHttpServersOptions, TransportBindError> =>
  Result.gen(function*() {
    if (createServer !== undefined) {
      const server = yield* attempt("createServer", createServer)
      if (isServing(server)) yield* invalid("createServer", "expected a server that no other listener uses")
      return givenServer(server, options, limits)
    }
    const { http2 } = options
    if (typeof http2 === "object") yield* attempt("http2.settings", () => Http2.getPackedSettings(http2.settings ?? {}))
    return yield* attempt("http1 or http2", () => madeServers(options, limits))
  })

/** Calls into Node or the application with options that either may refuse by throwing. */
const attempt = <A>(parameter: string, make: () => A): Result.Result<A, TransportBindError> =>
  Result.try({
    try: make,
    catch: (cause) => TransportBindError.InvalidArgument({ parameter, detail: causeText(cause) })
  })

/** A server an application made: what was set on it stays, but for what our options say. */
const givenServer = (server: NodeServer, options: Options, limits: Checked): NodeHttpServersOptions => {
  setLimits(server, limits)
  return {
    server,
    http2: undefined,
    opening: {
      handshake: limits.handshake ?? defaults.handshake,
      firstByte: limits.firstByte ?? Infinity
    },
    http1: http1Limits(server, limits.firstByte ?? Infinity, limits),
    session: {
      first: limits.firstByte ?? defaults.firstByte,
      inactivity: limits.inactivity ?? Infinity,
      head: limits.head ?? defaults.head,
      request: limits.request ?? Infinity,
      send: limits.send ?? defaults.send
    },
    halfOpen: options.halfOpen ?? false,
    upgrades: upgrades(options)
  }
}

/** Servers of our own making. */
const madeServers = (options: ServerOptions, limits: Checked): NodeHttpServersOptions => {
  const { http1, http2 = true } = options
  const request = http1?.requestTimeout ?? defaults.request
  const server = Http.createServer({
    // requests without a body need no stream to read it from
    optimizeEmptyRequests: true,
    ServerResponse: Response,
    connectionsCheckingInterval: checkingInterval,
    headersTimeout: request === 0 ? defaults.head : Math.min(defaults.head, request),
    requestTimeout: defaults.request,
    keepAliveTimeout: defaults.inactivity,
    ...http1
  })
  setLimits(server, limits)
  const firstByte = limits.firstByte ?? defaults.firstByte
  return {
    server,
    http2: http2 === false ? undefined : Http2.createServer(http2Options(http2)),
    opening: { handshake: limits.handshake ?? defaults.handshake, firstByte },
    http1: http1Limits(server, firstByte, limits),
    session: {
      first: firstByte,
      inactivity: limits.inactivity ?? defaults.inactivity,
      head: limits.head ?? defaults.head,
      request: limits.request ?? defaults.request,
      send: limits.send ?? defaults.send
    },
    halfOpen: options.halfOpen ?? false,
    upgrades: upgrades(options)
  }
}

/** Without a limit of its own, a client could begin any number of handlers (RFC 9113, section 6.5.2). */
const http2Options = (options: true | Http2.ServerOptions): Http2.ServerOptions => {
  const given = options === true ? {} : options
  return {
    Http2ServerResponse: Http2Response,
    ...given,
    settings: { maxConcurrentStreams: defaultMaxStreams, ...given.settings }
  }
}

/** The offers of an upgrade that are taken, in lower case. */
const upgrades = (options: Options): ReadonlySet<string> =>
  new Set(["websocket", ...options.upgrades ?? []].map((protocol) => protocol.toLowerCase()))

const http1Limits = (server: NodeServer, firstByte: number, { maxPipelined }: Checked): Http1Limits =>
  "headersTimeout" in server
    ? { firstByte, head: () => server.headersTimeout, request: () => server.requestTimeout, maxPipelined }
    : { firstByte, head: () => 0, request: () => 0, maxPipelined }

const setLimits = (server: NodeServer, limits: Limits): void => {
  // Node reads them as they are at the time; servers that speak HTTP/2 only have none of them
  if (!("headersTimeout" in server)) return
  const { head, inactivity, request } = limits
  if (head !== undefined) server.headersTimeout = nodeLimit(head)
  if (request !== undefined) server.requestTimeout = nodeLimit(request)
  if (inactivity !== undefined) server.keepAliveTimeout = nodeLimit(inactivity)
  // Node takes the longer of the two for that of the request
  const { headersTimeout, requestTimeout } = server
  if (requestTimeout > 0 && headersTimeout > requestTimeout) server.headersTimeout = requestTimeout
  if (head === undefined && request === undefined) return
  // Node looks for what is late as often as this says, when it begins to listen
  const checked = server as { connectionsCheckingInterval?: number }
  checked.connectionsCheckingInterval = Math.min(checked.connectionsCheckingInterval ?? Infinity, checkingInterval)
}

/** What Node's servers take for a limit. */
const nodeLimit = (millis: number): number => millis === Infinity ? 0 : millis

/** Where to listen, in the words of `net.Server.listen`. */
const transport = (options: ServerOptions, server: NodeServer | undefined): Transport => {
  if (options.exclusive === true) return cannotBind(TransportBindError.NotSupported({ feature: "exclusive" }))
  const {
    backlog,
    host,
    http2,
    inherit,
    ipv6Only,
    path,
    port,
    proxyProtocol,
    readableAll,
    reusePort,
    tls,
    writableAll
  } = options
  if (options.transport !== undefined) return options.transport
  if (path !== undefined && tls !== undefined) {
    return cannotBind(TransportBindError.NotSupported({ feature: "tls on a Unix socket" }))
  }
  if (path !== undefined) {
    const unix = { path, backlog, inherit, proxyProtocol, mode: mode(readableAll, writableAll) }
    return unixTransport(unix)
  }
  if (port === undefined) {
    return cannotBind(TransportBindError.InvalidArgument({ parameter: "port", detail: "expected a port or a path" }))
  }
  const tcp = { port, host, backlog, inherit, ipv6Only, proxyProtocol, reusePort, ...ofSockets(server) }
  if (tls === undefined) return tcpTransport(tcp)
  const secure = { ...tcp, ...tls, alpnProtocols: http2 === false ? ["http/1.1"] : ["h2", "http/1.1"] }
  return new TlsTransportImpl(secure)
}

/** What a server of the application's was made with for its sockets, which it does not accept itself. */
const ofSockets = (
  server: (NodeServer & SocketOptions) | undefined
): Pick<TransportOptions, "noDelay" | "keepAlive"> => {
  if (server === undefined) return {}
  const { keepAlive = false, keepAliveInitialDelay = 0, noDelay } = server
  return {
    noDelay: noDelay ?? true,
    // Node has it in seconds here, of which the transport wants at least one
    keepAlive: keepAlive && keepAliveInitialDelay >= 1 ? Duration.seconds(keepAliveInitialDelay) : keepAlive
  }
}

interface SocketOptions {
  readonly noDelay?: boolean
  readonly keepAlive?: boolean
  readonly keepAliveInitialDelay?: number
}

const cannotBind = (error: TransportBindError): Transport => ({ name: "http", bind: Effect.fail(error) })

/** Node widens the permissions a socket's file has by the umask: usually 0o755. */
const mode = (readable: boolean | undefined, writable: boolean | undefined): number | undefined =>
  writable === true ? 0o777 : readable === true ? 0o755 : undefined
