/**
 * The contract of a `DatagramTransport`, as tests that any transport can run:
 * the laws of `TransportLaws`, as far as they are about datagrams.
 *
 * Each law is a handful of checks that bind the transport, send to it from real
 * clients, and look at what they see, in real time. `suite` registers them with
 * vitest, `check` runs them without.
 *
 * It imports vitest, so it is a module of its own:
 * `import * as DatagramLaws from "@effect-listener/testing/DatagramLaws"`.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { laws } from "./internal/datagramLaws/index.ts"
import type { Subject } from "./internal/datagramLaws/subject.ts"
import { checksOf, type LawBroken, type Options, registerAll, runAll } from "./internal/laws/lawSuite.ts"

export type { Client, Subject } from "./internal/datagramLaws/subject.ts"

/**
 * Makes what is checked, anew for each check.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type MakeSubject = Effect.Effect<Subject, unknown, Scope.Scope>

/**
 * One thing that a law demands, as in `TransportLaws`.
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
 * import * as DatagramLaws from "@effect-listener/testing/DatagramLaws"
 * import { Effect } from "effect"
 *
 * const subject = Effect.map(
 *   MemoryTransport.datagrams(),
 *   (transport) => ({ transport, client: transport.client, held: transport.open })
 * )
 *
 * console.log(await Effect.runPromise(DatagramLaws.check(subject))) // => []
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
 * `concurrent`: whether some of them run at the same time. Default `false`.
 *
 * **Example** (The laws of a transport of one's own)
 *
 * ```ts no-run: a vitest suite
 * import { MemoryTransport } from "@effect-listener/testing"
 * import * as DatagramLaws from "@effect-listener/testing/DatagramLaws"
 * import { Effect } from "effect"
 *
 * DatagramLaws.suite(
 *   "memory",
 *   Effect.map(MemoryTransport.datagrams(), (transport) => ({ transport, client: transport.client }))
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
