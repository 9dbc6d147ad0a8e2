/**
 * Listening for TCP, also for the protocols on top of it.
 */
import * as DurationOption from "@effect-listener/core/DurationOption"
import { type Transport, TransportBindError } from "@effect-listener/core/Transport"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import cluster from "node:cluster"
import type * as Net from "node:net"
import type { TransportOptions } from "../../NodeTcp.ts"
import { acquireShared, listenOn } from "../inherit/sharedSocket.ts"
import { formatHostPort } from "../platform/hostPort.ts"
import { checkProxyProtocol } from "../proxyProtocol/options.ts"
import { LingerTimer } from "../socket/goodbye/lingerTimer.ts"
import { NetConnection } from "../socket/netConnection.ts"
import { type NetConnectionOptions, resetTcp } from "../socket/nodeSocket.ts"
import { PollPhase } from "../socket/pollPhase.ts"
import { checkBacklog, checkInteger, checkText, defaultBacklog, inheritedBacklog, invalid } from "./checks.ts"
import { bindError } from "./errno.ts"
import { holdPort } from "./holdSocket.ts"
import { bind, type NetBinding } from "./netListener.ts"
import { kernelQueue } from "./queue/kernelQueue.ts"
import { localAddress, nativeAddress, remoteAddress } from "./socketAddress.ts"

export const tcpTransport = (options: TransportOptions): Transport => ({
  name: "tcp",
  bind: Effect.flatMap(Effect.suspend(() => tcpBinding(options)), bind)
})

/** How accepted sockets become connections, given what those of one listener have in common. */
export type Connect = (common: Omit<NetConnectionOptions, "protocol" | "reset">) => NetBinding["connect"]

/** The binding of checked options. */
export const tcpBinding: (
  options: TransportOptions,
  connect?: Connect
) => Effect.Effect<NetBinding, TransportBindError, Scope.Scope> = Effect.fnUntraced(
  function*(options, connect = connectTcp) {
    const { host, ipv6Only = false, port } = options
    yield* checkInteger("port", port, 0, 65_535)
    if (host !== undefined) yield* checkText("host", host)
    yield* checkBacklog(options.backlog ?? defaultBacklog)
    const keepAlive = yield* keepAliveOptions(options.keepAlive ?? false)
    const introduction = yield* checkProxyProtocol(options.proxyProtocol)
    const common = {
      halfOpen: options.halfOpen ?? true,
      remote: remoteAddress,
      local: localAddress,
      pollPhase: new PollPhase(),
      lingerTimer: new LingerTimer(),
      introduction
    }
    const connection = connect(common)
    const bindErrorOf = (cause: unknown) =>
      bindError(cause, { address: formatHostPort(host ?? "::", port), parameter: "host" })
    const shared = yield* acquireShared(
      options.inherit,
      { kind: "tcp", port, host, ipv6Only },
      holdPort({ port, host, ipv6Only, reusePort: options.reusePort ?? false }, bindErrorOf)
    )
    const backlog = options.backlog ?? (shared === undefined ? defaultBacklog : inheritedBacklog)
    return {
      server: { ...keepAlive, noDelay: options.noDelay ?? true },
      shared,
      listen: (server) =>
        shared !== undefined ? listenOn(server, shared, backlog) : server.listen({
          port,
          // without a host Node takes "::" where there is IPv6, and "0.0.0.0" elsewhere
          ...(host === undefined ? {} : { host }),
          ipv6Only,
          reusePort: options.reusePort ?? false,
          backlog
        }),
      backlog,
      lingerTimer: common.lingerTimer,
      kernelQueue,
      // what a worker of a cluster listens on is its primary's
      alone: shared === undefined && options.reusePort !== true && !cluster.isWorker,
      bindError: bindErrorOf,
      publish: (server) =>
        Effect.suspend(() => {
          if (shared?.boundTo.kind === "tcp") {
            const { host, port } = shared.boundTo
            return Effect.succeed({ address: nativeAddress(host, port), withdraw: Effect.void })
          }
          const address = server.address()
          return address === null || typeof address === "string"
            ? Effect.fail(TransportBindError.TransportFailure({ cause: new Error(`no TCP address: ${address}`) }))
            : Effect.succeed({ address: nativeAddress(address.address, address.port), withdraw: Effect.void })
        }),
      connect: (socket) => {
        // Node remembers the peer's name from the first time it is asked on, also when the peer is gone
        void socket.remoteAddress
        return connection(socket)
      }
    }
  }
)

const connectTcp: Connect = (common) => {
  const options = { ...common, protocol: "tcp", reset: resetTcp }
  return (socket) => new NetConnection(socket, options)
}

/** Linux' MAX_TCP_KEEPIDLE. */
const longestDelay = 32_767_000

/** The kernel counts the delay in whole seconds, of which there must be one. */
const keepAliveOptions = (
  keepAlive: boolean | Duration.Input
): Effect.Effect<Pick<Net.ServerOpts, "keepAlive" | "keepAliveInitialDelay">, TransportBindError> => {
  if (typeof keepAlive === "boolean") return Effect.succeed({ keepAlive })
  const delay = Result.getOrElse(DurationOption.millis("keepAlive", keepAlive), () => 0)
  return delay >= 1000 && delay <= longestDelay
    ? Effect.succeed({ keepAlive: true, keepAliveInitialDelay: delay })
    : invalid("keepAlive", "expected a boolean, or a duration from 1 second to 32767 seconds")
}
