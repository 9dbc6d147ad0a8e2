import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import { describeCause, exitWithin } from "./kit/expect.ts"

/**
 * What is broken of one thing that a law demands, in words. Runs in fibers that
 * are left behind when they do not end, because a broken transport may not let
 * them.
 */
export const runCheck = <Subject>(
  run: (subject: Subject) => Effect.Effect<void, unknown, Scope.Scope>,
  make: Effect.Effect<Subject, unknown, Scope.Scope>,
  timeout: number
): Effect.Effect<Option.Option<string>> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const body = Effect.flatMap(make, run).pipe(
      Effect.provideService(Scope.Scope, scope),
      Effect.provideService(References.MinimumLogLevel, "None")
    )
    const exit = yield* exitWithin(body, timeout)
    const closing = exitWithin(Scope.close(scope, Option.getOrElse(exit, () => Exit.void)), timeout)
    if (Option.isNone(exit)) {
      yield* Effect.forkDetach(closing)
      return Option.some(`not done within ${timeout} ms`)
    }
    if (Exit.isFailure(exit.value)) {
      yield* Effect.forkDetach(closing)
      return Option.some(describeCause(exit.value.cause))
    }
    const closed = yield* closing
    if (Option.isNone(closed)) return Option.some(`what it had opened is not closed within ${timeout} ms`)
    return Exit.isFailure(closed.value)
      ? Option.some(`closing what it had opened: ${describeCause(closed.value.cause)}`)
      : Option.none()
  })
