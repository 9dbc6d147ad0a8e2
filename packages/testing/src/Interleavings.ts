/**
 * Explores the interleavings of a program's fibers: it runs the program again
 * and again, each time in another order, and reports the first order in which
 * it fails, deadlocks or leaves a fiber behind, with a string that repeats it.
 *
 * A test that runs a concurrent program once has tested one order, and always
 * the same one: Effect's scheduler is first come, first served, and lets a
 * fiber run 2048 operations before it asks it to yield. The bug is in the
 * order that production takes once in a million times. Here every run is under
 * control, so that the orders can be enumerated.
 *
 * **Example** (A lost update)
 *
 * ```ts
 * import { Interleavings } from "@effect-listener/testing"
 * import { Effect, Option, Ref } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const counter = yield* Ref.make(0)
 *   const increment = Effect.gen(function*() {
 *     const value = yield* Ref.get(counter)
 *     yield* Ref.set(counter, value + 1)
 *   })
 *   yield* Effect.all([increment, increment], { concurrency: 2 })
 *   const value = yield* Ref.get(counter)
 *   if (value !== 2) return yield* Effect.fail(`counted ${value}`)
 * })
 *
 * const report = await Effect.runPromise(Interleavings.explore(program))
 * console.log(report.schedules) // => 8
 * const { kind, schedule } = Option.getOrThrow(report.finding)
 * console.log(kind, schedule) // => Failure 7
 *
 * // the same order again, in this process or another
 * const again = await Effect.runPromise(Interleavings.explore(program, { schedule }))
 * console.log(Option.isSome(again.finding)) // => true
 * ```
 *
 * The finding's message shows that order, each fiber at the line of its last
 * `yield*`:
 *
 * ```text
 * Failure: Error: counted 1
 *
 * The schedule 7:
 *
 *   main     counter.ts:5:28   () => makeUnsafe(value)
 *   main     counter.ts:10:10  Effect.all
 *   fiber 1  counter.ts:7:26   () => self.ref.current
 *   -------- held back inside the other's operation (choice 7)
 *   fiber 2  counter.ts:7:26   () => self.ref.current
 *   fiber 2  counter.ts:8:12   () => MutableRef.set(self.ref, value) · ends
 *   fiber 1  counter.ts:8:12   () => MutableRef.set(self.ref, value) · ends
 *   main     counter.ts:11:24  () => self.ref.current
 *   main     counter.ts:12:36  fail ×2 · fails
 *
 * To repeat it: INTERLEAVINGS_SCHEDULE=7
 * ```
 *
 * **What is controlled**
 *
 * - Which of the fibers that are ready runs next, before which of its
 *   operations a running one is preempted, and whether a fiber that another one
 *   resumes runs at once, as it does in Effect, or later.
 * - The `Clock`: time starts at 0, stands still while anything can run and then
 *   jumps to the next timer. Timers due at the same time fire in any order.
 * - `Random`, which is seeded, and the loggers, whose lines go to the trace of
 *   the run that failed instead of the console, ten thousand times.
 * - Outside events, if they are posted by `environment`: each comes at any
 *   moment. Two events are independent; where one cannot come before another,
 *   the first posts the second.
 *
 * **What is not**
 *
 * - Real sockets, timers and promises. A run is synchronous from its start to
 *   its end, so what only they would resume is never resumed, and shows as a
 *   deadlock or a leak. Replace them with a fake that posts its events.
 * - What JavaScript does between two operations: the body of an `Effect.sync`,
 *   and a generator's code between one `yield*` and the next, are atomic, as
 *   they are in Effect. So is `Effect.runSync` inside a fiber.
 * - `Date.now`, `Math.random`, and whatever lives longer than a run. A program
 *   has to make its state itself, inside the effect; when the same choices lead
 *   to another run, that is a finding of its own, `NonDeterminism`.
 * - A program that brings its own `Tracer` hides its operations, and fails.
 *
 * **Why a finding is real**
 *
 * It is no model that failed but the program, on Effect's own fibers, in one
 * particular order. Each step of that order is one that Effect leaves open: a
 * `Scheduler` may ask a fiber to yield before any operation and run what is
 * ready in any order, and an outside event comes when it comes. The stock
 * scheduler takes most of them rarely, some of them never until a window
 * happens to meet its 2048th operation; one that looks at the time, or another
 * version, takes others.
 *
 * **What no finding means**
 *
 * When `exhaustive` is true, no order with at most `bound` preemptions has one;
 * most concurrency bugs need one or two. Otherwise it means that it was not
 * found in so many schedules. The number of schedules grows fast: keep programs
 * small, and put what needs no exploring, such as the set-up, in
 * {@link atomic}.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as exploration from "./internal/interleavings/explore.ts"
import { assertSupported } from "./internal/interleavings/primitives.ts"
import { AtomicFiber } from "./internal/interleavings/run.ts"
import * as schedules from "./internal/interleavings/schedule.ts"
import type { Budget } from "./internal/interleavings/schedules.ts"
import type { Settings } from "./internal/interleavings/types.ts"

/**
 * What was found.
 *
 * **Details**
 *
 * - `Failure`: the program failed or died, or a callback or event threw.
 * - `Deadlock`: nothing more can run, and the program has not ended.
 * - `LeakedFiber`: the program has ended, and a fiber is left that is suspended
 *   for ever, or runs for ever.
 * - `NonDeterminism`: the same choices led to another run, so that nothing that
 *   was found could be trusted.
 * - `Spin`: no end after `maxSteps` operations.
 *
 * `message` says what failed, where every suspended fiber waits, and shows the
 * run: which fiber did what, at the line of its last `yield*` or, in brackets, where it
 * was forked. `schedule` repeats it, as `schedule` of {@link Options} or as the
 * environment variable `INTERLEAVINGS_SCHEDULE`.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Finding {
  readonly kind: "Failure" | "Deadlock" | "LeakedFiber" | "NonDeterminism" | "Spin"
  readonly message: string
  readonly schedule: string
}

/**
 * What an exploration did and found.
 *
 * **Details**
 *
 * - `schedules`: how many were run, up to the one that failed. Deepening runs
 *   those with few preemptions again; what shrinking takes does not count.
 * - `exhaustive`: every schedule with at most `bound` preemptions was run, or
 *   every one there is. False as soon as there is a finding.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly schedules: number
  readonly exhaustive: boolean
  readonly finding: Option.Option<Finding>
}

/**
 * Adds an outside event, which is called at a moment that is explored.
 *
 * **Details**
 *
 * It can be called at any time in a run: by `environment` at its start, by an
 * event, or by a fake that the program uses.
 *
 * **Example** (A message that comes before or after the timeout)
 *
 * ```ts
 * import { Interleavings } from "@effect-listener/testing"
 * import { Deferred, Effect, Exit } from "effect"
 *
 * let message = Deferred.makeUnsafe<string>()
 *
 * const program = Effect.suspend(() => Effect.timeoutOption(Deferred.await(message), "1 second"))
 *
 * const report = await Effect.runPromise(Interleavings.explore(program, {
 *   environment: (post) => {
 *     message = Deferred.makeUnsafe()
 *     post(() => Deferred.doneUnsafe(message, Exit.succeed("hello")))
 *   }
 * }))
 * console.log(Interleavings.format(report)) // => … schedules, exhaustive: no finding
 * ```
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Post = (event: () => void) => void

/**
 * Options of {@link explore}.
 *
 * **Details**
 *
 * - `strategy`: `"bounded"` enumerates the schedules with 0, then 1, … up to
 *   `bound` preemptions, depth first. `"random"` takes each choice by chance.
 *   `"pct"` gives fibers random priorities that change at a few random points,
 *   which finds narrow windows in long programs. By default all three: bounded
 *   with at most half of `maxSchedules`, the others in turn with the rest,
 *   unless the first has run every schedule there is.
 * - `bound`: preemptions in a schedule, for `"bounded"`; default 2. Choosing
 *   among fibers that are ready when nothing runs is no preemption, and not
 *   bounded. `Infinity` enumerates everything.
 * - `maxSchedules`: default 10,000.
 * - `seed`: of the random choices and of the program's `Random`; default 1.
 * - `schedule`: run this one alone. Where the program no longer offers a choice
 *   in it, the default is taken. Without it, the environment variable
 *   `INTERLEAVINGS_SCHEDULE`, where there is one: for every exploration of the
 *   process, so let it do no other.
 * - `points`: where a fiber can be preempted: before `"all"` its operations
 *   (default), or only before `"sync"` ones, `Effect.sync` and
 *   `Effect.callback`. That is far cheaper and finds less: fork, interruption,
 *   scopes and semaphores act in other operations.
 * - `environment`: called before each run with the function that posts outside
 *   events. Make the state that it shares with the program anew in there.
 * - `maxSteps`: operations of one run after which it counts as endless; default
 *   20,000.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly strategy?: "bounded" | "random" | "pct" | undefined
  readonly bound?: number | undefined
  readonly maxSchedules?: number | undefined
  readonly seed?: number | undefined
  readonly schedule?: string | undefined
  readonly points?: "all" | "sync" | undefined
  readonly environment?: ((post: Post) => void) | undefined
  readonly maxSteps?: number | undefined
}

/**
 * What {@link check} fails with: the finding's message, under a line that says
 * how it was found.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export class InterleavingError extends Data.TaggedError("InterleavingError")<{
  readonly report: Report
  readonly finding: Finding
}> {
  override get message(): string {
    return `${format(this.report)}\n\n${this.finding.message}`
  }
  /** Without frames of its own: where the exploration was called from says nothing, and the message has the failure's. */
  override readonly stack: string = `${this.name}: ${this.message}`
}

/**
 * Runs the program in one order after the other, until a finding or the end of
 * the budget.
 *
 * **Details**
 *
 * Each run is a fiber and a `Scope` of its own, with the caller's services and
 * references, and goes on after the program has ended until nothing can run. It
 * is the default schedule first: what the stock scheduler would do.
 *
 * A finding is replayed, and its schedule shortened as long as it leads to a
 * finding of the same kind. Between runs the event loop gets its turn, so that
 * an exploration can be interrupted.
 *
 * Dies when an option is out of range or `schedule` is not a schedule.
 *
 * @see {@link check} to fail when there is a finding
 * @stability experimental
 * @category running
 * @since 0.1.0
 */
export const explore = <A, E, R>(
  program: Effect.Effect<A, E, R>,
  options: Options = {}
): Effect.Effect<Report, never, Exclude<R, Scope.Scope>> =>
  Effect.contextWith((context: Context.Context<Exclude<R, Scope.Scope>>) => {
    assertSupported()
    const budget = budgetOf(options)
    const settings: Settings = {
      // its services are in `context`. Providing it would bring back the caller's clock and scheduler.
      program: Effect.scoped(program) as Effect.Effect<A, E>,
      context,
      points: options.points ?? "all",
      environment: options.environment,
      maxSteps: countOf("maxSteps", options.maxSteps ?? 20_000, 1),
      seed: budget.seed
    }
    const schedule = options.schedule ?? scheduleOfEnvironment()
    return schedule === undefined
      ? exploration.explore(settings, budget)
      : exploration.repeat(settings, schedules.parse(schedule))
  })

/**
 * `explore`, failing with an {@link InterleavingError} when there is a finding.
 *
 * @stability experimental
 * @category running
 * @since 0.1.0
 */
export const check = <A, E, R>(
  program: Effect.Effect<A, E, R>,
  options?: Options
): Effect.Effect<Report, InterleavingError, Exclude<R, Scope.Scope>> =>
  Effect.flatMap(explore(program, options), (report) =>
    Option.match(report.finding, {
      onNone: () => Effect.succeed(report),
      onSome: (finding) => Effect.fail(new InterleavingError({ report, finding }))
    }))

/**
 * Keeps the fiber that runs `effect` from being preempted in it.
 *
 * **Details**
 *
 * For what needs no exploring, such as a set-up or a check at the end: it takes
 * nothing from what is found elsewhere and saves its schedules. The fiber can
 * still suspend itself, and the fibers it forks are explored as ever. Does
 * nothing outside an exploration.
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const atomic = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => Effect.provideService(effect, AtomicFiber, fiber))

/**
 * A report in one line: `412 schedules, exhaustive: no finding`.
 *
 * @stability experimental
 * @category converting
 * @since 0.1.0
 */
export const format = (report: Report): string => {
  const count = `${report.schedules} ${report.schedules === 1 ? "schedule" : "schedules"}`
  return Option.match(report.finding, {
    onNone: () => `${count}, ${report.exhaustive ? "exhaustive" : "not exhaustive"}: no finding`,
    onSome: ({ kind }) => `${count}: ${kind}`
  })
}

// --- Internal -------------------------------------------------------------------------------------------------------

const budgetOf = (options: Options): Budget => ({
  strategy: options.strategy ?? "all",
  bound: countOf("bound", options.bound ?? 2, 0),
  maxSchedules: countOf("maxSchedules", options.maxSchedules ?? 10_000, 1),
  seed: options.seed ?? 1
})

const countOf = (name: string, value: number, least: number): number => {
  if (value === Infinity || Number.isInteger(value) && value >= least) return value
  throw new RangeError(`Interleavings: ${name} must be an integer of at least ${least}, or Infinity, not ${value}`)
}

/** Left out or empty, there is none: a shell has no other way to unset it for one command. */
const scheduleOfEnvironment = (): string | undefined => globalThis.process?.env?.INTERLEAVINGS_SCHEDULE || undefined
