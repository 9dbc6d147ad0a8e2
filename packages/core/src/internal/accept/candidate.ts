import * as NetAddress from "effect/net/NetAddress"
import type { ForeignOwner } from "../util/foreign.ts"

/** An address that its transport could not give. */
export const unknownAddress: NetAddress.SocketAddress = NetAddress.unixPathAddress("unknown")

/** What admission decides about: a connection or a datagram, and what it remembers of it. */
export interface Candidate extends ForeignOwner {
  readonly remote: NetAddress.SocketAddress
  /** When it arrived, in monotonic milliseconds. */
  readonly since: number
  /** The key of its remote, made once, where remotes are limited. */
  remoteKey: string | undefined
  /** It is counted for its remote. */
  counted: boolean
  /** It has been let in: the rate has counted it. */
  admitted: boolean
  /** While it is held: ends the watch over its client. */
  stopWatching: (() => void) | undefined
}
