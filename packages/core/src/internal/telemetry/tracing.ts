/**
 * Spans of what is not one effect of one fiber: a connection from accept to end,
 * an exchange of callback code, a close that runs by itself.
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type * as Tracer from "effect/Tracer"

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
