/** Clients that keep coming, however long a server takes. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Net from "node:net"
import { Worker } from "node:worker_threads"

/** A newcomer every so often (`every`, milliseconds), until the scope closes; completes when the first is connected. */
export const make = (target: Net.NetConnectOpts, every: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() =>
        new Worker(new URL("../programs/newcomers.ts", import.meta.url), { workerData: { target, every } })
      ),
      (worker) => Effect.promise(() => worker.terminate())
    ),
    (worker) =>
      Effect.callback<void>((resume) => {
        worker.once("message", () => resume(Effect.void))
      })
  )

/** Holds the event loop for `millis` in every turn, until the scope closes. */
export const busyLoop = (millis: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => {
      let over = false
      const turn = () => {
        if (over) return
        const end = performance.now() + millis
        while (performance.now() < end) {
          // nothing: that is what holds it
        }
        setImmediate(turn)
      }
      setImmediate(turn)
      return () => {
        over = true
      }
    }),
    (stop) => Effect.sync(stop)
  ))
