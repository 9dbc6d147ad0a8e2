import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { AdmissionOptions } from "../../Admission.ts"
import type { Connection } from "../../Connection.ts"
import type { ConnectionInfo, DrainReport } from "../../DrainReport.ts"
import type { Listener, ListenerOptions } from "../../Listener.ts"
import type { AcceptError, ListenerFaulted, ListenError } from "../../ListenerError.ts"
import type { BoundTransport, Transport } from "../../Transport.ts"
import { acceptLoop } from "../accept/acceptLoop.ts"
import type { ConnectionImpl } from "../connection/connection.ts"
import { ConnectionManager, type ManagerOptions } from "../connection/connectionManager.ts"
import { finish } from "../connection/serving/finish.ts"
import { type Registration, registrationConsumer } from "../connection/serving/handler.ts"
import { admissionDefaults, resolveAdmission } from "../options/admission.ts"
import type { ServeOptions, SocketServeOptions } from "../options/listenerOptions.ts"
import { capture } from "./capture.ts"
import { makeMember } from "./member.ts"
import { type AdmissionKind, resolveOptions } from "./resolveOptions.ts"
import { acceptContext, takingKind, TakingLifecycle } from "./takingLifecycle.ts"

/** Here and not in the public module, which could not be evaluated before this one. */
export const TypeId = "~@effect-listener/core/Listener"

type Handler<E, R> = (connection: Connection) => Effect.Effect<unknown, E, R>

/** A listener of connections: the lifetime, and what takes a connection in it. */
export class ListenerImpl extends TakingLifecycle<ConnectionImpl, ConnectionManager, BoundTransport, AdmissionOptions>
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

  serveHandler<E, R>(
    handler: Handler<E, R>,
    options: SocketServeOptions | undefined
  ): Effect.Effect<DrainReport, ListenerFaulted, Exclude<R, Scope.Scope>> {
    return Effect.flatMap(
      registration(handler, options),
      (member) => this.serve((manager) => registrationConsumer(manager, member))
    )
  }

  // --- what can be seen and changed ------------------------------------------------------------------------------

  readonly connections: Effect.Effect<ReadonlyArray<ConnectionInfo>> = this.inFlight

  protected readonly admission = admissionKind
}

/** The one place where a public listener becomes the class. */
export const implementationOf = (listener: Listener): ListenerImpl => {
  if (listener instanceof ListenerImpl) return listener
  throw new TypeError("expected a listener that Listener.make has made, not a copy or a likeness of one")
}

const admissionKind: AdmissionKind<AdmissionOptions> = { defaults: admissionDefaults, resolve: resolveAdmission }

/** Makes a listener that belongs to the scope it is made in. */
export const make = (
  transport: Transport,
  options: ListenerOptions
): Effect.Effect<ListenerImpl, never, Scope.Scope> =>
  makeMember((context, clock) => {
    const settled = resolveOptions(transport, options, admissionKind, context, clock)
    return new ListenerImpl(
      takingKind(settled, {
        taking: "accept",
        transport,
        manager: (options: ManagerOptions) => new ConnectionManager(options),
        acceptLoop: (manager, bound: BoundTransport) =>
          acceptLoop(bound, acceptContext(manager, "accept", (connection) => manager.arrive(connection)))
      }),
      settled
    )
  })

/** Makes a listener and opens it; its handler is in place before the first connection arrives. */
export const makeServing = <E, R>(
  transport: Transport,
  handler: Handler<E, R>,
  options: ListenerOptions & ServeOptions
): Effect.Effect<ListenerImpl, ListenError, Scope.Scope | Exclude<R, Scope.Scope>> =>
  Effect.gen(function*() {
    const member = yield* registration(handler, options)
    const listener = yield* make(transport, options)
    listener.register((manager) => registrationConsumer(manager, member))
    yield* listener.openFirst
    return listener
  })

/** A handler as it takes part in serving. */
const registration = <E, R>(
  handler: Handler<E, R>,
  options: SocketServeOptions | undefined
): Effect.Effect<Registration, never, Exclude<R, Scope.Scope>> =>
  Effect.map(capture(handler), (captured): Registration => ({
    ...captured,
    idle: options?.idle ?? "handler",
    services: options?.services,
    refuse: options?.refuse
  }))
