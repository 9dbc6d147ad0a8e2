import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type { BoundTransport, TransportAcceptError, TransportConnection } from "../../Transport.ts"

/** accept(2) documents these as errors of one client, to be retried at once. */
const knownTransient: ReadonlySet<string> = new Set([
  "ECONNABORTED",
  "ECONNRESET",
  // an answer to what a datagram socket had sent before
  "ECONNREFUSED",
  "EPROTO",
  "EINTR",
  "EAGAIN",
  "EPERM",
  "ENETDOWN",
  "ENETUNREACH",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENONET",
  "ENOPROTOOPT",
  "EOPNOTSUPP"
])

/** An unknown error counts as fatal when it came this often in a row. */
const unknownLimit = 10

const isKnown = (error: TransportAcceptError): boolean => error.code !== undefined && knownTransient.has(error.code)

/**
 * How to go on after an accept error, from the error and how many unknown ones
 * came in a row before it.
 */
const afterError = (error: TransportAcceptError, unknownInRow: number): "retry" | "backOff" | "end" =>
  error.class === "exhausted"
    ? "backOff"
    : error.class === "fatal" || error.class === "closed"
    ? "end"
    : isKnown(error) || unknownInRow + 1 < unknownLimit
    ? "retry"
    : "end"

/** 5 ms doubling to 1 s; begun anew after every success. */
const backOff = () => Schedule.min([Schedule.exponential("5 millis"), Schedule.spaced("1 second")])

/** What the accept loop tells its listener. */
export interface AcceptContext<A> {
  readonly arrive: (arrived: A) => void
  /** An accept failed: to be counted and logged. */
  readonly onError: (error: TransportAcceptError) => Effect.Effect<void>
  /** Completes when a back-off is not worth waiting for: the listener closes. */
  readonly hurry: Effect.Effect<void>
}

/**
 * The accept loop: one fiber a listener. Takes what the transport hands over,
 * retries what is worth retrying, and fails with the error that means the
 * listening socket is gone.
 */
export const acceptLoop = (
  bound: BoundTransport,
  context: AcceptContext<TransportConnection>
): Effect.Effect<never, TransportAcceptError> =>
  takeEach(context, (arrive) => {
    const acceptOne = takingOver(bound, arrive)
    const { fast } = bound
    return {
      one: acceptOne,
      // what belongs to another came along in a copy, whose accept it would pass by
      all: fast?.owner === bound ? fast.acceptAll(arrive) : Effect.forever(acceptOne, { disableYield: true })
    }
  })

/** How to take what comes: the next one, or all until it fails. */
export interface Source {
  readonly one: Effect.Effect<void, TransportAcceptError>
  readonly all: Effect.Effect<never, TransportAcceptError>
}

/** Takes all that comes, with retries, whatever it is. */
export const takeEach = <A>(
  context: AcceptContext<A>,
  source: (arrive: (arrived: A) => void) => Source
): Effect.Effect<never, TransportAcceptError> =>
  Effect.gen(function*() {
    let unknownInRow = 0
    const { all, one } = source((arrived) => {
      unknownInRow = 0
      context.arrive(arrived)
    })
    while (true) {
      let error = yield* Effect.flip(all)
      // no accept has failed
      if (error.class === "closed") return yield* error
      yield* context.onError(error)
      while (true) {
        const next = afterError(error, unknownInRow)
        if (next === "end") return yield* error
        if (next === "retry") {
          unknownInRow = isKnown(error) ? 0 : unknownInRow + 1
          // a transport that fails synchronously must not keep other fibers from running
          yield* Effect.yieldNow
          break
        }
        const again = yield* Effect.result(backingOff(one, error, context))
        if (Result.isSuccess(again)) break
        error = again.failure
      }
    }
  })

/**
 * Accepts a connection and hands it over. No interruption comes in between: what
 * was accepted has arrived.
 */
const takingOver = (
  bound: BoundTransport,
  arrive: (connection: TransportConnection) => void
): Effect.Effect<void, TransportAcceptError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(bound.accept), (connection) => {
      arrive(connection)
      return Effect.void
    })
  )

/** Accepts again after a while, and again, until it succeeds or fails in another way. */
const backingOff = (
  acceptOne: Effect.Effect<void, TransportAcceptError>,
  error: TransportAcceptError,
  context: Pick<AcceptContext<never>, "onError" | "hurry">
): Effect.Effect<void, TransportAcceptError> => {
  let first = true
  const attempt = Effect.suspend(() => {
    if (!first) return Effect.tapError(acceptOne, context.onError)
    first = false
    return Effect.fail(error)
  })
  const patient = Effect.retry(attempt, { schedule: backOff(), while: (failure) => failure.class === "exhausted" })
  const last = Effect.andThen(Effect.yieldNow, Effect.tapError(acceptOne, context.onError))
  return Effect.raceFirst(patient, Effect.andThen(context.hurry, last))
}
