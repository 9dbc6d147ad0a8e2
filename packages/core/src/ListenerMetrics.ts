/**
 * What every listener counts, as Effect metrics.
 *
 * Any exporter of Effect's metrics has them: `PrometheusMetrics` and
 * `OtlpMetrics` of `effect/observability`, or `Metric.snapshot`. A listener adds
 * its series to the metric registry it finds where it is made, each with the
 * attribute `listener`, its name; listeners of one name are counted together. The
 * series stay when the listener is gone, so that the last export has them, too.
 *
 * Counting costs a few additions a connection or an exchange: a listener keeps
 * plain numbers, and they are read when a scrape asks for them. All series of a scrape
 * are of the same moment: accepted = ended + open holds in each.
 *
 * @stability experimental
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"
import { durations } from "./internal/telemetry/counts.ts"

/**
 * Connections that were let in or are held, and have not ended.
 *
 * **Example** (Looking at one listener)
 *
 * ```ts
 * import { Listener, ListenerMetrics } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect, Metric } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const transport = yield* MemoryTransport.make()
 *   yield* Listener.listen(transport, { name: "api" })
 *   yield* transport.connect
 *   const open = Metric.withAttributes(ListenerMetrics.connectionsOpen, { listener: "api" })
 *   console.log((yield* Metric.value(open)).value) // => 1
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * ```
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const connectionsOpen: Metric.Gauge<number> = Metric.gauge("listener_connections_open", {
  description: "Connections that were let in or are held, and have not ended"
})

/**
 * Connections that wait for admission, or to be taken. They are
 * open, too.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const connectionsQueued: Metric.Gauge<number> = Metric.gauge("listener_connections_queued", {
  description: "Connections that wait for admission, or to be taken"
})

/**
 * How many connections may be open at once, of a datagram listener exchanges; 0
 * without a limit.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const connectionsLimit: Metric.Gauge<number> = Metric.gauge("listener_connections_limit", {
  description: "How many connections may be open at once; 0 without a limit"
})

/**
 * Connections that were let in or held since the program began.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const connectionsAccepted: Metric.Counter<number> = Metric.counter("listener_connections_accepted_total", {
  description: "Connections that were let in or held",
  incremental: true
})

/**
 * Connections that have ended, by the attribute `reason`: one of
 * `DrainReport.EndReason`, exactly one for each connection.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const connectionsEnded: Metric.Counter<number> = Metric.counter("listener_connections_ended_total", {
  description: "Connections that have ended, each for one reason",
  incremental: true
})

/**
 * Connections that admission refused, by the attribute `reason`: the limit they
 * met. They are not among the accepted ones.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const connectionsRefused: Metric.Counter<number> = Metric.counter("listener_connections_refused_total", {
  description: "Connections that admission refused",
  incremental: true
})

/**
 * Requests that were read after a goodbye and not executed.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const requestsRefused: Metric.Counter<number> = Metric.counter("listener_requests_refused_total", {
  description: "Requests that were read after a goodbye and not executed",
  incremental: true
})

/**
 * Accepts that failed, by the attribute `code`: the system's name of the error,
 * such as `EMFILE`. A series begins with the first error of its code.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const acceptErrors: Metric.Counter<number> = Metric.counter("listener_accept_errors_total", {
  description: "Accepts that failed",
  incremental: true
})

/**
 * Exchanges that are in flight.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const exchangesOpen: Metric.Gauge<number> = Metric.gauge("listener_exchanges_open", {
  description: "Exchanges that are in flight"
})

/**
 * Exchanges that have begun.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const exchanges: Metric.Counter<number> = Metric.counter("listener_exchanges_total", {
  description: "Exchanges that have begun",
  incremental: true
})

/**
 * How long exchanges took that have ended, in seconds; those that were cut
 * included.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const exchangeDuration: Metric.Histogram<number> = Metric.histogram("listener_exchange_duration_seconds", {
  description: "How long exchanges took, in seconds",
  boundaries: durations.map((millis) => millis / 1000)
})

/**
 * Datagrams that have come, those included that were dropped.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const datagramsReceived: Metric.Counter<number> = Metric.counter("listener_datagrams_received_total", {
  description: "Datagrams that have come",
  incremental: true
})

/**
 * Datagrams whose exchange has ended, by the attribute `reason`: `answered`,
 * `failed`, `cut` or `closer`, as in `DrainReport.DatagramCounts`.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const datagramsHandled: Metric.Counter<number> = Metric.counter("listener_datagrams_handled_total", {
  description: "Datagrams whose exchange has ended",
  incremental: true
})

/**
 * Datagrams that nothing has handled, by the attribute `reason`: one of
 * `DrainReport.DropReason`. Those that the transport drops by itself are counted
 * when a close ends.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const datagramsDropped: Metric.Counter<number> = Metric.counter("listener_datagrams_dropped_total", {
  description: "Datagrams that nothing has handled",
  incremental: true
})

/**
 * Connections that the kernel had accepted before a close and the sweep still
 * took.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const swept: Metric.Counter<number> = Metric.counter("listener_swept_total", {
  description: "Connections the kernel had accepted before a close, taken by its sweep",
  incremental: true
})

/**
 * Closes that have ended, by the attribute `outcome`: one of
 * `DrainReport.Outcome`.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const closes: Metric.Counter<number> = Metric.counter("listener_closes_total", {
  description: "Closes that have ended",
  incremental: true
})

/**
 * Handlers that did not end within the abort grace and were left behind.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const handlersLeftBehind: Metric.Counter<number> = Metric.counter("listener_handlers_left_behind_total", {
  description: "Handlers that did not end within the abort grace",
  incremental: true
})

/**
 * How long the running close may take in all, a lame duck included, in seconds; 0
 * while none runs, and without a deadline.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const drainDeadline: Metric.Gauge<number> = Metric.gauge("listener_drain_deadline_seconds", {
  description: "How long the running close may take in all, in seconds; 0 without one, or without a deadline"
})

/**
 * How long the running close has taken so far, else how long the last one took,
 * in seconds.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const drainDuration: Metric.Gauge<number> = Metric.gauge("listener_drain_duration_seconds", {
  description: "How long the running close has taken so far, else the last one, in seconds"
})

/**
 * Where the running close stands: 0 none, 1 lame duck, 2 sweeping, 3 draining,
 * 4 aborting.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const drainStage: Metric.Gauge<number> = Metric.gauge("listener_drain_stage", {
  description: "Where the running close stands: 0 none, 1 lame duck, 2 sweeping, 3 draining, 4 aborting"
})

/**
 * Connections and handlers the running close still waits for.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const drainRemaining: Metric.Gauge<number> = Metric.gauge("listener_drain_remaining", {
  description: "Connections and handlers the running close still waits for"
})

/**
 * 1 while the listener wants new work: open, and not in a lame duck.
 *
 * @stability experimental
 * @category metrics
 * @since 0.1.0
 */
export const ready: Metric.Gauge<number> = Metric.gauge("listener_ready", {
  description: "1 while the listener wants new work"
})
