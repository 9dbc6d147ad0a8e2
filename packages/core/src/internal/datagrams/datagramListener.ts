import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type {
  Datagram,
  DatagramAdmissionOptions,
  DatagramListener,
  DatagramListenerOptions,
  ReceivedDatagram,
  Reply,
  ServeOptions
} from "../../DatagramListener.ts"
import type { BoundDatagramTransport, DatagramTransport } from "../../DatagramTransport.ts"
import type { ConnectionInfo, DrainReport } from "../../DrainReport.ts"
import type { AcceptError, ListenerFaulted, ListenError } from "../../ListenerError.ts"
import { takeEach } from "../accept/acceptLoop.ts"
import { capture } from "../lifecycle/capture.ts"
import type { Bindable, Bound } from "../lifecycle/manager.ts"
import { makeMember } from "../lifecycle/member.ts"
import { type AdmissionKind, resolveOptions } from "../lifecycle/resolveOptions.ts"
import { acceptContext, takingKind, TakingLifecycle } from "../lifecycle/takingLifecycle.ts"
import { publishDatagrams } from "../telemetry/metrics.ts"
import { effectOf } from "../util/foreign.ts"
import { datagramDefaults, resolveDatagramAdmission } from "./admission.ts"
import type { Exchange } from "./exchange.ts"
import { exchangeConsumer, type ExchangeRegistration } from "./exchangeHandler.ts"
import { ExchangeManager, type ExchangeOptions } from "./exchangeManager.ts"

/** Here and not in the public module, which could not be evaluated before this one. */
export const TypeId = "~@effect-listener/core/DatagramListener"

interface BoundDatagrams extends Bound {
  readonly transport: BoundDatagramTransport
}

type Handler<E, R> = (datagram: Datagram, reply: Reply) => Effect.Effect<unknown, E, R>

/** A listener of datagrams: the lifetime, and what takes a datagram in it. */
export class DatagramListenerImpl
  extends TakingLifecycle<Exchange, ExchangeManager, BoundDatagrams, DatagramAdmissionOptions>
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
              { payload: exchange.payload, remote: exchange.remote, reply: exchange.reply }
            )
          }))
      })
    )
  )

  serveHandler<E, R>(
    handler: Handler<E, R>,
    options: ServeOptions | undefined
  ): Effect.Effect<DrainReport, ListenerFaulted, Exclude<R, Scope.Scope>> {
    return Effect.flatMap(
      registration(handler, options),
      (member) => this.serve((manager) => exchangeConsumer(manager, member))
    )
  }

  readonly exchanges: Effect.Effect<ReadonlyArray<ConnectionInfo>> = this.inFlight

  protected readonly admission = admissionKind
}

/** The one place where a public listener of datagrams becomes the class. */
export const implementationOf = (listener: DatagramListener): DatagramListenerImpl => {
  if (listener instanceof DatagramListenerImpl) return listener
  throw new TypeError("expected a listener that DatagramListener.make has made, not a copy or a likeness of one")
}

const admissionKind: AdmissionKind<DatagramAdmissionOptions> = {
  defaults: datagramDefaults,
  resolve: resolveDatagramAdmission
}

/** Makes a datagram listener that belongs to the scope it is made in. */
export const make = (
  transport: DatagramTransport,
  options: DatagramListenerOptions
): Effect.Effect<DatagramListenerImpl, never, Scope.Scope> =>
  makeMember((context, clock) => {
    const settled = resolveOptions(transport, options, admissionKind, context, clock)
    const exchanges: ExchangeOptions = {
      ...settled,
      protocol: transport.name,
      totals: publishDatagrams(settled.counts, context, settled.name)
    }
    return new DatagramListenerImpl(
      takingKind(exchanges, {
        taking: "receive",
        transport: { name: transport.name, bind: bindDatagrams(transport) },
        manager: (options: ExchangeOptions) => new ExchangeManager(options),
        acceptLoop: (manager, { transport: bound }: BoundDatagrams) => {
          manager.receiveFrom(bound)
          return takeEach(
            acceptContext(manager, "receive", manager.arrive),
            (arrive) => effectOf("receiveAll", () => bound.receiveAll(arrive))
          )
        }
      }),
      settled
    )
  })

const bindDatagrams = (transport: DatagramTransport): Bindable<BoundDatagrams>["bind"] =>
  Effect.map(effectOf("bind", () => transport.bind), (bound) => ({
    transport: bound,
    address: bound.address,
    stop: bound.stop,
    leave: bound.leave,
    // answers leave from where the datagrams came to
    answersThroughSocket: true
  }))

/** Makes a datagram listener and opens it; its handler is in place before the first datagram arrives. */
export const makeServing = <E, R>(
  transport: DatagramTransport,
  handler: Handler<E, R>,
  options: DatagramListenerOptions & ServeOptions
): Effect.Effect<DatagramListenerImpl, ListenError, Scope.Scope | Exclude<R, Scope.Scope>> =>
  Effect.gen(function*() {
    const member = yield* registration(handler, options)
    const listener = yield* make(transport, options)
    listener.register((manager) => exchangeConsumer(manager, member))
    yield* listener.openFirst
    return listener
  })

/** A handler as it takes part in serving. */
const registration = <E, R>(
  handler: Handler<E, R>,
  options: ServeOptions | undefined
): Effect.Effect<ExchangeRegistration, never, Exclude<R, Scope.Scope>> =>
  Effect.map(capture(handler), (captured): ExchangeRegistration => ({ ...captured, label: options?.label }))
