/**
 * Whether a service manager has started this program, and how to reach it.
 */
import * as Effect from "effect/Effect"
import { type ManagedProgram, ServiceManager } from "./serviceManager.ts"

export type TellServiceManager = (tell: (manager: ServiceManager) => void) => void

/** It wants to be told how far the program is, or has given it sockets. */
export const hasServiceManager = (env: Record<string, string | undefined>): boolean =>
  Boolean(env["NOTIFY_SOCKET"]) || Boolean(env["LISTEN_FDS"])

export const loadServiceManager = (
  { LISTEN_FDS, NOTIFY_SOCKET }: Record<string, string | undefined>,
  ready: Effect.Effect<void>,
  program: ManagedProgram
): TellServiceManager => {
  const manager = new ServiceManager(program, { LISTEN_FDS, NOTIFY_SOCKET })
  const tell: TellServiceManager = (tell) => tell(manager)
  Effect.runFork(ready).addObserver(() => tell((manager) => manager.onReady()))
  return tell
}
