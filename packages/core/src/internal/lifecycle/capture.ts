import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"

/** A handler and the context it was given in, but for the scope, which each run brings. */
export interface Captured<Args extends ReadonlyArray<unknown>, E> {
  readonly handler: (...args: Args) => Effect.Effect<unknown, E, Scope.Scope>
  readonly context: Context.Context<never>
}

export const capture = <Args extends ReadonlyArray<unknown>, E, R>(
  handler: (...args: Args) => Effect.Effect<unknown, E, R>
): Effect.Effect<Captured<Args, E>, never, Exclude<R, Scope.Scope>> =>
  Effect.map(Effect.context<Exclude<R, Scope.Scope>>(), (context) => ({
    // the context has everything else that it needs
    handler: handler as (...args: Args) => Effect.Effect<unknown, E, Scope.Scope>,
    context: Context.omit(Scope.Scope)(context) as Context.Context<never>
  }))
