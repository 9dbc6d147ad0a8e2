/**
 * A connection as an operator sees it: in reports, in logs, while it is there.
 */
import * as NetAddress from "effect/net/NetAddress"
import { type ConnectionInfo, ConnectionPhase } from "../../DrainReport.ts"
import { clip } from "../util/clip.ts"
import * as Foreign from "../util/foreign.ts"
import type { ConnectionImpl } from "./connection.ts"
import { isRefused } from "./connectionState.ts"

export const infoOf = (connection: ConnectionImpl): ConnectionInfo => {
  const { bytesIn, bytesOut, bytesPending, id, since } = connection
  const now = connection.context.now()
  const phase = phaseOf(connection)
  const refused = isRefused(connection) ? [{ label: "refused", since }] : []
  const exchanges = [...connection.driverExchanges(), ...connection.exchanges ?? [], ...refused]
  return {
    id,
    remote: remoteOf(connection),
    protocol: protocolOf(connection),
    phase,
    exchanges: exchanges.map(({ label, since }) => ({ label: clip(label), age: age(since, now) })),
    age: age(since, now),
    bytesIn,
    bytesOut,
    bytesPending,
    phaseAge: age(phaseSince(connection, phase), now)
  }
}

export const phaseOf = (connection: ConnectionImpl): ConnectionPhase => {
  const { driver, endHandshake, step } = connection
  switch (step) {
    case "Queued":
    case "Handshake":
    case "Detached":
      return step
    case "Refusing":
      return endHandshake === undefined ? "Active" : "Handshake"
    case "Goodbye":
    case "RefusedGoodbye":
    case "Ended":
      return connection.bytesPending > 0 ? "Flushing" : "Lingering"
    case "Serving": {
      const phase = driver === undefined || Foreign.read(connection, driver, "phase", undefined) === undefined
        ? undefined
        : Foreign.call(connection, "phase", () => phaseIn(driver.phase?.()), undefined)
      return phase ?? (connection.idle ? "Idle" : "Active")
    }
  }
}

const phaseIn = (phase: ConnectionPhase | undefined): ConnectionPhase | undefined => {
  if (phase === undefined || ConnectionPhase.literals.includes(phase)) return phase
  throw new TypeError("a driver has a phase that is none")
}

/** When it entered its phase. */
const phaseSince = (connection: ConnectionImpl, phase: ConnectionPhase): number => {
  switch (phase) {
    case "Queued":
    case "Handshake":
    case "Active":
      return connection.since
    default: {
      const { driver, lastActive } = connection
      const active = driver === undefined ? 0 : Foreign.number(connection, "lastActive", () => driver.lastActive())
      return Math.max(lastActive, active)
    }
  }
}

const protocolOf = (connection: ConnectionImpl): string => {
  const { driver } = connection
  return Foreign.call(connection, "protocol", ({ protocol }) => String(driver?.protocol?.() ?? protocol), "unknown")
}

export const remoteOf = (connection: ConnectionImpl): string =>
  connection.context.maskRemote
    ? "masked"
    : Foreign.call(connection, "remote", ({ remote }) => String(NetAddress.formatSocketAddress(remote)), "unknown")

/** Whole milliseconds: a report needs no nanoseconds. None since no time, which a driver may give. */
const age = (since: number, now: number): number => {
  const passed = Math.round(now - since)
  return passed > 0 && passed < Infinity ? passed : 0
}
