/**
 * Many that wait for one listener: `node waiters.ts closed <count>` for its end,
 * in a fiber each; `node waiters.ts abort` in a handler each, one a connection,
 * which the abort cuts.
 */
import * as Listener from "@effect-listener/core/Listener"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as NetAddress from "effect/net/NetAddress"
import { announce, answerAlso } from "../support/childServer.ts"

const [what, count] = process.argv.slice(2)

const close = (listener: Listener.Listener) =>
  Effect.gen(function*() {
    const waiting = yield* Effect.forEach(
      Array.from({ length: Number(count) }),
      () => Effect.forkChild(listener.closed, { startImmediately: true })
    )
    yield* listener.close()
    yield* Fiber.awaitAll(waiting)
  })

const abort = (listener: Listener.Listener) => Effect.andThen(listener.abort, Effect.ignore(listener.close()))

/** CPU time of the whole, in microseconds. */
const timed = async (work: Effect.Effect<void, unknown>): Promise<number> => {
  const before = process.cpuUsage()
  await Effect.runPromise(work)
  const { system, user } = process.cpuUsage(before)
  return user + system
}

const program = Effect.gen(function*() {
  const listener = yield* Listener.listen(NodeTcp.transport({ host: "127.0.0.1", port: 0, backlog: 4096 }))
  const address = yield* listener.address
  yield* Effect.forkScoped(Listener.serve(listener, () => Effect.never))
  answerAlso({ settling: () => timed(what === "closed" ? close(listener) : abort(listener)) })
  if (NetAddress.isInetAddress(address)) announce(address.port)
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(program))
