/**
 * A connection that behaves as badly as its faults say: what comes in passes
 * through `Incoming`, what goes out through `Outgoing`.
 */
import type { FastConnection, TransportConnection } from "@effect-listener/core/Transport"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Socket from "effect/socket/Socket"
import type { ConnectionFault } from "../../Faults.ts"
import { closeError, resetError } from "../util/socketErrors.ts"
import type { Behaviour } from "./behaviour.ts"
import { Incoming } from "./incoming.ts"
import { Outgoing } from "./outgoing.ts"

export interface Options {
  readonly connection: TransportConnection
  readonly behaviour: Behaviour
  /** A fault takes effect. */
  readonly onFault: (fault: ConnectionFault) => void
  /** What fibers of the connection itself run with. */
  readonly context: Context.Context<never>
}

export const make = (options: Options): TransportConnection => {
  const { behaviour, connection, context } = options
  const runFork = Effect.runForkWith(context)
  const noted = new Set<ConnectionFault>()
  const note = (fault: ConnectionFault): void => {
    if (noted.has(fault)) return
    noted.add(fault)
    options.onFault(fault)
  }
  /** The peer has reset the connection: so it looks here, and there the other way round. */
  const reset = (fault: ConnectionFault): void => {
    note(fault)
    incoming.end(resetError("the connection was reset"))
    runFork(destroy)
  }
  const incoming = new Incoming(connection, behaviour, note, reset)
  const outgoing = new Outgoing(connection, behaviour, note, reset, runFork)
  // the connection first: a fiber that wakes would end it with a FIN
  const destroy = Effect.suspend(() => {
    incoming.end(closeError(1006))
    return Effect.andThen(
      connection.destroy,
      Effect.sync(() => {
        incoming.wake()
        outgoing.break()
      })
    )
  })
  const { fast } = connection
  const faulty: TransportConnection = {
    remote: connection.remote,
    local: connection.local,
    protocol: connection.protocol,
    socket: Socket.make({ reader: incoming.reader, writer: outgoing.writer }),
    bytesPending: () => outgoing.pending + connection.bytesPending(),
    get fast(): FastConnection | undefined {
      return fast?.owner === connection
        ? { owner: faulty, bytesIn: () => fast.bytesIn(), bytesOut: () => outgoing.written }
        : undefined
    },
    ready: behaviour.handshakeClosed === undefined ? connection.ready : Effect.suspend(() => {
      reset(behaviour.handshakeClosed!)
      return Effect.fail(resetError("the connection was reset"))
    }),
    endReading: (error) => incoming.endReading(error),
    settled: connection.settled,
    // a client that falls silent does not say either that it has gone
    watchDeparture: behaviour.silence === undefined ? connection.watchDeparture?.bind(connection) : undefined,
    goodbye: (linger) =>
      Effect.suspend(() => {
        incoming.end(closeError(1006))
        incoming.wake()
        return outgoing.goodbye(linger, destroy)
      }),
    destroy
  }
  return faulty
}
