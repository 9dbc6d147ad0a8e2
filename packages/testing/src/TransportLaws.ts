/**
 * The contract of a `Transport`, as tests that anybody's transport can run.
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
import type { Transport } from "@effect-listener/core/Transport"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Vitest from "vitest"
import { laws as lawsWithChecks } from "./internal/laws/index.ts"
import { runCheck } from "./internal/laws/runCheck.ts"

/**
 * A client of the transport, as the checks use it.
 *
 * **Details**
 *
 * - `write`: completes when the bytes are on the server's machine or the peer
 *   holds them back; fails when the connection does not take them any more.
 * - `read`: the next bytes, at least one. Reads nothing before it is asked, so
 *   that a client that does not read holds the server back. Fails when the
 *   server has ended the connection and all before that was read, and when the
 *   connection was reset.
 * - `end`: ends the writing side (FIN); reading goes on.
 * - `reset`: breaks the connection off.
 * - `ended`: how the server ended the connection. Asked only when all was read.
 *
 * The client of a `MemoryTransport` is one.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Client {
  readonly write: (data: Uint8Array) => Effect.Effect<void, unknown>
  readonly read: Effect.Effect<Uint8Array, unknown>
  readonly end: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
  readonly ended: Effect.Effect<"Fin" | "Reset">
}

/**
 * A transport to be checked, and how to connect to it.
 *
 * **Details**
 *
 * - `transport`: one whose address is free and stays the same when it is bound
 *   again.
 * - `connect`: a client, as soon as it is in the accept queue; fails where
 *   nobody listens. Its scope closes it.
 * - `fill`: so many clients in the accept queue before the transport had a
 *   chance to look: for sockets, without a turn of the event loop in between.
 *   Default: so many times `connect`.
 * - `held`: how many connections the transport holds now; what it has released
 *   must not be among them. Default: not looked at.
 * - `resets`: whether a client sees that a connection was cut and not ended.
 *   Default `true`; there is no reset on Unix sockets.
 * - `halfOpen`: whether one side can be ended alone. Default `true`.
 * - `holder`: the address as another process has it that holds the same listening
 *   socket: a client that is not accepted waits for whoever binds next. Default:
 *   there is none, and leaving the queue is not looked at.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Subject {
  readonly transport: Transport
  readonly connect: Effect.Effect<Client, unknown, Scope.Scope>
  readonly fill?: ((clients: number) => Effect.Effect<ReadonlyArray<Client>, unknown, Scope.Scope>) | undefined
  readonly held?: Effect.Effect<number> | undefined
  readonly resets?: boolean | undefined
  readonly halfOpen?: boolean | undefined
  readonly holder?: Pick<Subject, "transport" | "connect"> | undefined
}

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

/**
 * How the checks are run.
 *
 * **Details**
 *
 * `timeout`: how long one check may take, in milliseconds. Default 30,000.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly timeout?: number | undefined
}

/**
 * A transport does not keep a law: which one, and what was seen.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class LawBroken extends Data.TaggedError("LawBroken")<{
  readonly law: number
  readonly lawName: string
  readonly about: string
  readonly name: string
  readonly detail: string
}> {
  override get message(): string {
    return `law ${this.law} (${this.lawName}): ${this.about}: ${this.name}: ${this.detail}`
  }
}

const defaultTimeout = 30_000

/**
 * All that the laws demand, law by law.
 *
 * @stability experimental
 * @category laws
 * @since 0.1.0
 */
export const checks: ReadonlyArray<Check> = lawsWithChecks.flatMap((law) =>
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
  Effect.map(
    Effect.forEach(checks, (check) => Effect.flip(check.run(make, options)).pipe(Effect.option)),
    (broken) => broken.flatMap(Option.toArray)
  )

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
): void => {
  const timeout = options?.timeout ?? defaultTimeout
  Vitest.describe(name, { concurrent: options?.concurrent ?? false }, () => {
    for (const { name: lawName, number } of lawsWithChecks) {
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
