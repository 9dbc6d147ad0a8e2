/**
 * What the options of an HTTP server mean: for its listener, its transport, and
 * Node's servers.
 */
import * as DurationOption from "@effect-listener/core/DurationOption"
import { type Transport, TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import type { LazyArg } from "effect/Function"
import * as Result from "effect/Result"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import type { Options, ServerOptions, TimeoutOptions } from "../../NodeHttp.ts"
import { tcpTransport } from "../listen/tcp.ts"
import type { NodeHttpServersOptions, NodeServer } from "./nodeHttpServers.ts"
import { Response } from "./protocols/http1.ts"
import type { HttpServerOptions } from "./server.ts"

/** Milliseconds; `Infinity` where there is no limit, `undefined` where nothing was said. */
interface Limits {
  readonly handshake: number | undefined
  readonly firstByte: number | undefined
  readonly head: number | undefined
  readonly request: number | undefined
  readonly inactivity: number | undefined
}

/** The limits of a server that is made here, in milliseconds. */
const defaults = { handshake: 15_000, firstByte: 60_000, head: 60_000, request: 300_000, inactivity: 5_000 }

/** How often Node looks for requests that are late, in milliseconds; its own 30 s would make every limit longer. */
const checkingInterval = 500

/** Everything a server is opened with. */
export const httpServer = (
  createServer: LazyArg<NodeServer> | undefined,
  options: ServerOptions,
  bad?: TransportBindError
): HttpServerOptions => {
  const limits = readLimits(options.timeouts)
  return {
    transport: transport(options, bad ?? limits.bad),
    listener: {
      name: options.name ?? "http",
      drain: { ...options.drain, deadline: options.drain?.deadline ?? options.gracefulShutdownTimeout },
      admission: options.admission,
      timeouts: options.timeouts,
      tracing: options.tracing,
      maskRemote: options.maskRemote
    },
    servers: createServer === undefined ? madeServers(options, limits) : givenServer(createServer(), options, limits),
    webSockets: options.websocket
  }
}

/** The limits of all options that can be read, and the first that cannot. */
interface CheckedLimits extends Limits {
  readonly bad: TransportBindError | undefined
}

const readLimits = (options: TimeoutOptions | undefined): CheckedLimits => {
  let bad: TransportBindError | undefined
  const limit = (name: keyof Limits): number | undefined => {
    const input = options?.[name]
    if (input === undefined) return undefined
    const millis = DurationOption.millis(`timeouts.${name}`, input, { infinite: true, positive: true })
    // a timer's longest time, 24.8 days, is as good as no limit
    if (Result.isSuccess(millis)) return millis.success > DurationOption.longestTimer ? Infinity : millis.success
    bad ??= TransportBindError.InvalidArgument(millis.failure)
    return undefined
  }
  return {
    handshake: limit("handshake"),
    firstByte: limit("firstByte"),
    head: limit("head"),
    request: limit("request"),
    inactivity: limit("inactivity"),
    bad
  }
}

/** A server an application made: what was set on it stays, but for what our options say. */
const givenServer = (server: NodeServer, options: Options, limits: Limits): NodeHttpServersOptions => {
  setLimits(server, limits)
  return {
    server,
    http2: undefined,
    opening: {
      handshake: limits.handshake ?? defaults.handshake,
      firstByte: limits.firstByte ?? Infinity
    },
    session: {
      first: limits.firstByte ?? defaults.firstByte,
      inactivity: limits.inactivity ?? Infinity,
      request: limits.request ?? Infinity
    },
    halfOpen: options.halfOpen ?? false
  }
}

/** Servers of our own making. */
const madeServers = (options: ServerOptions, limits: Limits): NodeHttpServersOptions => {
  const { http1, http2 = true } = options
  const server = Http.createServer({
    // requests without a body need no stream to read it from
    optimizeEmptyRequests: true,
    ServerResponse: Response,
    connectionsCheckingInterval: checkingInterval,
    headersTimeout: defaults.head,
    requestTimeout: defaults.request,
    keepAliveTimeout: defaults.inactivity,
    ...http1
  })
  setLimits(server, limits)
  return {
    server,
    http2: http2 === false ? undefined : Http2.createServer(http2 === true ? {} : http2),
    opening: {
      handshake: limits.handshake ?? defaults.handshake,
      firstByte: limits.firstByte ?? defaults.firstByte
    },
    session: {
      first: limits.firstByte ?? defaults.firstByte,
      inactivity: limits.inactivity ?? defaults.inactivity,
      request: limits.request ?? defaults.request
    },
    halfOpen: options.halfOpen ?? false
  }
}

const setLimits = (server: NodeServer, limits: Limits): void => {
  // Node reads them as they are at the time; servers that speak HTTP/2 only have none of them
  if (!("headersTimeout" in server)) return
  const { head, inactivity, request } = limits
  if (head !== undefined) server.headersTimeout = nodeLimit(head)
  if (request !== undefined) server.requestTimeout = nodeLimit(request)
  if (inactivity !== undefined) server.keepAliveTimeout = nodeLimit(inactivity)
}

/** What Node's servers take for a limit. */
const nodeLimit = (millis: number): number => millis === Infinity ? 0 : millis

/** Where to listen, in the words of `net.Server.listen`. */
const transport = (options: ServerOptions, bad: TransportBindError | undefined): Transport => {
  if (bad !== undefined) return cannotBind(bad)
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
    return loaded("unix", () => import("../listen/unix.ts").then(({ unixTransport }) => unixTransport(unix)))
  }
  if (port === undefined) {
    return cannotBind(TransportBindError.InvalidArgument({ parameter: "port", detail: "expected a port or a path" }))
  }
  const tcp = { port, host, backlog, inherit, ipv6Only, proxyProtocol, reusePort }
  if (tls === undefined) return tcpTransport(tcp)
  const secure = { ...tcp, ...tls, alpnProtocols: http2 === false ? ["http/1.1"] : ["h2", "http/1.1"] }
  return loaded("tls", () => import("../../NodeTls.ts").then((NodeTls) => NodeTls.transport(secure)))
}

/** A transport that most servers do without: what it is made of is loaded when it binds. */
const loaded = (name: string, load: () => Promise<Transport>): Transport => ({
  name,
  bind: Effect.flatMap(Effect.promise(load), (transport) => transport.bind)
})

const cannotBind = (error: TransportBindError): Transport => ({ name: "http", bind: Effect.fail(error) })

/** Node widens the permissions a socket's file has by the umask: usually 0o755. */
const mode = (readable: boolean | undefined, writable: boolean | undefined): number | undefined =>
  writable === true ? 0o777 : readable === true ? 0o755 : undefined
