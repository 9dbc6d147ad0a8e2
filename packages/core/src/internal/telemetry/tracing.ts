/**
 * Spans of what is not one effect of one fiber: a connection from accept to end,
 * an exchange of callback code, a close that runs by itself.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type * as Tracer from "effect/Tracer"
import { call, type ForeignOwner } from "../util/foreign.ts"

/** What spans are made with: the tracer and its settings are those where the listener was made. */
export interface Tracing {
  readonly context: Context.Context<never>
  readonly clock: Clock.Clock
}

export interface ConnectionTracing extends Tracing {
  readonly connections: boolean
  readonly exchanges: boolean
}

export const startSpan = (
  { context }: Tracing,
  name: string,
  options: Tracer.SpanOptionsNoTrace
): Tracer.Span => Effect.runSyncWith(context)(Effect.makeSpan(name, options))

export const endSpan = ({ clock, context }: Tracing, span: Tracer.Span, exit: Exit.Exit<unknown, unknown>): void => {
  const timed = Context.get(context, References.TracerTimingEnabled)
  span.end(timed ? clock.currentTimeNanosUnsafe() : 0n, exit)
}

/**
 * Work within a span, with the tracer and below the span of the fiber that does it: `Effect.useSpan`, but that a tracer
 * that throws keeps no work from being done.
 */
export const useSpan = <A, E, R>(
  owner: ForeignOwner,
  name: string,
  options: Tracer.SpanOptionsNoTrace,
  work: (span: Tracer.Span | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber(({ context }) => {
    const tracing = { context, clock: Context.get(context, Clock.Clock) }
    const span = call(owner, "tracer", () => startSpan(tracing, name, options), undefined)
    if (span === undefined) return work(span)
    return Effect.onExit(
      work(span),
      (exit) => Effect.sync(() => call(owner, "tracer", () => endSpan(tracing, span, exit), undefined))
    )
  })

/** The span of a close: below that of its caller, not of the maker of the listener. */
export const startCloseSpan = (
  tracing: Tracing,
  name: string,
  attributes: Record<string, unknown>,
  parent: Option.Option<Tracer.AnySpan>
): Tracer.Span =>
  startSpan(
    tracing,
    name,
    Option.match(parent, {
      onNone: () => ({ attributes, root: true }),
      onSome: (parent) => ({ attributes, parent })
    })
  )
