/** A client in a thread of its own that calls without a pause, whatever it is told. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { isMainThread, Worker, workerData } from "node:worker_threads"

export const hammer = (port: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => new Worker(new URL(import.meta.url), { workerData: { hammer: port } })),
    (worker) => Effect.promise(() => worker.terminate())
  ))

if (!isMainThread && typeof workerData?.hammer === "number") {
  const socket = Net.connect(workerData.hammer, "127.0.0.1", () => call(1))
  socket.resume().on("error", () => {})
  const call = (id: number): void => {
    if (socket.destroyed) return
    socket.write(`${JSON.stringify({ _tag: "Request", id, tag: "work", payload: { id, millis: 0 }, headers: [] })}\n`)
    setImmediate(() => call(id + 1))
  }
}
