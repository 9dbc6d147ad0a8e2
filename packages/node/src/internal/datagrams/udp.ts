/**
 * Binding UDP: options are checked, a name becomes an address, and the socket
 * gets what it was asked to have.
 */
import type { BoundDatagramTransport, DatagramTransport } from "@effect-listener/core/DatagramTransport"
import { TransportBindError } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Dgram from "node:dgram"
import * as Dns from "node:dns"
import * as Net from "node:net"
import type { Membership, TransportOptions } from "../../NodeUdp.ts"
import { acquireShared, type SharedSocket } from "../inherit/sharedSocket.ts"
import { checkInteger, checkText, invalid } from "../listen/checks.ts"
import { bindError, errorCode } from "../listen/errno.ts"
import { formatHostPort } from "../platform/hostPort.ts"
import { checkBound, passed, typeOf } from "./inherited.ts"
import { UdpSocket } from "./udpSocket.ts"

const anyIpv4Address: Address = { host: "0.0.0.0", type: "udp4" }

const anyAddress: Address = { host: "::", type: "udp6" }

export const udpTransport = (options: TransportOptions): DatagramTransport => ({
  name: "udp",
  bind: Effect.gen(function*() {
    yield* check(options)
    const { host, inherit, ipv6Only = false, port } = options
    const shared = yield* acquireShared(inherit, { kind: "udp", port, host, ipv6Only }, notHeld)
    if (shared !== undefined) return yield* bindShared(options, shared)
    if (host !== undefined) return yield* bindTo(options, yield* resolve(host, port))
    // a socket can be a member of groups of its own kind only
    if (Net.isIPv4(options.multicast?.[0]?.group ?? "")) return yield* bindTo(options, anyIpv4Address)
    return yield* Effect.catchIf(bindTo(options, anyAddress), isWithoutIpv6, () => bindTo(options, anyIpv4Address))
  })
})

/** What Node can bind without reading from it is a socket of TCP or a path. */
const notHeld = Effect.fail(
  TransportBindError.NotSupported({ feature: "handing over a UDP socket that was not inherited, of systemd say" })
)

/** A whole number of bytes that fits the system's int. */
const largestBuffer = 2_147_483_647

const check = (options: TransportOptions): Effect.Effect<void, TransportBindError> =>
  Effect.gen(function*() {
    const { host, multicast, port, recvBufferSize, sendBufferSize } = options
    yield* checkInteger("port", port, 0, 65_535)
    if (host !== undefined) yield* checkText("host", host)
    if (recvBufferSize !== undefined) yield* checkInteger("recvBufferSize", recvBufferSize, 1, largestBuffer)
    if (sendBufferSize !== undefined) yield* checkInteger("sendBufferSize", sendBufferSize, 1, largestBuffer)
    for (const membership of multicast ?? []) yield* checkMembership(membership)
  })

const checkMembership = (
  { group, interface: ingress, source }: Membership
): Effect.Effect<void, TransportBindError> => {
  const family = Net.isIP(group)
  const address = NetAddress.ipFromString(String(group))
  if (Result.isFailure(address) || !NetAddress.isMulticast(address.success)) {
    return invalid("multicast", `expected a multicast address, got ${String(group)}`)
  }
  if (source !== undefined && Net.isIP(source) !== family) {
    return invalid("multicast", `expected a source of the same kind as ${group}, got ${String(source)}`)
  }
  return ingress === undefined ? Effect.void : checkText("multicast", ingress)
}

/** What is bound: an IP address, and the kind of socket that it takes. */
interface Address {
  readonly host: string
  readonly type: Dgram.SocketType
}

/** The system has no IPv6, or has it switched off. */
const isWithoutIpv6 = (error: TransportBindError): boolean =>
  error._tag === "NotSupported" || (error._tag === "AddressNotAvailable" && error.address.startsWith("[::]"))

const resolve = (host: string, port: number): Effect.Effect<Address, TransportBindError> => {
  const family = Net.isIP(host)
  if (family !== 0) return Effect.succeed(addressOf(host, family))
  return Effect.callback((resume) => {
    Dns.lookup(host, (cause, address, family) =>
      resume(
        cause === null
          ? Effect.succeed(addressOf(address, family))
          : Effect.fail(bindError(cause, { address: formatHostPort(host, port), parameter: "host" }))
      ))
  })
}

const addressOf = (host: string, family: number): Address => ({ host, type: family === 6 ? "udp6" : "udp4" })

const bindTo = (
  options: TransportOptions,
  { host, type }: Address
): Effect.Effect<BoundDatagramTransport, TransportBindError, Scope.Scope> => {
  const failed = (cause: unknown) =>
    bindError(cause, { address: formatHostPort(host, options.port), parameter: "host" })
  const make = () =>
    Dgram.createSocket({
      type,
      ipv6Only: options.ipv6Only ?? false,
      reuseAddr: options.reuseAddress ?? false,
      reusePort: options.reusePort ?? false,
      lookup: asItIs
    })
  return Effect.gen(function*() {
    const socket = yield* acquire(make, failed)
    yield* Effect.mapError(socket.bind({ address: host, port: options.port }), failed)
    yield* configure(socket.native, options)
    return socket.bound
  })
}

/**
 * Every address that is sent to is an IP address already. Node's own lookup
 * would put off each datagram to the next tick, to say the same.
 */
const asItIs: Dgram.SocketOptions["lookup"] = (host, _options, answer) => answer(null, host, host.includes(":") ? 6 : 4)

/** Receives from a socket that is bound already, and that other processes may have as well. */
const bindShared = (
  options: TransportOptions,
  shared: SharedSocket
): Effect.Effect<BoundDatagramTransport, TransportBindError, Scope.Scope> => {
  const failed = (cause: unknown) => bindError(cause, { address: `descriptor ${shared.fd}`, parameter: "inherit" })
  const make = () => Dgram.createSocket({ type: typeOf(shared.fd, options.host), lookup: asItIs })
  return Effect.gen(function*() {
    yield* passed(shared)
    const socket = yield* acquire(make, failed)
    yield* socket.bind({ fd: shared.fd }).pipe(
      Effect.tapError((cause) => Effect.sync(() => shared.fails(cause))),
      Effect.mapError(failed)
    )
    // from here on closing it is the socket's
    shared.listens()
    yield* checkBound(options, socket.native.address())
    yield* configure(socket.native, options)
    return socket.bound
  })
}

const acquire = (
  make: () => Dgram.Socket,
  failed: (cause: unknown) => TransportBindError
): Effect.Effect<UdpSocket, TransportBindError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({ try: () => new UdpSocket(make()), catch: failed }),
    (socket) => socket.close
  )

/** What can be set on a socket that is bound, and only there. */
const configure = (socket: Dgram.Socket, options: TransportOptions): Effect.Effect<void, TransportBindError> =>
  Effect.gen(function*() {
    const { multicast, recvBufferSize, sendBufferSize } = options
    if (recvBufferSize !== undefined) {
      yield* set("recvBufferSize", () => socket.setRecvBufferSize(recvBufferSize))
    }
    if (sendBufferSize !== undefined) {
      yield* set("sendBufferSize", () => socket.setSendBufferSize(sendBufferSize))
    }
    for (const membership of multicast ?? []) {
      const { address, family } = socket.address()
      if (Net.isIPv6(membership.group) !== (family === "IPv6")) {
        return yield* invalid("multicast", `${membership.group} is no group for a socket that is bound to ${address}`)
      }
      yield* join(socket, membership)
    }
  })

const set = (parameter: string, change: () => void): Effect.Effect<void, TransportBindError> =>
  Effect.try({ try: change, catch: (cause) => bindError(cause, { address: parameter, parameter }) })

const join = (
  socket: Dgram.Socket,
  { group, interface: ingress, source }: Membership
): Effect.Effect<void, TransportBindError> =>
  Effect.try({
    try: () => {
      if (source === undefined) socket.addMembership(group, ingress)
      else socket.addSourceSpecificMembership(source, group, ingress)
    },
    catch: (cause) => {
      const address = ingress === undefined ? group : `${group} on ${ingress}`
      switch (errorCode(cause)) {
        // no such interface, or none that can do it
        case "ENODEV":
        case "ENXIO":
          return TransportBindError.AddressNotAvailable({ address })
        case "ENOBUFS":
          return TransportBindError.QuotaExceeded({ quota: "multicast memberships of a socket" })
        default:
          return bindError(cause, { address, parameter: "multicast" })
      }
    }
  })
