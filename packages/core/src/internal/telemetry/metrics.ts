/**
 * Makes Effect metrics of what listeners count: each series reads its number when
 * it is asked for.
 */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import * as ListenerMetrics from "../../ListenerMetrics.ts"
import { type Counted, Counts, DatagramTally, type Durations, durations } from "./counts.ts"

/**
 * The counts of all listeners of one name in each registry. They belong to
 * the registry: with another one counting begins anew.
 */
const countsOf = new WeakMap<Metric.MetricRegistry, Map<string, Counts>>()

/** What a listener of this name counts into, published in the registry of the context. */
export const publish = (context: Context.Context<never>, listener: string): Counts => {
  const registry = Context.get(context, Metric.MetricRegistry)
  let named = countsOf.get(registry)
  if (named === undefined) countsOf.set(registry, named = new Map())
  const attributes = Context.get(context, Metric.CurrentMetricAttributes)
  const key = JSON.stringify([listener, Object.entries(attributes).sort(([a], [b]) => a < b ? -1 : 1)])
  const known = named.get(key)
  if (known !== undefined) return known
  const counts = new Counts()
  named.set(key, counts)
  register(counts, context, listener)
  return counts
}

/** What a datagram listener of this name counts into besides, published there, too. */
export const publishDatagrams = (counts: Counts, context: Context.Context<never>, listener: string): DatagramTally => {
  if (counts.datagrams !== undefined) return counts.datagrams
  const tally = counts.datagrams = new DatagramTally()
  const counter = counterOf(context, listener)
  counter(ListenerMetrics.datagramsReceived, () => tally.received)
  for (const reason of keys(tally.ends)) {
    counter(ListenerMetrics.datagramsHandled, () => tally.ends[reason], { reason })
  }
  for (const reason of keys(tally.dropped)) {
    counter(ListenerMetrics.datagramsDropped, () => tally.dropped[reason], { reason })
  }
  return tally
}

type Attributes = { readonly [name: string]: string }

const counterOf = (context: Context.Context<never>, listener: string) => {
  const series = seriesOf(context, listener)
  return (metric: Metric.Counter<number>, get: () => number, attributes?: Attributes): void =>
    series(metric, () => ({ count: get(), incremental: true }), attributes)
}

const seriesOf = (context: Context.Context<never>, listener: string) =>
<State>(
  metric: Metric.Metric<number, State>,
  get: () => State,
  attributes: Attributes = {}
): void => {
  Metric.registerUnsafe(Metric.withAttributes(metric, { listener, ...attributes }), context, {
    get,
    update: nothing,
    modify: nothing
  })
}

const nothing = () => {}

const register = (counts: Counts, context: Context.Context<never>, listener: string): void => {
  const series = seriesOf(context, listener)
  const counter = counterOf(context, listener)
  const gauge = (metric: Metric.Gauge<number>, get: () => number): void => series(metric, () => ({ value: get() }))
  const sum = (of: (listener: Counted) => number) => (): number => {
    let sum = 0
    for (const one of counts.listeners) sum += of(one)
    return sum
  }
  const most = (of: (listener: Counted) => number) => (): number => {
    let most = 0
    for (const one of counts.listeners) most = Math.max(most, of(one))
    return most
  }

  counter(ListenerMetrics.connectionsAccepted, () => counts.accepted)
  gauge(ListenerMetrics.connectionsOpen, () => counts.open)
  gauge(ListenerMetrics.connectionsQueued, sum((one) => one.queued))
  gauge(ListenerMetrics.connectionsLimit, () => finite(sum((one) => one.limit)()))
  for (const reason of keys(counts.ended)) {
    counter(ListenerMetrics.connectionsEnded, () => counts.ended[reason], { reason })
  }
  for (const reason of keys(counts.refused)) {
    counter(ListenerMetrics.connectionsRefused, () => counts.refused[reason], { reason })
  }
  counter(ListenerMetrics.requestsRefused, () => counts.requestsRefused)

  counts.onNewError = (code) =>
    counter(ListenerMetrics.acceptErrors, () => counts.acceptErrors.get(code) ?? 0, { code })

  counter(ListenerMetrics.exchanges, () => counts.exchanges)
  gauge(ListenerMetrics.exchangesOpen, () => counts.exchanges - counts.exchangeTime.count)
  series(ListenerMetrics.exchangeDuration, () => histogram(counts.exchangeTime))

  counter(ListenerMetrics.swept, () => counts.swept)
  for (const outcome of keys(counts.closes)) {
    counter(ListenerMetrics.closes, () => counts.closes[outcome], { outcome })
  }
  counter(ListenerMetrics.handlersLeftBehind, () => counts.handlersLeftBehind)
  const closing = most((one) => one.closingNow?.duration ?? 0)
  gauge(ListenerMetrics.drainDuration, () => (closing() || counts.lastClose) / 1000)
  gauge(ListenerMetrics.drainDeadline, () => finite(most((one) => one.closingNow?.longest ?? 0)()) / 1000)
  gauge(ListenerMetrics.drainStage, most((one) => one.closingNow?.stage ?? 0))
  gauge(ListenerMetrics.drainRemaining, sum((one) => one.closingNow?.remaining ?? 0))
  gauge(ListenerMetrics.ready, most((one) => one.ready ? 1 : 0))
}

/** None is 0: the text format of metrics has no infinity. */
const finite = (limit: number): number => Number.isFinite(limit) ? limit : 0

// Object.keys widens the keys of what is given
const keys = <K extends string>(of: Record<K, unknown>): ReadonlyArray<K> => Object.keys(of) as Array<K>

/** In seconds, cumulative, as metrics have it. */
const histogram = (of: Durations): Metric.HistogramState => {
  let below = 0
  return {
    buckets: durations.map((bound, i): [number, number] => [bound / 1000, below += of.within[i]!]),
    count: of.count,
    min: of.count === 0 ? 0 : of.min / 1000,
    max: of.max / 1000,
    sum: of.sum / 1000
  }
}
