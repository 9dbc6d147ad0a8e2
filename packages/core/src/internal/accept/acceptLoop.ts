import * as Effect from "effect/Effect"
import type { BoundTransport, TransportAcceptError, TransportConnection } from "../../Transport.ts"
import { effectOf } from "../util/foreign.ts"

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
const mostUnknown = 10

/** How often accepting has failed in a row: with errors that are not known, and because resources were exhausted. */
export interface Failures {
  readonly unknown: number
  readonly exhausted: number
}

export const noFailures: Failures = { unknown: 0, exhausted: 0 }

/** The failures in a row, when this one has followed those before. */
export const counted = (before: Failures, error: TransportAcceptError): Failures => ({
  exhausted: error.class === "exhausted" ? before.exhausted + 1 : 0,
  unknown: error.class === "exhausted" ? before.unknown : isKnown(error) ? 0 : before.unknown + 1
})

const isKnown = (error: TransportAcceptError): boolean => error.code !== undefined && knownTransient.has(error.code)

/**
 * When to accept again, in milliseconds, from the latest error and the failures
 * in a row with it. What is exhausted backs off, 5 ms doubling to 1 s.
 */
export const againIn = (error: TransportAcceptError, inRow: Failures): number | "never" =>
  error.class === "exhausted"
    ? Math.min(1000, 5 * 2 ** (inRow.exhausted - 1))
    : error.class === "fatal" || error.class === "closed" || inRow.unknown >= mostUnknown
    ? "never"
    : 0

/** What the accept loop tells its listener. */
export interface AcceptContext<A> {
  readonly arrive: (arrived: A) => void
  /** An accept failed: to be counted and logged. */
  readonly onError: (error: TransportAcceptError) => Effect.Effect<void>
  /** Whether an accept has failed that is soon repeated: until then there may be more to take. */
  readonly onRetrying: (retrying: boolean) => void
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
    const { fast } = bound
    // what belongs to another came along in a copy, whose accept it would pass by
    return fast?.owner === bound
      ? effectOf("acceptAll", () => fast.acceptAll(arrive))
      : Effect.forever(takingOver(bound, arrive), { disableYield: true })
  })

/** Takes all that comes, with retries, whatever it is: `source` does so until it fails. */
export const takeEach = <A>(
  context: AcceptContext<A>,
  source: (arrive: (arrived: A) => void) => Effect.Effect<never, TransportAcceptError>
): Effect.Effect<never, TransportAcceptError> =>
  Effect.gen(function*() {
    let inRow = noFailures
    const takeAll = source((arrived) => {
      inRow = noFailures
      context.arrive(arrived)
    })
    while (true) {
      context.onRetrying(false)
      const error = yield* Effect.flip(takeAll)
      // no accept has failed
      if (error.class === "closed") return yield* error
      inRow = counted(inRow, error)
      context.onRetrying(true)
      yield* context.onError(error)
      const delay = againIn(error, inRow)
      if (delay === "never") return yield* error
      // a transport that fails synchronously must not keep other fibers from running
      yield* Effect.yieldNow
      if (delay > 0) yield* Effect.raceFirst(Effect.sleep(delay), context.hurry)
    }
  }).pipe(Effect.ensuring(Effect.sync(() => context.onRetrying(false))))

/**
 * Accepts a connection and hands it over. No interruption comes in between: what
 * was accepted has arrived.
 */
const takingOver = (
  bound: BoundTransport,
  arrive: (connection: TransportConnection) => void
): Effect.Effect<void, TransportAcceptError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(effectOf("accept", () => bound.accept)), (connection) => {
      arrive(connection)
      return Effect.void
    })
  )
