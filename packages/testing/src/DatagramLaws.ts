/**
 * The contract of a `DatagramTransport`, as tests that anybody's transport can
 * run: the laws of `TransportLaws`, as far as they are about datagrams.
 *
 * Each law is a handful of checks that bind the transport, send to it from real
 * clients, and look at what they see, in real time. `suite` registers them with
 * vitest, `check` runs them without.
 *
 * It imports vitest, so it is a module of its own:
 * `import * as DatagramLaws from "@effect-listener/testing/DatagramLaws"`.
 *
 * @stability experimental
 * @since 0.2.0
 */
import type { DatagramTransport } from "@effect-listener/core/DatagramTransport"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Vitest from "vitest"
import { laws } from "./internal/datagramLaws/index.ts"
import { runCheck } from "./internal/laws/runCheck.ts"
import { LawBroken, type Options } from "./TransportLaws.ts"

/**
 * A client of the transport, as the checks use it.
 *
 * **Details**
 *
 * - `send`: completes when the datagram is on the server's machine.
 * - `fill`: sends so many before the transport has a chance to look: for sockets,
 *   without a turn of the event loop in between. Default: so many times `send`.
 * - `receive`: the next datagram that comes back.
 *
 * The client of `MemoryTransport.datagrams` is one.
 *
 * @stability experimental
 * @category models
 * @since 0.2.0
 */
export interface Client {
  readonly send: (payload: Uint8Array) => Effect.Effect<void, unknown>
  readonly fill?: ((payloads: ReadonlyArray<Uint8Array>) => Effect.Effect<void, unknown>) | undefined
  readonly receive: Effect.Effect<Uint8Array, unknown>
}

/**
 * A datagram transport to be checked, and how to send to it.
 *
 * **Details**
 *
 * - `transport`: one whose address is free and stays the same when it is bound
 *   again.
 * - `client`: a client, which its scope closes.
 * - `held`: how many sockets the transport holds now. Default: not looked at.
 * - `largest`: the most bytes that a datagram can have, as far as that is to be
 *   tried. Default: not tried.
 * - `tooLarge`: so many bytes that sending them fails. Default: not tried.
 *
 * @stability experimental
 * @category models
 * @since 0.2.0
 */
export interface Subject {
  readonly transport: DatagramTransport
  readonly client: Effect.Effect<Client, unknown, Scope.Scope>
  readonly held?: Effect.Effect<number> | undefined
  readonly largest?: number | undefined
  readonly tooLarge?: number | undefined
}

/**
 * Makes what is checked, anew for each check.
 *
 * @stability experimental
 * @category models
 * @since 0.2.0
 */
export type MakeSubject = Effect.Effect<Subject, unknown, Scope.Scope>

/**
 * One thing that a law demands, as in `TransportLaws`.
 *
 * @stability experimental
 * @category models
 * @since 0.2.0
 */
export interface Check {
  readonly law: number
  readonly lawName: string
  readonly about: string
  readonly name: string
  readonly run: (make: MakeSubject, options?: Options) => Effect.Effect<void, LawBroken>
}

const defaultTimeout = 30_000

/**
 * All that the laws demand, law by law.
 *
 * @stability experimental
 * @category laws
 * @since 0.2.0
 */
export const checks: ReadonlyArray<Check> = laws.flatMap((law) =>
  law.checks.map((check): Check => {
    const named = { law: law.number, lawName: law.name, about: check.about, name: check.name }
    return {
      ...named,
      run: (make, options) =>
        Effect.flatMap(
          runCheck(check.run, make, options?.timeout ?? defaultTimeout),
          Option.match({
            onNone: () => Effect.void,
            onSome: (detail) => new LawBroken({ ...named, detail })
          })
        )
    }
  })
)

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
 * @since 0.2.0
 */
export const check = (make: MakeSubject, options?: Options): Effect.Effect<ReadonlyArray<LawBroken>> =>
  Effect.map(
    Effect.forEach(checks, (check) => Effect.flip(check.run(make, options)).pipe(Effect.option)),
    (broken) => broken.flatMap(Option.toArray)
  )

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
 * @since 0.2.0
 */
export const suite = (
  name: string,
  make: MakeSubject,
  options?: Options & { readonly concurrent?: boolean | undefined }
): void => {
  const timeout = options?.timeout ?? defaultTimeout
  Vitest.describe(name, { concurrent: options?.concurrent ?? false }, () => {
    for (const { name: lawName, number } of laws) {
      Vitest.describe(`law ${number}: ${lawName}`, () => {
        for (const check of checks.filter((check) => check.law === number)) {
          // the check's own bound comes first, because it says what was not done
          Vitest.it(
            `${check.about}: ${check.name}`,
            { timeout: 3 * timeout },
            ({ signal }) => Effect.runPromise(check.run(make, options), { signal })
          )
        }
      })
    }
  })
}
