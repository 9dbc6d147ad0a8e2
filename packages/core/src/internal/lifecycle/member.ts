import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { CurrentRegistry, type ListenerRegistry, type Member } from "../../ListenerRegistry.ts"
import { millis } from "../options/time.ts"
import { logsThrown } from "../telemetry/logLine.ts"
import { call } from "../util/foreign.ts"
import type { Lifecycle } from "./lifecycle.ts"
import type { Bound, Manager } from "./manager.ts"

/** Makes a listener that belongs to the current scope, and joins the registry of its program. */
export const makeMember = <L extends Lifecycle<Manager, Bound> & Exclude<Member["listener"], undefined>>(
  construct: (context: Context.Context<never>, clock: Clock.Clock) => L
): Effect.Effect<L, never, Scope.Scope> =>
  Effect.gen(function*() {
    const context = Context.omit(Scope.Scope)(yield* Effect.context<never>())
    const listener = construct(context, yield* Clock.Clock)
    const registry = yield* CurrentRegistry
    if (Option.isSome(registry)) listener.deregister = joined(registry.value, memberOf(listener, context))
    yield* Effect.addFinalizer(() => listener.finish)
    return listener
  })

/** Joins a registry. The result takes the member out again, and ends as it should whatever the registry throws. */
export const joined = (registry: ListenerRegistry, member: Member): () => void => {
  const { context = Context.empty(), name } = member
  const leave = registry.add(member)
  const owner = logsThrown(name, Effect.runForkWith(context))
  return () => call(owner, "leaving the registry", leave, undefined)
}

/** How a main program and a host see a listener. */
const memberOf = (
  listener: Lifecycle<Manager, Bound> & Exclude<Member["listener"], undefined>,
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
