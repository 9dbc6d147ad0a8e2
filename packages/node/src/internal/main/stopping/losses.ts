/**
 * What a program names in its log because it is lost: what a close cut, and what
 * is in flight when the program ends without waiting for it.
 */
import { type DrainReport, formatConnection } from "@effect-listener/core/DrainReport"
import type { Member } from "@effect-listener/core/ListenerRegistry"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { whyNotAtOnce } from "../../platform/causeText.ts"
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

/**
 * The connections that are not idle, a line each. Anything may be a member: one
 * that dies, or that cannot say it at once, holds up no end of the process.
 */
export const inFlightLines = (registry: WatchedRegistry): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let more = 0
  const add = (member: Member): Effect.Effect<void> =>
    Effect.gen(function*() {
      for (const listener of yield* member.listeners ?? Effect.succeed([])) {
        for (const info of yield* listener.connections) {
          if (info.phase === "Idle") continue
          if (lines.length < named) lines.push(`${listener.name}: cut ${formatConnection(info)}`)
          else more++
        }
      }
    })
  for (const member of registry.members()) {
    const exit = Effect.runSyncExit(Effect.suspend(() => add(member)))
    if (Exit.isFailure(exit)) lines.push(`${member.name}: cannot say what is in flight: ${whyNotAtOnce(exit.cause)}`)
  }
  if (more > 0) lines.push(`and ${more} more`)
  return lines
}
