import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type {
  DatagramAdmissionOptions,
  DatagramListener,
  DatagramListenerOptions,
  ReceivedDatagram
} from "../../DatagramListener.ts"
import type { BoundDatagramTransport, DatagramTransport } from "../../DatagramTransport.ts"
import type { ConnectionInfo, DrainReport } from "../../DrainReport.ts"
import { type AcceptError, InvalidArgument, type ListenerFaulted } from "../../ListenerError.ts"
import type { TransportAcceptError } from "../../Transport.ts"
import { takeEach } from "../accept/acceptLoop.ts"
import type { Bound, Kind, LifecycleOptions } from "../lifecycle/manager.ts"
import { join } from "../lifecycle/member.ts"
import { TakingLifecycle } from "../lifecycle/takingLifecycle.ts"
import { defaults, resolve } from "../options/drain.ts"
import { resolveName, shownName } from "../options/name.ts"
import { resolveTimeouts, timeoutDefaults } from "../options/timeouts.ts"
import { publish, publishDatagrams } from "../telemetry/metrics.ts"
import { datagramDefaults, resolveDatagramAdmission } from "./admission.ts"
import type { Exchange } from "./exchange.ts"
import { exchangeConsumer, type ExchangeRegistration } from "./exchangeHandler.ts"
import { ExchangeManager, type ExchangeOptions } from "./exchangeManager.ts"

/** Here and not in the public module, which could not be evaluated before this one. */
export const TypeId = "~@effect-listener/core/DatagramListener"

interface BoundDatagrams extends Bound {
  readonly transport: BoundDatagramTransport
}

/** A listener of datagrams: the lifetime, and what takes a datagram in it. */
export class DatagramListenerImpl extends TakingLifecycle<Exchange, ExchangeManager, BoundDatagrams>
  implements DatagramListener
{
  readonly [TypeId]: typeof TypeId = TypeId

  readonly receive: Effect.Effect<ReceivedDatagram, AcceptError, Scope.Scope> = Effect.uninterruptibleMask((restore) =>
    Effect.withFiber((fiber) =>
      Effect.suspend(() => {
        const { manager } = this
        return Effect.flatMap(this.takeNext(restore), (exchange) =>
          Effect.flatMap(Effect.scope, (scope) => {
            exchange.fiber = fiber
            exchange.scope = scope
            manager.begin(exchange)
            return Effect.as(
              Effect.addFinalizer((exit) => Effect.sync(() => manager.handled(exchange, exit))),
              { payload: exchange.datagram.payload, remote: exchange.remote, reply: exchange.reply }
            )
          }))
      })
    )
  )

  serveHandler(registration: ExchangeRegistration): Effect.Effect<DrainReport, ListenerFaulted> {
    return this.serve((manager) => exchangeConsumer(manager, registration))
  }

  readonly exchanges: Effect.Effect<ReadonlyArray<ConnectionInfo>> = this.inFlight

  readonly setAdmission = (options: DatagramAdmissionOptions): Effect.Effect<void, InvalidArgument> =>
    Effect.suspend(() => {
      const { limits, queue } = this.manager
      const resolved = resolveDatagramAdmission(options, limits.resolved)
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

/** Makes a datagram listener that belongs to the scope it is made in. */
export const make = (
  transport: DatagramTransport,
  options: DatagramListenerOptions
): Effect.Effect<DatagramListenerImpl, never, Scope.Scope> =>
  Effect.gen(function*() {
    const context = Context.omit(Scope.Scope)(yield* Effect.context<never>())
    const clock = yield* Clock.Clock
    const [kind, resolved] = settle(transport, options, context, clock)
    const listener = new DatagramListenerImpl(kind, resolved)
    yield* join(listener, context)
    return listener
  })

/** Options with every default filled in, and the kind of listener they make. */
const settle = (
  transport: DatagramTransport,
  options: DatagramListenerOptions,
  context: Context.Context<never>,
  clock: Clock.Clock
): [Kind<ExchangeManager, BoundDatagrams>, LifecycleOptions] => {
  const drain = resolve(options.drain, defaults)
  const admission = resolveDatagramAdmission(options.admission, datagramDefaults)
  const timeouts = resolveTimeouts(options.timeouts)
  const given = options.name ?? transport.name
  const named = resolveName(given)
  const name = Result.getOrElse(named, () => shownName(given))
  const counts = publish(context, name)
  const exchanges: ExchangeOptions = {
    name,
    protocol: transport.name,
    clock,
    context,
    drain: Result.getOrElse(drain, () => defaults),
    admission: Result.getOrElse(admission, () => datagramDefaults),
    counts,
    totals: publishDatagrams(counts, context, name),
    tracing: { context, clock, connections: false, exchanges: options.tracing?.exchanges === true },
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
  const openLimit = Result.getOrElse(timeouts, () => timeoutDefaults).open
  return [datagramKind(transport, exchanges), { ...exchanges, openLimit, badOption }]
}

const datagramKind = (
  transport: DatagramTransport,
  options: ExchangeOptions
): Kind<ExchangeManager, BoundDatagrams> => ({
  taking: "receive",
  transport: {
    name: transport.name,
    bind: Effect.map(Effect.suspend(() => transport.bind), (bound) => ({
      transport: bound,
      address: bound.address,
      stop: bound.stop,
      leave: bound.leave,
      // answers leave from where the datagrams came to
      answersThroughSocket: true
    }))
  },
  // changed limits outlive the lifetime they were changed in
  makeManager: (before) =>
    new ExchangeManager(before === undefined ? options : { ...options, admission: before.limits.resolved }),
  opened: (manager) => manager.limits.watch(),
  acceptLoop: (manager, { transport: bound }) => {
    manager.receiveFrom(bound)
    return takeEach({
      arrive: manager.arrive,
      onError: (error) => {
        const code = error.code ?? "unknown"
        manager.counts.acceptError(code)
        return Effect.logWarning(`receive failed on listener "${manager.name}"`, error.message).pipe(
          Effect.annotateLogs({ event: "acceptFailed", listener: manager.name, class: error.class, code })
        )
      },
      hurry: manager.signal.until(() => manager.sweeping)
    }, (arrive) => ({ all: Effect.suspend(() => bound.receiveAll(arrive)), one: receiveOne(bound, arrive) }))
  }
})

/** Receives until something has come: what comes after it is kept by the transport. */
const receiveOne = (
  bound: BoundDatagramTransport,
  arrive: Parameters<BoundDatagramTransport["receiveAll"]>[0]
): Effect.Effect<void, TransportAcceptError> =>
  Effect.suspend(() => {
    const arrived = Deferred.makeUnsafe<void>()
    const receive = bound.receiveAll((datagram) => {
      arrive(datagram)
      Deferred.doneUnsafe(arrived, Exit.void)
    })
    return Effect.raceFirst(receive, Deferred.await(arrived))
  })
