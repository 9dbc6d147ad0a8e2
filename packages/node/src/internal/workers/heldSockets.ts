/**
 * The sockets of a supervisor: bound here, or inherited, and passed to every
 * worker. Nothing here listens, so nothing here accepts.
 */
import { TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import type { SocketOptions } from "../../NodeWorkers.ts"
import { inheritedSockets } from "../inherit/inheritedSockets.ts"
import type { BoundTo } from "../inherit/protocol.ts"
import { checkInteger, checkText, invalid } from "../listen/checks.ts"
import { bindError } from "../listen/errno.ts"
import { canHold, holdPort, holdSocket } from "../listen/holdSocket.ts"
import { hiddenBeside, longestPath, publish } from "../listen/unixPath.ts"
import { formatHostPort } from "../platform/hostPort.ts"

/** A socket that is bound and passed on. */
export interface HeldSocket {
  readonly name: string
  readonly fd: number
  readonly boundTo: BoundTo
  /** Lets go of the descriptor, and of the file of a Unix socket. Once. */
  readonly release: Effect.Effect<void>
}

/** Why binding one of several failed, and which. */
export interface HoldFailure {
  readonly name: string
  readonly error: TransportBindError
}

/** Binds or inherits all of them, in the order they are given in, or none. */
export const holdSockets = (
  sockets: Record<string, SocketOptions>
): Effect.Effect<ReadonlyArray<HeldSocket>, HoldFailure, Scope.Scope> =>
  Effect.forEach(
    Object.entries(sockets),
    ([name, options]) => Effect.mapError(hold(name, options), (error): HoldFailure => ({ name, error }))
  )

const hold = (name: string, options: SocketOptions): Effect.Effect<HeldSocket, TransportBindError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() =>
      "inherit" in options
        ? inherit(name, options.inherit)
        : "path" in options
        ? bindPath(name, options)
        : bindPort(name, options)
    ),
    ({ release }) => release
  )

const inherit = (name: string, inherited: string): Effect.Effect<HeldSocket, TransportBindError> =>
  Effect.gen(function*() {
    const all = yield* Effect.fromResult(
      Result.mapError(inheritedSockets(), (bad) => TransportBindError.InvalidArgument(bad))
    )
    const named = all.sockets.filter((socket) => socket.name === inherited)
    const [socket] = named
    if (socket === undefined) {
      return yield* Effect.fail(
        TransportBindError.AddressNotAvailable({ address: `inherited socket ${JSON.stringify(inherited)}` })
      )
    }
    if (named.length > 1) return yield* invalid("inherit", `${named.length} sockets have the name ${inherited}`)
    if (socket.state !== "free") {
      return yield* Effect.fail(
        TransportBindError.AddressInUse({ address: `inherited socket ${inherited}, taken twice` })
      )
    }
    const { descriptor, fd } = socket
    if (descriptor.kind === "udp") return yield* invalid("inherit", `socket ${inherited} is a UDP socket`)
    socket.state = "taken"
    const release = once(Effect.sync(() => {
      if (descriptor.kind === "tcp") descriptor.opened.destroy()
      else Fs.closeSync(fd)
      all.closed(socket)
    }))
    return {
      name,
      fd,
      boundTo: descriptor.kind === "tcp"
        ? { kind: "tcp", host: descriptor.host, port: descriptor.port }
        // the process that bound it keeps the file
        : { kind: "unix", path: descriptor.path ?? "", ownsFile: false },
      release
    }
  })

const bindPort = (
  name: string,
  { host, ipv6Only = false, port }: Extract<SocketOptions, { readonly port: number }>
): Effect.Effect<HeldSocket, TransportBindError> =>
  Effect.gen(function*() {
    yield* checkInteger("port", port, 0, 65_535)
    if (host !== undefined) yield* checkText("host", host)
    const address = formatHostPort(host ?? "::", port)
    const bound = yield* holdPort({ port, host, ipv6Only, reusePort: false }, (cause) =>
      bindError(cause, { address, parameter: "host" }))
    const { address: boundHost, port: boundPort } = bound.address()
    return {
      name,
      fd: bound.fd(),
      boundTo: { kind: "tcp", host: boundHost, port: boundPort },
      release: once(Effect.sync(() =>
        bound.close()
      ))
    }
  })

const bindPath = (
  name: string,
  { mode, path }: Extract<SocketOptions, { readonly path: string }>
): Effect.Effect<HeldSocket, TransportBindError, Scope.Scope> =>
  Effect.gen(function*() {
    // before anything is made beside the path, where one is no path of files
    yield* canHold
    yield* checkText("path", path)
    if (Buffer.byteLength(path) > longestPath) return yield* invalid("path", `is longer than ${longestPath} bytes`)
    if (mode !== undefined) yield* checkInteger("mode", mode, 0, 0o777)
    const hidden = yield* hiddenBeside(path)
    const bound = yield* holdSocket({ path: hidden.bindAt }, (cause) =>
      bindError(cause, { address: path, parameter: "path" }))
    const withdraw = yield* Effect.onError(publish(hidden, path, mode), () =>
      Effect.sync(() => bound.close()))
    return {
      name,
      fd: bound.fd(),
      boundTo: { kind: "unix", path, ownsFile: false },
      release: once(Effect.andThen(withdraw, Effect.sync(() => bound.close())))
    }
  })

const once = (run: Effect.Effect<void>): Effect.Effect<void> => {
  let done = false
  return Effect.suspend(() => {
    if (done) return Effect.void
    done = true
    return run
  })
}
