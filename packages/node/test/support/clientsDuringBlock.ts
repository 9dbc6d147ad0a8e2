/** Clients that connect, or ask, while the event loop of their server is blocked. */
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
  /** What each client sends, and is answered, before the moment comes. Without it they are not connected before. */
  readonly greeting?: string | undefined
  /** What each client sends when the moment has come; nothing when it is empty. */
  readonly request: string
  /** Set when all are connected and have sent. */
  readonly gathered: SharedArrayBuffer
}

/** What one client received after its greeting, and how its connection was over. */
export interface Member {
  readonly text: string
  readonly ending: Ending
}

export interface Crowd {
  /** Blocks the event loop until every client is connected and has sent its request, and for some milliseconds more. */
  readonly arriveWhileBlocked: (millis?: number) => void
  /** Waits until all their connections are over. */
  readonly members: Effect.Effect<ReadonlyArray<Member>>
}

/** Clients that wait for their moment, in a thread of their own. */
export const make = (
  target: Net.NetConnectOpts,
  options: Pick<Order, "clients" | "greeting" | "request">
): Effect.Effect<Crowd, never, Scope.Scope> =>
  Effect.gen(function*() {
    const gathered = new SharedArrayBuffer(4)
    const order: Order = { target, ...options, gathered }
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() =>
        new Worker(new URL("../programs/clientsDuringBlock.ts", import.meta.url), { workerData: order })
      ),
      (worker) => Effect.promise(() => worker.terminate())
    )
    const ready = Deferred.makeUnsafe<void>()
    const over = Deferred.makeUnsafe<ReadonlyArray<Member>>()
    worker.once("message", () => {
      worker.once("message", (members: ReadonlyArray<Member>) => Deferred.doneUnsafe(over, Effect.succeed(members)))
      Deferred.doneUnsafe(ready, Effect.void)
    })
    worker.once("error", (error) => Deferred.doneUnsafe(ready, Effect.die(error)))
    yield* Deferred.await(ready)
    return {
      arriveWhileBlocked: (millis = 0) => {
        worker.postMessage("go")
        const flag = new Int32Array(gathered)
        if (Atomics.wait(flag, 0, 0, 20_000) === "timed-out") throw new Error("the clients are not connected")
        Atomics.wait(flag, 0, 1, millis)
      },
      members: Deferred.await(over)
    }
  })
