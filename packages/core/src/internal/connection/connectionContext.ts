import type { LingerOptions } from "../../Transport.ts"
import type { ResolvedTimeouts } from "../options/timeouts.ts"
import type { Counts } from "../telemetry/counts.ts"
import type { ConnectionTracing } from "../telemetry/tracing.ts"
import type { Timers } from "../util/timers.ts"
import type { ConnectionImpl } from "./connection.ts"
import type { ReadTurns } from "./draining/readTurns.ts"
import type { HeldWork } from "./serving/heldWork.ts"

/** What a connection needs of the manager it belongs to. */
export interface ConnectionContext {
  readonly name: string
  readonly timeouts: ResolvedTimeouts
  readonly timers: Timers
  readonly turns: ReadTurns
  readonly heldWork: HeldWork
  readonly counts: Counts
  readonly tracing: ConnectionTracing
  /** Its remote address is not shown. */
  readonly maskRemote: boolean
  /** Whether a connection that stays silent is ended. */
  readonly timed: boolean
  readonly now: () => number
  /** Something changed that may let a draining connection be told goodbye. */
  readonly recheck: (connection: ConnectionImpl) => void
  /** A connection moves to another scope. */
  readonly detached: (connection: ConnectionImpl) => void
  /** Bytes may be pending from now on. */
  readonly mayStall: () => void
  /** Foreign code of a connection threw: it is logged, and the connection ends. */
  readonly threw: (connection: ConnectionImpl, member: string, defect: unknown) => void
  /** The same, and the connection goes on. */
  readonly logThrown: (connection: ConnectionImpl, member: string, defect: unknown) => void
  readonly refused: () => void
  readonly linger: () => LingerOptions
  readonly idleLinger: () => LingerOptions | "none"
}
