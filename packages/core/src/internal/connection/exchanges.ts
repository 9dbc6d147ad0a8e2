/**
 * What is in flight on a connection, from its begin to its end.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Tracer from "effect/Tracer"
import type { ConnectionImpl } from "./connection.ts"
import { endExchangeSpan, exchangeSpan } from "./spans.ts"

export interface Exchange {
  readonly label: string
  readonly since: number
  readonly span: Tracer.Span | undefined
  /** The fiber that began it; `undefined` where callback code did. */
  readonly fiber: Fiber.Fiber<unknown, unknown> | undefined
}

/** Opens an exchange; the result ends it. */
export const openExchange = (
  connection: ConnectionImpl,
  label: string,
  span: Tracer.Span | undefined
): () => void => {
  const exchange: Exchange = { label, since: connection.host.now(), span, fiber: Fiber.getCurrent() }
  const open = connection.exchanges ??= new Set()
  open.add(exchange)
  connection.host.counts.exchanges++
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
    const traced = connection.host.tracing.exchanges
      // the span that is provided is nothing the caller could provide
      ? Effect.withSpan(work, "Listener.exchange", exchangeSpan(connection, label)) as typeof work
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
  const now = connection.host.now()
  for (const exchange of open) ended(connection, exchange, now)
  open.clear()
}

const ended = (connection: ConnectionImpl, { since, span }: Exchange, now: number): void => {
  connection.host.counts.exchangeEnded(now - since)
  if (span !== undefined) endExchangeSpan(connection, span)
}
