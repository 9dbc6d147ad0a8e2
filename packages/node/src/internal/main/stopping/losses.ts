/**
 * What a program names in its log because it is lost: what a close cut, and what
 * is in flight when the program ends without waiting for it.
 */
import { type DrainReport, formatConnection } from "@effect-listener/core/DrainReport"
import * as Effect from "effect/Effect"
import type { WatchedRegistry } from "./closeMembers.ts"

export interface Loss {
  readonly event: string
  readonly message: string
  readonly annotations: Record<string, unknown>
}

export const lossesOf = (report: DrainReport): ReadonlyArray<Loss> => {
  const { connections: { neverAccepted }, cut, handlersLeftBehind, listener } = report
  const losses: Array<Loss> = []
  for (const info of cut) {
    const message = `${listener}: cut ${formatConnection(info)}`
    losses.push({ event: "cut", message, annotations: { listener, remote: info.remote } })
  }
  for (const info of handlersLeftBehind) {
    const message = `${listener}: handler left behind ${formatConnection(info)}`
    losses.push({ event: "handlerLeftBehind", message, annotations: { listener, remote: info.remote } })
  }
  if (neverAccepted > 0) {
    const message = `${listener}: connections that nothing took: ${neverAccepted}`
    losses.push({ event: "neverAccepted", message, annotations: { listener, count: neverAccepted } })
  }
  return losses
}

/** How many connections are named when a process ends without waiting for them. */
const named = 1000

/** The connections that are not idle, a line each. */
export const inFlightLines = (registry: WatchedRegistry): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let more = 0
  for (const { listeners } of registry.members()) {
    if (listeners === undefined) continue
    for (const listener of Effect.runSync(listeners)) {
      for (const info of Effect.runSync(listener.connections)) {
        if (info.phase === "Idle") continue
        if (lines.length < named) lines.push(`${listener.name}: cut ${formatConnection(info)}`)
        else more++
      }
    }
  }
  if (more > 0) lines.push(`and ${more} more`)
  return lines
}
