import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type { AdmissionOptions } from "../../Admission.ts"
import type { Connection } from "../../Connection.ts"
import type { ConnectionInfo, DrainReport } from "../../DrainReport.ts"
import type { Listener, ListenerOptions } from "../../Listener.ts"
import { type AcceptError, InvalidArgument, type ListenerFaulted } from "../../ListenerError.ts"
import type { BoundTransport, Transport } from "../../Transport.ts"
import { acceptLoop } from "../accept/acceptLoop.ts"
import type { ConnectionImpl } from "../connection/connection.ts"
import { ConnectionManager, type ManagerOptions } from "../connection/connectionManager.ts"
import { finish } from "../connection/serving/finish.ts"
import { type Registration, registrationConsumer } from "../connection/serving/handler.ts"
import { admissionDefaults, resolveAdmission } from "../options/admission.ts"
import { defaults, resolve } from "../options/drain.ts"
import { resolveName, shownName } from "../options/name.ts"
import { resolveTimeouts, timeoutDefaults } from "../options/timeouts.ts"
import { publish } from "../telemetry/metrics.ts"
import type { Kind, LifecycleOptions } from "./manager.ts"
import { join } from "./member.ts"
import { TakingLifecycle } from "./takingLifecycle.ts"

/** Here and not in the public module, which could not be evaluated before this one. */
export const TypeId = "~@effect-listener/core/Listener"

/** A listener of connections: the lifetime, and what takes a connection in it. */
export class ListenerImpl extends TakingLifecycle<ConnectionImpl, ConnectionManager, BoundTransport>
  implements Listener
{
  readonly [TypeId]: typeof TypeId = TypeId

  // --- accept ----------------------------------------------------------------------------------------------------

  readonly accept: Effect.Effect<Connection, AcceptError, Scope.Scope> = Effect.uninterruptibleMask((restore) =>
    Effect.withFiber((fiber) =>
      Effect.suspend((): Effect.Effect<Connection, AcceptError, Scope.Scope> => {
        const { manager } = this
        return Effect.flatMap(this.takeNext(restore), (connection) => this.own(manager, connection, fiber))
      })
    )
  )

  /** An accepted connection lives in the caller's scope. Its handshake is done: the queue saw to that. */
  private own(
    manager: ConnectionManager,
    connection: ConnectionImpl,
    fiber: Fiber.Fiber<unknown, unknown>
  ): Effect.Effect<Connection, AcceptError, Scope.Scope> {
    return Effect.suspend(() => {
      connection.fiber = fiber
      manager.begin(connection)
      return Effect.as(Effect.addFinalizer((exit) => finish(manager, connection, exit)), connection)
    })
  }

  // --- serve -----------------------------------------------------------------------------------------------------

  serveHandler(registration: Registration): Effect.Effect<DrainReport, ListenerFaulted> {
    return this.serve((manager) => registrationConsumer(manager, registration))
  }

  // --- what can be seen and changed ------------------------------------------------------------------------------

  readonly connections: Effect.Effect<ReadonlyArray<ConnectionInfo>> = this.inFlight

  readonly setAdmission = (options: AdmissionOptions): Effect.Effect<void, InvalidArgument> =>
    Effect.suspend(() => {
      const { limits, queue } = this.manager
      const resolved = resolveAdmission(options, limits.resolved)
      if (Result.isFailure(resolved)) {
        return Effect.fail(
          new InvalidArgument({ operation: "setAdmission", listener: this.name, trail: [], ...resolved.failure })
        )
      }
      limits.change(resolved.success, this.manager.everyOne())
      queue.match()
      return Effect.void
    })
}

/** Makes a listener that belongs to the scope it is made in. */
export const make = (
  transport: Transport,
  options: ListenerOptions
): Effect.Effect<ListenerImpl, never, Scope.Scope> =>
  Effect.gen(function*() {
    const context = Context.omit(Scope.Scope)(yield* Effect.context<never>())
    const clock = yield* Clock.Clock
    const [kind, resolved] = settle(transport, options, context, clock)
    const listener = new ListenerImpl(kind, resolved)
    yield* join(listener, context)
    return listener
  })

/** Options with every default filled in, and the kind of listener they make. */
const settle = (
  transport: Transport,
  options: ListenerOptions,
  context: Context.Context<never>,
  clock: Clock.Clock
): [Kind<ConnectionManager, BoundTransport>, LifecycleOptions] => {
  const drain = resolve(options.drain, defaults)
  const admission = resolveAdmission(options.admission, admissionDefaults)
  const timeouts = resolveTimeouts(options.timeouts)
  const given = options.name ?? transport.name
  const named = resolveName(given)
  const name = Result.getOrElse(named, () => shownName(given))
  const shared: ManagerOptions = {
    name,
    clock,
    context,
    drain: Result.getOrElse(drain, () => defaults),
    admission: Result.getOrElse(admission, () => admissionDefaults),
    timeouts: Result.getOrElse(timeouts, () => timeoutDefaults),
    counts: publish(context, name),
    tracing: {
      context,
      clock,
      connections: options.tracing?.connections === true,
      exchanges: options.tracing?.exchanges === true
    },
    maskRemote: options.maskRemote === true
  }
  const badOption = Option.getOrUndefined(
    Option.firstSomeOf([
      Result.getFailure(named),
      Result.getFailure(drain),
      Result.getFailure(admission),
      Result.getFailure(timeouts)
    ])
  )
  return [connectionKind(transport, shared), { ...shared, openLimit: shared.timeouts.open, badOption }]
}

const connectionKind = (transport: Transport, options: ManagerOptions): Kind<ConnectionManager, BoundTransport> => ({
  taking: "accept",
  transport,
  // changed limits outlive the lifetime they were changed in
  makeManager: (before) =>
    new ConnectionManager(before === undefined ? options : { ...options, admission: before.limits.resolved }),
  opened: (manager) => manager.limits.watch(),
  acceptLoop: (manager, bound) =>
    acceptLoop(bound, {
      arrive: (connection) => manager.arrive(connection),
      onError: (error) => {
        const code = error.code ?? "unknown"
        manager.counts.acceptError(code)
        return Effect.logWarning(`accept failed on listener "${manager.name}"`, error.message).pipe(
          Effect.annotateLogs({ event: "acceptFailed", listener: manager.name, class: error.class, code })
        )
      },
      hurry: manager.signal.until(() => manager.sweeping)
    })
})
