import { Transport } from "@effect-listener/core"
import { NetAddress } from "effect/net"

/** The transport with another remote address for each connection, in the order in which they are accepted. */
export const withRemotes = (
  transport: Transport.Transport,
  remote: (n: number) => NetAddress.SocketAddress
): Transport.Transport => {
  let n = 0
  return Transport.mapConnections(
    transport,
    (connection) => Transport.wrapConnection(connection, { remote: remote(n++) })
  )
}

/** 10.x.y.z for the number n. */
export const ipOf = (n: number): NetAddress.SocketAddress =>
  NetAddress.inetAddressFromIpStringUnsafe(`10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`, 50_000)
