/**
 * Laws as checks, one by one or as tests of vitest, whatever they are about.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Vitest from "vitest"
import { runCheck } from "./runCheck.ts"

/** One thing a law demands of a subject. */
export interface Demand<Subject> {
  readonly about: string
  readonly name: string
  readonly run: (subject: Subject) => Effect.Effect<void, unknown, Scope.Scope>
}

export interface Law<Subject> {
  readonly number: number
  readonly name: string
  readonly checks: ReadonlyArray<Demand<Subject>>
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

type Make<Subject> = Effect.Effect<Subject, unknown, Scope.Scope>

/** A demand that makes its subject, and says which law it is of. */
export interface Check<Subject> {
  readonly law: number
  readonly lawName: string
  readonly about: string
  readonly name: string
  readonly run: (make: Make<Subject>, options?: Options) => Effect.Effect<void, LawBroken>
}

const defaultTimeout = 30_000

export const checksOf = <Subject>(laws: ReadonlyArray<Law<Subject>>): ReadonlyArray<Check<Subject>> =>
  laws.flatMap((law) =>
    law.checks.map(({ about, name, run }): Check<Subject> => {
      const named = { law: law.number, lawName: law.name, about, name }
      return {
        ...named,
        run: (make, options) =>
          Effect.flatMap(
            runCheck(run, make, options?.timeout ?? defaultTimeout),
            Option.match({
              onNone: () => Effect.void,
              onSome: (detail) => new LawBroken({ ...named, detail })
            })
          )
      }
    })
  )

/** Runs them one after another, and gives what is broken. */
export const runAll = <Subject>(
  checks: ReadonlyArray<Check<Subject>>,
  make: Make<Subject>,
  options: Options | undefined
): Effect.Effect<ReadonlyArray<LawBroken>> =>
  Effect.map(
    Effect.forEach(checks, (check) => Effect.flip(check.run(make, options)).pipe(Effect.option)),
    (broken) => broken.flatMap(Option.toArray)
  )

/** Registers them as tests of vitest, each under its law. */
export const registerAll = <Subject>(
  checks: ReadonlyArray<Check<Subject>>,
  name: string,
  make: Make<Subject>,
  options: Options & { readonly concurrent?: boolean | undefined } | undefined
): void => {
  const timeout = options?.timeout ?? defaultTimeout
  const laws = Map.groupBy(checks, ({ law, lawName }) => `law ${law}: ${lawName}`)
  Vitest.describe(name, { concurrent: options?.concurrent ?? false }, () => {
    for (const [law, demanded] of laws) {
      Vitest.describe(law, () => {
        for (const check of demanded) {
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
