import * as NetAddress from "effect/net/NetAddress"
import { call } from "../util/foreign.ts"
import type { Candidate } from "./candidate.ts"

/**
 * How many connections each remote has. A count goes with the last connection of
 * its remote, and nothing is counted while there is no limit.
 */
export class PerRemote {
  private readonly counts = new Map<string, number>()
  private prefix: number

  /** `prefix`: how many bits of an IPv6 address make one remote. */
  constructor(prefix: number) {
    this.prefix = prefix
  }

  /** Another prefix from now on, by which those that are present are counted anew. */
  change(prefix: number, present: ReadonlyArray<Candidate>): void {
    if (prefix === this.prefix) return
    this.prefix = prefix
    const counted = present.filter((connection) => connection.counted)
    for (const connection of counted) this.remove(connection)
    for (const connection of present) connection.remoteKey = undefined
    for (const connection of counted) this.add(connection)
  }

  /** How many the remote of this connection has. One without an address of its own, as on a Unix socket, has none. */
  of(connection: Candidate): number {
    const remote = this.keyOf(connection)
    return remote === undefined ? 0 : this.counts.get(remote) ?? 0
  }

  add(connection: Candidate): void {
    const remote = this.keyOf(connection)
    if (remote === undefined) return
    connection.counted = true
    this.counts.set(remote, (this.counts.get(remote) ?? 0) + 1)
  }

  remove(connection: Candidate): void {
    const remote = connection.remoteKey
    if (!connection.counted || remote === undefined) return
    connection.counted = false
    const left = (this.counts.get(remote) ?? 0) - 1
    if (left > 0) this.counts.set(remote, left)
    else this.counts.delete(remote)
  }

  /** How many remotes are counted. */
  get size(): number {
    return this.counts.size
  }

  private keyOf(connection: Candidate): string | undefined {
    return connection.remoteKey ??= call(
      connection,
      "remote",
      ({ remote }) => remoteKey(remote, this.prefix),
      undefined
    )
  }
}

/** What an address counts for: itself, or the network of `prefix` bits it is in, where it is IPv6. */
export const remoteKey = (remote: NetAddress.SocketAddress, prefix: number): string | undefined => {
  if (!NetAddress.isInetAddress(remote)) return undefined
  const address = NetAddress.toCanonical(remote.address)
  if (!NetAddress.isIpv6Address(address) || prefix === 128) return NetAddress.formatIp(address)
  const network = NetAddress.ipv6ToSegments(address).map((segment, index) => {
    const bits = Math.min(16, Math.max(0, prefix - 16 * index))
    return (segment & (0xffff << (16 - bits)) & 0xffff).toString(16)
  })
  return `${network.join(":")}/${prefix}`
}
