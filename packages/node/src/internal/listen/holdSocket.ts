/**
 * Binding a socket that can be passed on: bound first, listened on after.
 */
import { TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as Dns from "node:dns"
import * as Net from "node:net"
import { bindSocket, type BoundSocketOptions, cannotHold } from "../inherit/boundSocket.ts"

/** Errors of the system, in the words of the transport that binds. */
type BindError = (cause: unknown) => TransportBindError

/** Fails where this process cannot hold a socket for others, and says why. */
export const canHold: Effect.Effect<void, TransportBindError> = cannotHold === undefined
  ? Effect.void
  : Effect.fail(TransportBindError.NotSupported({ feature: cannotHold }))

/** Binds as `bind(2)` does, where this process can hold a socket for others. */
export const holdSocket = (
  options: BoundSocketOptions,
  bindError: BindError
): Effect.Effect<Net.BoundSocket, TransportBindError> =>
  Effect.andThen(canHold, Effect.try({ try: () => bindSocket(options), catch: bindError }))

/** Binds to a port of a host as `net.Server.listen` would: without a host to `"::"` where there is IPv6. */
export const holdPort = (
  options: {
    readonly port: number
    readonly host: string | undefined
    readonly ipv6Only: boolean
    readonly reusePort: boolean
  },
  bindError: BindError
): Effect.Effect<Net.BoundSocket, TransportBindError> => {
  const bind = (host: string) => holdSocket({ ...options, host }, bindError)
  return options.host === undefined
    ? Effect.catchIf(bind("::"), isWithoutIpv6, () => bind("0.0.0.0"))
    : Effect.flatMap(lookUp(options.host, bindError), bind)
}

const isWithoutIpv6 = (error: TransportBindError): boolean =>
  cannotHold === undefined && (error._tag === "NotSupported" || error._tag === "AddressNotAvailable")

/** A bound socket wants an address. */
const lookUp = (host: string, bindError: BindError): Effect.Effect<string, TransportBindError> =>
  Net.isIP(host) !== 0
    ? Effect.succeed(host)
    : Effect.callback((resume) => {
      Dns.lookup(host, (cause, found) => resume(cause === null ? Effect.succeed(found) : Effect.fail(bindError(cause))))
    })
