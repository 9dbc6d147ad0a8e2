import * as NetAddress from "effect/net/NetAddress"
import type { Candidate } from "./candidate.ts"

/**
 * How many connections each remote address has. A count goes with the last
 * connection of its remote, and nothing is counted while there is no limit.
 */
export class PerRemote {
  private readonly counts = new Map<string, number>()

  /** How many the remote of this connection has. One without an address of its own, as on a Unix socket, has none. */
  of(connection: Candidate): number {
    const remote = keyOf(connection)
    return remote === undefined ? 0 : this.counts.get(remote) ?? 0
  }

  add(connection: Candidate): void {
    const remote = keyOf(connection)
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
}

const keyOf = (connection: Candidate): string | undefined => connection.remoteKey ??= formatIp(connection.remote)

const formatIp = (remote: NetAddress.SocketAddress): string | undefined =>
  NetAddress.isInetAddress(remote) ? NetAddress.formatIp(remote.address) : undefined
