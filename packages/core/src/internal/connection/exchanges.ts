/**
 * What is in flight on a connection, from its begin to its end.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Tracer from "effect/Tracer"
import { useSpan } from "../telemetry/tracing.ts"
import type { ConnectionImpl } from "./connection.ts"
import { endExchangeSpan, exchangeSpan } from "./spans.ts"

export interface Exchange {
  readonly label: string
  readonly since: number
  /** How many its listener had begun when it began. */
  readonly ordinal: number
  readonly span: Tracer.Span | undefined
  /** The fiber that began it; `undefined` where callback code did. */
  readonly fiber: Fiber.Fiber<unknown, unknown> | undefined
  onEnd: (() => void) | undefined
}

/** Opens an exchange; the result ends it. */
export const openExchange = (
  connection: ConnectionImpl,
  label: string,
  span: Tracer.Span | undefined
): () => void => {
  const { context } = connection
  const exchange: Exchange = {
    // a caller without types is told now of what no report could show
    label: String(label),
    since: context.now(),
    ordinal: ++context.counts.exchanges,
    span,
    fiber: Fiber.getCurrent(),
    onEnd: undefined
  }
  const open = connection.exchanges ??= new Set()
  open.add(exchange)
  connection.activity++
  connection.used = true
  if (connection.mode === "handler") connection.mode = "pull"
  return () => {
    if (!open.delete(exchange)) return
    connection.touch()
    ended(connection, exchange, connection.lastActive)
    connection.rechecked()
  }
}

/** Does work as one exchange. */
export const runExchange = <A, E, R>(
  connection: ConnectionImpl,
  label: string,
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const end = openExchange(connection, label, undefined)
    const traced = connection.context.tracing.exchanges
      ? useSpan(connection, "Listener.exchange", exchangeSpan(connection, label), (span) =>
        // the span is provided here, so the caller's requirements stay as they are
        span === undefined ? work : Effect.withParentSpan(work, span) as typeof work)
      : work
    return Effect.onExit(traced, () => {
      end()
      return Effect.void
    })
  })

/** Ends those that are open: their connection ends. */
export const endExchanges = (connection: ConnectionImpl): void => {
  const open = connection.exchanges
  connection.exchanges = undefined
  if (open === undefined || open.size === 0) return
  const now = connection.context.now()
  for (const exchange of open) ended(connection, exchange, now)
  open.clear()
}

const ended = (connection: ConnectionImpl, { onEnd, since, span }: Exchange, now: number): void => {
  connection.context.counts.exchangeEnded(now - since)
  if (span !== undefined) endExchangeSpan(connection, span)
  onEnd?.()
}

/** The ordinal of the one that has been open for longest; `Infinity` where none is. */
export const oldestOpen = ({ exchanges }: ConnectionImpl): number => {
  // a set keeps its members in the order in which they came
  const oldest = exchanges?.values().next()
  return oldest === undefined || oldest.done === true ? Infinity : oldest.value.ordinal
}

/** Waits for those that other fibers have begun than the connection's own; nothing where there are none. */
export const othersEnd = ({ exchanges, fiber: own }: ConnectionImpl): Effect.Effect<void> | undefined => {
  const others = Array.from(exchanges ?? []).filter(({ fiber }) => fiber !== undefined && fiber !== own)
  return others.length === 0 ? undefined : Effect.callback((resume) => {
    let left = others.length
    const onEnd = () => {
      if (--left === 0) resume(Effect.void)
    }
    for (const exchange of others) exchange.onEnd = onEnd
  })
}
