/** The workers of a supervisor as their owner has them. */
import type { CloseOptions } from "@effect-listener/core/Drain"
import * as ListenerError from "@effect-listener/core/ListenerError"
import { CurrentRegistry } from "@effect-listener/core/ListenerRegistry"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { NodeWorkers, Options, WorkerFailed, WorkersReport } from "../../NodeWorkers.ts"
import { inheritedSockets } from "../inherit/inheritedSockets.ts"
import type { BoundTo } from "../inherit/protocol.ts"
import { nativeAddress } from "../listen/socketAddress.ts"
import { merged, namedReports } from "../reports/reports.ts"
import { TypeId } from "../reports/schemas.ts"
import { type HoldFailure, holdSockets } from "./heldSockets.ts"
import * as Inspection from "./inspection.ts"
import { type Failed, isCount, millis, resolve } from "./options.ts"
import { Supervisor } from "./supervisor.ts"

export const make = (
  options: Options,
  failed: Failed
): Effect.Effect<NodeWorkers, ListenerError.OpenError | WorkerFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const settings = yield* Effect.fromResult(resolve(options, failed))
    const sockets = yield* Effect.mapError(holdSockets(settings.sockets), openError)
    yield* noneLeft
    const context = yield* Effect.context<never>()
    const supervisor = yield* Effect.acquireRelease(
      Effect.sync(() => new Supervisor(settings, sockets, context)),
      (supervisor) =>
        Effect.suspend(() => {
          if (supervisor.state.stage === "Created") return Effect.void
          const { abortGrace, deadline } = settings
          supervisor.close({ reason: "scope closed", deadline, abortGrace })
          return Deferred.await(supervisor.closed)
        })
    )
    const registry = yield* CurrentRegistry
    if (Option.isSome(registry)) {
      yield* Effect.acquireRelease(
        Effect.sync(() => registry.value.add(memberOf(supervisor))),
        (deregister) => Effect.sync(deregister)
      )
    }
    yield* supervisor.open
    return nodeWorkers(supervisor, Object.fromEntries(sockets.map(({ boundTo, name }) => [name, addressOf(boundTo)])))
  })

const nodeWorkers = (supervisor: Supervisor, addresses: NodeWorkers["addresses"]): NodeWorkers => ({
  [TypeId]: TypeId,
  addresses,
  workers: Effect.sync(() => supervisor.infos),
  events: Stream.fromPubSub(supervisor.events),
  replace: supervisor.replace,
  scale: (workers) =>
    isCount(workers) ? supervisor.scale(workers) : Effect.fail(supervisor.settings.failed(notSoMany(workers))),
  close: (options) => close(supervisor, options),
  closed: Deferred.await(supervisor.closed),
  readiness: Effect.sync(() => Inspection.isReady(supervisor)),
  liveness: Effect.sync(() => Inspection.isLive(supervisor)),
  inspect: (options) => Inspection.inspect(supervisor, options?.limit ?? 500),
  metrics: Inspection.metrics(supervisor)
})

const notSoMany = (workers: number): Parameters<Failed>[0] => ({
  operation: "scale",
  listener: "workers",
  trail: [],
  failure: {
    pid: null,
    slot: -1,
    generation: 0,
    reason: "Refused",
    detail: `there can be one worker or more, in whole numbers (${workers})`
  }
})

const at = { operation: "close", listener: "workers", trail: [] }

const close = (
  supervisor: Supervisor,
  options: CloseOptions | undefined
): Effect.Effect<WorkersReport, ListenerError.CloseError> =>
  Effect.gen(function*() {
    const { settings } = supervisor
    const deadline = yield* Effect.fromResult(millis("deadline", options?.deadline ?? settings.deadline, "close"))
    const abortGrace = yield* Effect.fromResult(
      millis("abortGrace", options?.abortGrace ?? settings.abortGrace, "close")
    )
    if (supervisor.state.stage === "Closing") {
      return yield* new ListenerError.InvalidOperation({ ...at, state: "Closing" })
    }
    supervisor.close({ reason: options?.reason ?? "close", deadline, abortGrace })
    const report = yield* Deferred.await(supervisor.closed)
    switch (report.outcome) {
      case "Drained":
        return report
      case "DeadlineExceeded":
        return yield* new ListenerError.OperationTimedOut({ ...at, deadline, report: merged(report) })
      case "Aborted":
        return yield* new ListenerError.OperationAborted({ ...at, report: merged(report) })
    }
  })

/** The workers as a main program has them that closes what is open. */
const memberOf = (supervisor: Supervisor) => ({
  name: "workers",
  shutdown: ({ deadline, reason }: { readonly reason: string; readonly deadline?: Duration.Input | undefined }) =>
    Effect.suspend(() => {
      if (supervisor.state.stage === "Created") return Effect.succeed([])
      const { settings } = supervisor
      const most = deadline === undefined ? Option.none() : Option.getSuccess(millis("deadline", deadline, "close"))
      supervisor.close({
        reason,
        deadline: Math.min(settings.deadline, Option.getOrElse(most, () => Infinity)),
        abortGrace: settings.abortGrace
      })
      return Effect.map(Deferred.await(supervisor.closed), namedReports)
    }),
  progress: Inspection.progress(supervisor)
})

/** A socket that was passed on to this process and is not taken would look healthy, and its clients wait for ever. */
const noneLeft: Effect.Effect<void, ListenerError.InvalidArgument> = Effect.suspend(() => {
  const inherited = inheritedSockets()
  if (inherited._tag === "Failure") return Effect.fail(bad(inherited.failure.parameter, inherited.failure.detail))
  const [left] = inherited.success.untaken
  return left === undefined
    ? Effect.void
    : Effect.fail(bad("sockets", `none of them inherits ${JSON.stringify(left.name)} (descriptor ${left.fd})`))
})

const bad = (parameter: string, detail: string): ListenerError.InvalidArgument =>
  new ListenerError.InvalidArgument({ operation: "make", listener: "workers", trail: [], parameter, detail })

const addressOf = (boundTo: BoundTo): NetAddress.SocketAddress =>
  boundTo.kind === "unix"
    ? NetAddress.unixPathAddress(boundTo.path)
    : nativeAddress(boundTo.host, boundTo.port)

/** What a bind failed with, completed with the name of the socket. */
const openError = ({ error, name }: HoldFailure): ListenerError.OpenError => {
  const at = { operation: "make", listener: name, trail: [] }
  switch (error._tag) {
    case "InvalidArgument":
      return new ListenerError.InvalidArgument({ ...at, parameter: error.parameter, detail: error.detail })
    case "QuotaExceeded":
      return new ListenerError.QuotaExceeded({
        ...at,
        quota: error.quota,
        ...error.limit === undefined ? {} : { limit: error.limit }
      })
    case "AddressInUse":
      return new ListenerError.AddressInUse({ ...at, address: error.address })
    case "AddressNotAvailable":
      return new ListenerError.AddressNotAvailable({ ...at, address: error.address })
    case "AccessDenied":
      return new ListenerError.AccessDenied({ ...at, address: error.address })
    case "SecurityFailure":
      return new ListenerError.SecurityFailure({ ...at, detail: error.detail })
    case "NotSupported":
      return new ListenerError.NotSupported({ ...at, feature: error.feature })
    case "TransportFailure":
      return new ListenerError.TransportFailure({
        ...at,
        cause: error.cause,
        ...error.code === undefined ? {} : { code: error.code }
      })
  }
}
