/**
 * What must hold, within which time, and how a failure reads.
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

/** What a check found, in words. */
export class Broken extends Data.TaggedError("Broken")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

/** How late a machine may be beyond a stated bound, in milliseconds. */
export const late = 2000

/** Long enough for a wait to be noticed, in milliseconds. */
export const tooLong = 60_000

export const ensure = (condition: boolean, detail: string): Effect.Effect<void, Broken> =>
  condition ? Effect.void : Effect.fail(new Broken({ detail }))

export const ensureEquals = <A>(actual: A, expected: A, what: string): Effect.Effect<void, Broken> =>
  ensure(
    Formatter.format(actual) === Formatter.format(expected),
    `${what}: expected ${Formatter.format(expected)}, got ${Formatter.format(actual)}`
  )

/** Any failure is a broken law; what it was is said. */
export const orBroken = <A, E, R>(effect: Effect.Effect<A, E, R>, what: string): Effect.Effect<A, Broken, R> =>
  Effect.catchCause(effect, (cause) =>
    Cause.hasInterruptsOnly(cause)
      ? Effect.interrupt
      : Effect.fail(new Broken({ detail: `${what}: ${describeCause(cause)}` })))

/** Failures in one line, without their stacks. */
export const describeCause = (cause: Cause.Cause<unknown>): string =>
  cause.reasons.map((reason) =>
    Cause.isFailReason(reason)
      ? describe(reason.error)
      : Cause.isDieReason(reason)
      ? `died with ${describe(reason.defect)}`
      : "interrupted"
  ).join(", ")

export const describe = (error: unknown): string => {
  if (error instanceof Broken) return error.detail
  const tag = Predicate.hasProperty(error, "_tag") ? String(error._tag) : undefined
  return error instanceof Error ? `${tag ?? error.name} (${error.message})` : tag ?? Formatter.format(error)
}

/**
 * Waits for an effect in a fiber of its own, so that one that can be neither
 * completed nor interrupted is reported and not waited for.
 */
export const exitWithin = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  millis: number
): Effect.Effect<Option.Option<Exit.Exit<A, E>>, never, R> =>
  Effect.flatMap(
    Effect.forkDetach(effect, { startImmediately: true }),
    (fiber) =>
      Effect.raceFirst(Effect.asSome(Fiber.await(fiber)), Effect.as(ownTime(millis), Option.none())).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            if (Exit.isFailure(exit) || Option.isNone(exit.value)) fiber.interruptUnsafe()
          })
        )
      )
  )

/** Time is counted in steps of this many milliseconds. */
const tick = 50

/**
 * Passes as time does for this process: one that stands still, because others have
 * the processors, is late by one tick and not by all that it stood.
 */
const ownTime = (millis: number): Effect.Effect<void> =>
  Effect.asVoid(
    Effect.repeat(Effect.sleep(Math.min(tick, millis)), { times: Math.max(0, Math.ceil(millis / tick) - 1) })
  )

/** Fails when the effect takes longer, in the time of this process. */
export const within = <A, E, R>(
  what: string,
  effect: Effect.Effect<A, E, R>,
  millis: number = late
): Effect.Effect<A, E | Broken, R> =>
  Effect.flatMap(
    exitWithin(effect, millis),
    Option.match({
      onNone: (): Effect.Effect<A, E | Broken> =>
        Effect.fail(new Broken({ detail: `${what}: not within ${millis} ms` })),
      onSome: (exit) => exit
    })
  )

/** Waits, where nothing can be awaited, until a condition holds. */
export const until = (
  what: string,
  condition: Effect.Effect<boolean, Broken>,
  millis: number = late
): Effect.Effect<void, Broken> =>
  within(
    what,
    Effect.gen(function*() {
      while (!(yield* condition)) yield* Effect.sleep(5)
    }),
    millis
  )

/** Runs in a fiber that has already started. */
export const start = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Fiber.Fiber<A, E>, never, R> =>
  Effect.forkChild(effect, { startImmediately: true })

/** Some turns of the event loop, each with time to read in it. */
export const turns = (count: number): Effect.Effect<void> => Effect.repeat(Effect.sleep(1), { times: count - 1 })

/**
 * A moment after something was begun, another one for each `i`: at once, a few
 * steps of other fibers later, or a turn of the event loop later.
 */
export const moment = (i: number): Effect.Effect<void> =>
  i % 4 === 3 ? Effect.sleep(i % 3) : i % 4 === 0 ? Effect.void : Effect.repeat(Effect.yieldNow, { times: i % 7 })

/** The same so many times at once. */
export const many = <A, E, R>(count: number, effect: (index: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(Array.from({ length: count }, (_, index) => index), effect, { concurrency: "unbounded" })
