import * as NetAddress from "effect/net/NetAddress"
import type { ConnectionImpl } from "./connection.ts"

/**
 * How many connections each remote address has. A count goes with the last
 * connection of its remote, and nothing is counted while there is no limit.
 */
export class Remotes {
  private readonly counts = new Map<string, number>()

  /** How many the remote of this connection has. One without an address of its own, as on a Unix socket, has none. */
  of(connection: ConnectionImpl): number {
    const remote = keyOf(connection)
    return remote === undefined ? 0 : this.counts.get(remote) ?? 0
  }

  add(connection: ConnectionImpl): void {
    const remote = keyOf(connection)
    if (remote === undefined) return
    connection.countedUnder = remote
    this.counts.set(remote, (this.counts.get(remote) ?? 0) + 1)
  }

  remove(connection: ConnectionImpl): void {
    const remote = connection.countedUnder
    if (remote === undefined) return
    connection.countedUnder = undefined
    const left = (this.counts.get(remote) ?? 0) - 1
    if (left > 0) this.counts.set(remote, left)
    else this.counts.delete(remote)
  }

  /** How many remotes are counted. */
  get size(): number {
    return this.counts.size
  }
}

const keyOf = ({ remote }: ConnectionImpl): string | undefined =>
  NetAddress.isInetAddress(remote) ? NetAddress.formatIp(remote.address) : undefined
