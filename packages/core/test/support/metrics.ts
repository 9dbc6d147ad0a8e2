import { ListenerMetrics } from "@effect-listener/core"
import { type Context, Effect, Metric } from "effect"

type Attributes = { readonly [name: string]: string }

/** What a counter or gauge of this listener says now. */
export const valueOf = <Input, State extends { readonly count: number } | { readonly value: number }>(
  metric: Metric.Metric<Input, State>,
  attributes: Attributes
): Effect.Effect<number> =>
  Effect.map(
    Metric.value(Metric.withAttributes(metric, attributes)),
    (state) => "count" in state ? state.count : state.value
  )

/** All that one scrape says of a listener, taken in one go, and the sums it must keep to. */
export const scrape = (listener: string) =>
  Effect.map(Effect.context<never>(), (context: Context.Context<never>) => {
    const series = Metric.snapshotUnsafe(context).filter((one) => one.attributes?.["listener"] === listener)
    const all = (metric: { readonly id: string }) => series.filter((one) => one.id === metric.id)
    const sum = (metric: { readonly id: string }) =>
      all(metric).reduce(
        (sum, one) =>
          sum + (one.type === "Counter" ? Number(one.state.count) : one.type === "Gauge" ? Number(one.state.value) : 0),
        0
      )
    const by = (metric: { readonly id: string }, attribute: string): { readonly [value: string]: number } =>
      Object.fromEntries(
        all(metric).flatMap((one) =>
          one.type === "Counter" && Number(one.state.count) > 0
            ? [[one.attributes?.[attribute] ?? "", Number(one.state.count)]]
            : []
        )
      )
    const [durations] = all(ListenerMetrics.exchangeDuration)
    const timed = durations?.type === "Histogram" ? durations.state.count : 0
    return {
      accepted: sum(ListenerMetrics.connectionsAccepted),
      open: sum(ListenerMetrics.connectionsOpen),
      queued: sum(ListenerMetrics.connectionsQueued),
      ended: sum(ListenerMetrics.connectionsEnded),
      endedBy: by(ListenerMetrics.connectionsEnded, "reason"),
      refusedBy: by(ListenerMetrics.connectionsRefused, "reason"),
      closes: by(ListenerMetrics.closes, "outcome"),
      acceptErrors: by(ListenerMetrics.acceptErrors, "code"),
      exchanges: sum(ListenerMetrics.exchanges),
      exchangesOpen: sum(ListenerMetrics.exchangesOpen),
      exchangesTimed: timed,
      requestsRefused: sum(ListenerMetrics.requestsRefused),
      swept: sum(ListenerMetrics.swept),
      leftBehind: sum(ListenerMetrics.handlersLeftBehind),
      drainSeconds: sum(ListenerMetrics.drainDuration),
      drainStage: sum(ListenerMetrics.drainStage),
      drainRemaining: sum(ListenerMetrics.drainRemaining),
      ready: sum(ListenerMetrics.ready)
    }
  })
