/**
 * The contract of a `Transport`, as tests that any transport can run.
 *
 * The laws are those of a listener's lifetime: what was accepted is served,
 * what was executed is answered, what was begun is delivered, nothing is left,
 * nothing takes longer than it may, nothing waits for what is idle, and
 * whatever goes wrong has a name. Each is a handful of checks that bind the
 * transport, connect real clients to it, and look at what they see, in real
 * time. `suite` registers them with vitest, `check` runs them without.
 *
 * It imports vitest, so it is a module of its own:
 * `import * as TransportLaws from "@effect-listener/testing/TransportLaws"`.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { laws } from "./internal/laws/index.ts"
import { checksOf, type LawBroken, type Options, registerAll, runAll } from "./internal/laws/lawSuite.ts"
import type { Subject } from "./internal/laws/subject.ts"

export type { Client, Subject } from "./internal/laws/subject.ts"

/**
 * Makes what is checked, anew for each check.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type MakeSubject = Effect.Effect<Subject, unknown, Scope.Scope>

/**
 * One thing that a law demands.
 *
 * **Details**
 *
 * `law` and `lawName` say which law it is part of, `about` what it looks at
 * (accept, interruption, sweep, drain, flush, linger, deadline, abort, leaks,
 * errors, state table), `name` what must hold. `run` succeeds when it does and
 * ends within `options.timeout`.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Check {
  readonly law: number
  readonly lawName: string
  readonly about: string
  readonly name: string
  readonly run: (make: MakeSubject, options?: Options) => Effect.Effect<void, LawBroken>
}

export { LawBroken, type Options } from "./internal/laws/lawSuite.ts"

/**
 * All that the laws demand, law by law.
 *
 * @stability experimental
 * @category laws
 * @since 0.1.0
 */
export const checks: ReadonlyArray<Check> = checksOf(laws)

/**
 * Runs every check, one after another, and gives what is broken.
 *
 * **Example** (A transport that keeps the laws)
 *
 * ```ts
 * import { MemoryTransport } from "@effect-listener/testing"
 * import * as TransportLaws from "@effect-listener/testing/TransportLaws"
 * import { Effect } from "effect"
 *
 * const subject = Effect.map(
 *   MemoryTransport.make(),
 *   (transport) => ({ transport, connect: transport.connect, held: transport.open })
 * )
 *
 * console.log(await Effect.runPromise(TransportLaws.check(subject))) // => []
 * ```
 *
 * @see {@link suite} for the same as tests
 * @stability experimental
 * @category laws
 * @since 0.1.0
 */
export const check = (make: MakeSubject, options?: Options): Effect.Effect<ReadonlyArray<LawBroken>> =>
  runAll(checks, make, options)

/**
 * Registers every check as a test of vitest, under its law's number and name.
 *
 * **Details**
 *
 * `concurrent`: whether some of them run at the same time, which is shorter
 * where time passes only in waiting. Default `false`.
 *
 * **Example** (The laws of a transport of one's own)
 *
 * ```ts no-run: a vitest suite
 * import { MemoryTransport } from "@effect-listener/testing"
 * import * as TransportLaws from "@effect-listener/testing/TransportLaws"
 * import { Effect } from "effect"
 *
 * TransportLaws.suite(
 *   "memory",
 *   Effect.map(MemoryTransport.make(), (transport) => ({ transport, connect: transport.connect }))
 * )
 * ```
 *
 * @see {@link check} for the same without vitest
 * @stability experimental
 * @category laws
 * @since 0.1.0
 */
export const suite = (
  name: string,
  make: MakeSubject,
  options?: Options & { readonly concurrent?: boolean | undefined }
): void => registerAll(checks, name, make, options)
