/**
 * A listening socket between a transport and its listener: takes connections
 * from the one and hands them to the other, failed and changed on the way.
 */
import type { BoundTransport, TransportAcceptError, TransportConnection } from "@effect-listener/core/Transport"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { MemoryListener } from "../memory/listener.ts"

/** How long a peer that was not accepted may take to notice its FIN. */
const brief = { idle: Duration.millis(250), total: Duration.millis(500), bytes: 1 << 20 }

/** What is handed over of an accepted connection, and what accepting fails with before. */
export type Meet = (connection: TransportConnection) => {
  readonly failures: ReadonlyArray<TransportAcceptError>
  readonly connection: TransportConnection
}

interface Arrival {
  readonly place: number
  readonly failures: Array<TransportAcceptError>
}

export const between = (
  bound: BoundTransport,
  meet: Meet
): Effect.Effect<BoundTransport, never, Scope.Scope> =>
  Effect.gen(function*() {
    const runFork = Effect.runForkWith(yield* Effect.context<never>())
    const arrivals = new WeakMap<TransportConnection, Arrival>()
    const failures: Array<TransportAcceptError> = []
    let arrived = 0
    const listener = new MemoryListener<TransportConnection>({
      backlog: Infinity,
      late: false,
      failures,
      discard: (connection) => runFork(connection.goodbye(brief)),
      sequence: (connection) => arrivals.get(connection)?.place ?? 0,
      before: (connection) => {
        const error = arrivals.get(connection)?.failures.shift()
        if (error?.class === "fatal") die(error)
        return error
      }
    })
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() =>
        Effect.forEach(listener.close(), (connection) => connection.goodbye(brief), {
          concurrency: "unbounded",
          discard: true
        })
      )
    )
    /** Nothing more is handed over, and clients that wait for it are reset. */
    const die = (error: TransportAcceptError): void => {
      for (const connection of listener.die(error)) runFork(connection.destroy)
    }
    const move = Effect.uninterruptibleMask((restore) =>
      Effect.map(restore(bound.accept), (original) => {
        const { connection, failures } = meet(original)
        arrivals.set(connection, { place: arrived++, failures: Array.from(failures) })
        listener.enqueue(connection)
      })
    )
    yield* Effect.forkScoped(
      Effect.forever(move, { disableYield: true }).pipe(
        Effect.catchIf((error) => error.class !== "fatal", (error) => {
          failures.push(error)
          listener.changed()
          return Effect.yieldNow
        }),
        Effect.forever,
        Effect.catch((error) => Effect.sync(() => die(error)))
      ),
      { startImmediately: true }
    )
    return {
      address: bound.address,
      accept: listener.accept,
      // what the transport has handed over by then is swept here
      stop: Effect.andThen(bound.stop, listener.stop(() => {}))
    }
  })
