/** Clients that connect again and again, without pause, while their server is opened and closed. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Net from "node:net"
import { Worker } from "node:worker_threads"
import type { Ending } from "./netClient.ts"

/** What the worker is told. */
export interface Order {
  readonly target: Net.NetConnectOpts
  readonly clients: number
}

/** One connection that was not answered; times by `clock.ts`. */
export interface Unanswered {
  readonly startedAt: number
  readonly connectedAt: number | undefined
  readonly sentAt: number | undefined
  readonly ending: Ending
}

/** What the clients saw in all. */
export interface Finding {
  readonly answered: number
  /** How often nothing listened. */
  readonly refused: number
  readonly unanswered: ReadonlyArray<Unanswered>
}

/** Starts the clients, in a thread of their own. The result stops them and answers what they saw. */
export const make = (
  target: Net.NetConnectOpts,
  options: { readonly clients: number }
): Effect.Effect<Effect.Effect<Finding>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const order: Order = { target, ...options }
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() => new Worker(new URL("../programs/reconnecting.ts", import.meta.url), { workerData: order })),
      (worker) => Effect.promise(() => worker.terminate())
    )
    const finding = Deferred.makeUnsafe<Finding>()
    worker.once("message", (value: Finding) => Deferred.doneUnsafe(finding, Effect.succeed(value)))
    worker.once("error", (error) => Deferred.doneUnsafe(finding, Effect.die(error)))
    return Effect.suspend(() => {
      worker.postMessage("stop")
      return Deferred.await(finding)
    })
  })
