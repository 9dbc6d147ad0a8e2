/**
 * Listening at the path of a Unix socket; on Windows, on a named pipe.
 */
import { type Transport, TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import type * as Net from "node:net"
import type { TransportOptions } from "../../NodeUnix.ts"
import { acquireShared, listenOn, type SharedSocket } from "../inherit/sharedSocket.ts"
import { introductionOf } from "../proxyProtocol/introduction.ts"
import { checkProxyProtocol } from "../proxyProtocol/options.ts"
import { LingerTimer } from "../socket/goodbye/lingerTimer.ts"
import { NetConnection } from "../socket/netConnection.ts"
import { PollPhase } from "../socket/pollPhase.ts"
import { checkBacklog, checkInteger, checkText, defaultBacklog, inheritedBacklog, invalid } from "./checks.ts"
import { bindError } from "./errno.ts"
import { holdSocket } from "./holdSocket.ts"
import { bind, type NetBinding } from "./netListener.ts"
import { localAddress, remoteAddress } from "./socketAddress.ts"
import { adopt, hiddenBeside, type HiddenSocket, longestPath, publish } from "./unixPath.ts"

export const unixTransport = (options: TransportOptions): Transport => ({
  name: "unix",
  bind: Effect.flatMap(
    Effect.suspend(() => process.platform === "win32" ? pipeBinding(options) : socketBinding(options)),
    bind
  )
})

const socketBinding: (options: TransportOptions) => Effect.Effect<NetBinding, TransportBindError, Scope.Scope> = Effect
  .fnUntraced(function*({ mode, ...options }) {
    const common = yield* commonBinding(options)
    const { path } = options
    const bytes = Buffer.byteLength(path)
    if (bytes > longestPath) return yield* invalid("path", `expected at most ${longestPath} bytes, got ${bytes}`)
    if (mode !== undefined) yield* checkInteger("mode", mode, 0, 0o777)
    let held: HiddenSocket | undefined
    const hold = Effect.flatMap(hiddenBeside(path), (hidden) => {
      held = hidden
      return holdSocket({ path: hidden.bindAt }, common.bindError)
    })
    const shared = yield* acquireShared(options.inherit, { kind: "unix", path }, hold)
    if (shared !== undefined) {
      return sharedBinding(common, options, shared, held === undefined ? adoptFile(shared) : publish(held, path, mode))
    }
    const hidden = yield* hiddenBeside(path)
    return {
      ...common,
      listen: (server) => server.listen({ path: hidden.bindAt, exclusive: true, backlog: common.backlog }),
      publish: () =>
        Effect.map(publish(hidden, path, mode), (withdraw) => ({
          address: NetAddress.unixPathAddress(path),
          withdraw,
          onlyWay: true
        }))
    }
  })

/** The file of an inherited socket is there, and stays when this process goes, unless it was left to it. */
const adoptFile = ({ boundTo }: SharedSocket): Effect.Effect<Effect.Effect<void>, TransportBindError> =>
  boundTo.kind === "unix" && boundTo.ownsFile ? adopt(boundTo.path) : Effect.succeed(Effect.void)

const sharedBinding = (
  common: Omit<NetBinding, "listen" | "publish">,
  { backlog = inheritedBacklog, path }: TransportOptions,
  shared: SharedSocket,
  publishFile: Effect.Effect<Effect.Effect<void>, TransportBindError>
): NetBinding => ({
  ...common,
  backlog,
  shared,
  listen: (server) => listenOn(server, shared, backlog),
  publish: () => Effect.map(publishFile, (withdraw) => ({ address: NetAddress.unixPathAddress(path), withdraw }))
})

const pipeBinding: (options: TransportOptions) => Effect.Effect<NetBinding, TransportBindError, Scope.Scope> = Effect
  .fnUntraced(
    function*(options) {
      const common = yield* commonBinding(options)
      const { mode, path } = options
      if (!/^\\\\[.?]\\pipe\\/.test(path)) {
        return yield* invalid("path", "expected a name that begins with \\\\.\\pipe\\")
      }
      if (mode !== undefined) return yield* Effect.fail(TransportBindError.NotSupported({ feature: "mode on Windows" }))
      // where there is one it is not supported either
      yield* acquireShared(options.inherit, { kind: "unix", path }, holdSocket({ path }, common.bindError))
      return {
        ...common,
        listen: (server) => server.listen({ path, exclusive: true, backlog: common.backlog }),
        publish: () => Effect.succeed({ address: NetAddress.unixPathAddress(path), withdraw: Effect.void })
      }
    }
  )

const unnamed = NetAddress.unixPathAddress("")

const commonBinding: (
  options: TransportOptions
) => Effect.Effect<Omit<NetBinding, "listen" | "publish">, TransportBindError> = Effect.fnUntraced(function*(options) {
  const { backlog = defaultBacklog, path } = options
  yield* checkText("path", path)
  yield* checkBacklog(backlog)
  const introduction = yield* checkProxyProtocol(options.proxyProtocol)
  if (introduction?.from !== undefined) {
    return yield* invalid("proxyProtocol.from", "the peers of a Unix socket have no address")
  }
  const local = NetAddress.unixPathAddress(path)
  const connectionOptions = {
    protocol: "unix",
    halfOpen: true,
    remote: (socket: Net.Socket) => introductionOf(socket)?.proxied === undefined ? unnamed : remoteAddress(socket),
    local: (socket: Net.Socket) => introductionOf(socket)?.proxied === undefined ? local : localAddress(socket),
    reset: (socket: Net.Socket) => {
      socket.destroy()
    },
    pollPhase: new PollPhase(),
    lingerTimer: new LingerTimer(),
    introduction
  }
  return {
    server: {},
    backlog,
    lingerTimer: connectionOptions.lingerTimer,
    bindError: (cause) => bindError(cause, { address: path, parameter: "path" }),
    connect: (socket) => new NetConnection(socket, connectionOptions)
  }
})
