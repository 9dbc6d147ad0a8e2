import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { CurrentRegistry, type Member } from "../../ListenerRegistry.ts"
import { millis } from "../options/time.ts"
import type { Lifecycle } from "./lifecycle.ts"
import type { Bound, Manager } from "./manager.ts"

/** The listener belongs to the scope it is made in, and joins the registry of its program. */
export const join = <M extends Manager, B extends Bound>(
  listener: Lifecycle<M, B> & Exclude<Member["listener"], undefined>,
  context: Context.Context<never>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const registry = yield* CurrentRegistry
    if (Option.isSome(registry)) listener.deregister = registry.value.add(memberOf(listener, context))
    yield* Effect.addFinalizer(() => listener.finish)
  })

/** How a main program and a host see a listener. */
const memberOf = <M extends Manager, B extends Bound>(
  listener: Lifecycle<M, B> & Exclude<Member["listener"], undefined>,
  context: Context.Context<never>
): Member => ({
  listener,
  listeners: Effect.succeed([{ name: listener.name, connections: listener.inFlight, listener }]),
  context,
  name: listener.name,
  shutdown: ({ deadline, queue, reason }) => {
    // a limit that is none does not lower the listener's own
    const limit = deadline === undefined
      ? Result.succeed(Infinity)
      : millis("deadline", deadline, { infinite: true })
    return Effect.map(
      listener.shutdown(reason, { limit: Result.getOrElse(limit, () => Infinity), queue, received: true }),
      (report) => [report]
    )
  },
  serving: listener.serving,
  progress: listener.progress
})
