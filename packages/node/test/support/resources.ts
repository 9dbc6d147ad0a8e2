/** What a test can see of the process it runs in. */
import * as Effect from "effect/Effect"

/** The TCP sockets of this process, connected and listening. */
export const sockets = (): number => process.getActiveResourcesInfo().filter((kind) => kind.startsWith("TCP")).length

/** The timers of this process, of which `Peer`s have none. */
export const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length

/** Some turns of the event loop: a handle is gone one turn after it was closed. */
export const turns = (count: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const turn = (left: number): NodeJS.Immediate | void =>
      left === 0 ? resume(Effect.void) : setImmediate(() => turn(left - 1))
    turn(count)
  })
