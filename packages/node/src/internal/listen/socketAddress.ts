import * as NetAddress from "effect/net/NetAddress"
import type * as Net from "node:net"
import * as Os from "node:os"

/**
 * The address of a socket as Node gives it. IPv4 clients of a dual-stack
 * listener come as IPv4, so that one client has one address however it is
 * listened for. The system no longer knows the peer of a connection that was
 * reset before it was accepted: that is `0.0.0.0:0`.
 */
export const socketAddress = (host: string | undefined, port: number | undefined): NetAddress.InetAddress =>
  host === undefined || port === undefined
    ? NetAddress.inetAddressUnsafe(NetAddress.ipv4Unspecified, 0)
    : NetAddress.toCanonical(nativeAddress(host, port))

/** The address of a socket's peer. */
export const remoteAddress = (socket: Net.Socket): NetAddress.InetAddress =>
  socketAddress(socket.remoteAddress, socket.remotePort)

/** The address that a socket's peer has connected to. */
export const localAddress = (socket: Net.Socket): NetAddress.InetAddress =>
  socketAddress(socket.localAddress, socket.localPort)

/** The address of a listening socket: not changed in any way. */
export const nativeAddress = (host: string, port: number): NetAddress.InetAddress => {
  const zone = host.indexOf("%")
  if (zone < 0) return NetAddress.inetAddressFromNativeUnsafe(host, port)
  const scopeIds = NetAddress.scopeIdsFromInterfaces(Object.entries(Os.networkInterfaces()))
  const known = scopeIds.has(host.slice(zone + 1))
  // an interface that is gone meanwhile has no number
  return NetAddress.inetAddressFromNativeUnsafe(known ? host : host.slice(0, zone), port, scopeIds)
}
