import type { Connection } from "@effect-listener/core"
import { Effect } from "effect"

/** A driver of a connection that is idle: told goodbye, it ends its transport. */
export const idleDriver = (
  connection: Connection.Connection,
  events: Connection.ProtocolEvents
): Connection.ProtocolDriver => ({
  busy: () => false,
  exchanges: () => [],
  lastActive: () => -Infinity,
  drainNotified: () => {},
  goodbye: () => {
    const closed = Effect.sync(() => events.closed("normal"))
    Effect.runFork(Effect.onExit(connection.transport.goodbye("none"), () => closed))
  },
  cut: () => {},
  running: () => false,
  fibers: () => [],
  protocol: () => "test",
  bytesPending: () => 0,
  phase: () => undefined
})
