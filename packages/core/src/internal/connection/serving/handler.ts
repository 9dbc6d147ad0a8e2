import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { type Connection, CurrentConnection } from "../../../Connection.ts"
import type { Consumer } from "../../accept/acceptQueue.ts"
import { handshake, isDone, isReady } from "../arriving/handshake.ts"
import { refuseWith } from "../arriving/refusal.ts"
import type { ConnectionImpl } from "../connection.ts"
import type { ConnectionManager } from "../connectionManager.ts"
import type { IdleMode } from "../connectionState.ts"
import { othersEnd } from "../exchanges.ts"
import { endingOf } from "./ending.ts"
import { finishOrLeave } from "./finish.ts"

/** A handler and what it runs with. */
export interface Registration {
  readonly handler: (connection: Connection) => Effect.Effect<unknown, unknown, Scope.Scope>
  readonly context: Context.Context<never>
  readonly idle: IdleMode
  /** What else the handler of one connection finds in its context. */
  readonly services: ((connection: Connection) => Context.Context<never>) | undefined
  readonly refuse: ((connection: Connection) => Effect.Effect<void>) | undefined
}

/** How one registration takes part in the accept queue. */
export const registrationConsumer = (
  manager: ConnectionManager,
  registration: Registration
): Consumer<ConnectionImpl> => ({
  once: false,
  take: (connection) => serveConnection(manager, connection, registration),
  refuse: registration.refuse === undefined
    ? undefined
    : (connection) => refuseWith(manager, connection, registration.refuse)
})

/**
 * Runs a handler over a connection: one fiber and one scope, then the goodbye in
 * the same fiber. The fiber belongs to its manager alone, so that a handler
 * that will not end can be left behind. The connection is registered before the
 * fiber starts, because it starts to run at once.
 */
const serveConnection = (manager: ConnectionManager, connection: ConnectionImpl, registration: Registration): void => {
  connection.mode = registration.idle
  connection.handled = true
  const scope = Scope.makeUnsafe()
  const { span } = connection
  const traced = span === undefined
    ? registration.context
    : Context.add(registration.context, Tracer.ParentSpan, span)
  const own = Context.add(
    Context.add(traced, CurrentConnection, Option.some<Connection>(connection)),
    Scope.Scope,
    scope
  )
  const { handler, services } = registration
  const handle = () => {
    manager.begin(connection)
    const handled = handler(connection)
    // asked for only now: what a transport has to offer may depend on its handshake
    return services === undefined ? handled : Effect.provideContext(handled, services(connection))
  }
  const work = Effect.withFiber((fiber) => {
    connection.fiber = fiber
    if (connection.step === "Ended") {
      // cut before its fiber began: nothing could watch that one
      fiber.addObserver(() => manager.handlerEnded(connection))
      return Effect.interrupt
    }
    return isReady(connection) ? handle() : Effect.andThen(handshake(manager, connection), Effect.suspend(handle))
  })
  // watched from the fiber's first operation on: whenever it is cut, it finishes its connection
  const program = Effect.onExitPrimitive(work, (exit) => {
    // where the drain has ended its reading, its scope may be that of work in flight
    const others = connection.drainBegun && endingOf(exit) === "normal" ? othersEnd(connection) : undefined
    return others === undefined
      ? end(manager, connection, scope, exit)
      : Effect.andThen(others, Effect.suspend(() => end(manager, connection, scope, exit) ?? Effect.void))
  })
  Effect.runForkWith(own)(program)
}

/** Its scope, then its transport. */
const end = (
  manager: ConnectionManager,
  connection: ConnectionImpl,
  scope: Scope.Closeable,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> | undefined => {
  const closing = Scope.closeUnsafe(scope, exit)
  if (closing === undefined || isDone(closing)) return finishOrLeave(manager, connection, exit)
  return Effect.flatMap(
    Effect.exit(closing),
    (closed) =>
      finishOrLeave(manager, connection, Exit.isFailure(closed) && Exit.isSuccess(exit) ? closed : exit) ??
        Effect.void
  )
}
