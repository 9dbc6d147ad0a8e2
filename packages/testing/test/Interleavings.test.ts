import * as Interleavings from "@effect-listener/testing/Interleavings"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as Semaphore from "effect/Semaphore"
import * as Tracer from "effect/Tracer"
import type { Schedule } from "../src/internal/interleavings/schedule.ts"
import * as schedules from "../src/internal/interleavings/schedule.ts"
import { shrink } from "../src/internal/interleavings/shrink.ts"
import { races } from "./support/races.ts"

class Limit extends Context.Service<Limit, number>()("test/Limit") {}

const findingOf = (report: Interleavings.Report): Interleavings.Finding =>
  Option.getOrThrowWith(report.finding, () => new Error(`expected a finding: ${Interleavings.format(report)}`))

const explored = (program: Effect.Effect<unknown, unknown>, options?: Interleavings.Options) =>
  Effect.map(Interleavings.explore(program, options), findingOf)

/** Every value that the program ends with in some schedule. */
const outcomes = Effect.fnUntraced(function*<A>(program: Effect.Effect<A>, options?: Interleavings.Options) {
  const seen = new Set<A>()
  const report = yield* Interleavings.explore(
    Effect.map(program, (value) => {
      seen.add(value)
    }),
    { strategy: "bounded", ...options }
  )
  assert.isTrue(Option.isNone(report.finding), Option.getOrUndefined(report.finding)?.message)
  assert.isTrue(report.exhaustive)
  return Array.from(seen).sort((one, other) => String(one) < String(other) ? -1 : 1)
})

describe("Interleavings", () => {
  describe("five classic races", () => {
    for (const { buggy, corrected, finding, name } of races) {
      it.live(`${name}: found, and found again by its schedule`, () =>
        Effect.gen(function*() {
          for (const strategy of [undefined, "bounded", "random", "pct"] as const) {
            const report = yield* Interleavings.explore(buggy, { strategy, maxSchedules: 1000 })
            const { kind, message, schedule } = findingOf(report)
            assert.strictEqual(kind, finding)
            assert.isFalse(report.exhaustive)
            const again = yield* Interleavings.explore(buggy, { schedule })
            assert.deepStrictEqual(again, { schedules: 1, exhaustive: false, finding: report.finding })
            assert.include(message, `INTERLEAVINGS_SCHEDULE=${schedule}`)
          }
        }))

      it.live(`${name}: shrunk to one choice, whichever strategy found it`, () =>
        Effect.gen(function*() {
          for (const strategy of ["bounded", "random", "pct"] as const) {
            const { schedule } = yield* explored(buggy, { strategy })
            assert.match(schedule, /^\d+$/, strategy)
          }
        }))

      it.live(`${name}: corrected, nothing is found in all schedules with two preemptions and 10,000 others`, () =>
        Effect.gen(function*() {
          const bounded = yield* Interleavings.explore(corrected, { strategy: "bounded", bound: 2 })
          assert.deepStrictEqual(bounded, { schedules: bounded.schedules, exhaustive: true, finding: Option.none() })
          const all = yield* Interleavings.explore(corrected, { maxSchedules: 10_000 })
          assert.deepStrictEqual(all, { schedules: all.schedules, exhaustive: true, finding: Option.none() })
          assert.isAtLeast(all.schedules, bounded.schedules)
        }))

      it.live(`${name}: not found by running it`, () =>
        Effect.gen(function*() {
          for (let count = 0; count < 100; count++) assert.isTrue(Exit.isSuccess(yield* Effect.exit(buggy)))
        }))
    }
  })

  describe("a schedule", () => {
    it.live("shows the same trace each of 200 times", () =>
      Effect.gen(function*() {
        const [race] = races
        const { schedule } = yield* explored(race!.buggy, { strategy: "random" })
        const messages = new Set<string>()
        for (let count = 0; count < 200; count++) {
          messages.add((yield* explored(race!.buggy, { schedule })).message)
        }
        assert.strictEqual(messages.size, 1)
      }))

    it.live("takes the default where the program has changed", () =>
      Effect.gen(function*() {
        const report = yield* Interleavings.explore(Effect.void, { schedule: "3:9,400" })
        assert.deepStrictEqual(report, { schedules: 1, exhaustive: false, finding: Option.none() })
      }))

    it.live("dies of what is none", () =>
      Effect.gen(function*() {
        for (const schedule of ["", "x", "3,2", "3:0", "3:", "-1"]) {
          const exit = yield* Effect.exit(Interleavings.explore(Effect.void, { schedule }))
          assert.isTrue(Exit.isFailure(exit), schedule)
        }
      }))
  })

  describe("kinds of findings", () => {
    it.live("Deadlock names which fibers wait, where and for what", () =>
      Effect.gen(function*() {
        const { kind, message } = yield* explored(Effect.gen(function*() {
          const semaphore = yield* Semaphore.make(0)
          const queue = yield* Queue.unbounded<number>()
          const latch = yield* Latch.make()
          const deferred = yield* Deferred.make<void>()
          const gen = (effect: Effect.Effect<unknown>) =>
            Effect.gen(function*() {
              yield* effect
            })
          yield* Effect.forkChild(gen(semaphore.take(1)))
          yield* Effect.forkChild(gen(Queue.take(queue)))
          yield* Effect.forkChild(gen(latch.await))
          yield* Effect.forkChild(Deferred.await(deferred))
          return yield* Fiber.join(yield* Effect.forkChild(Effect.never))
        }))
        assert.strictEqual(kind, "Deadlock")
        const place = "packages/testing/test/Interleavings.test.ts:\\d+:\\d+"
        for (
          const line of [
            `main +waits in Fiber.join ${place}`,
            `fiber 1 +waits in Semaphore.take ${place}`,
            `fiber 2 +waits in Queue.take ${place}`,
            `fiber 3 +waits in Latch.await ${place}`,
            `fiber 4 +waits in Deferred.await \\[${place}\\]`,
            `fiber 5 +waits in Effect.never \\[${place}\\]`
          ]
        ) {
          assert.match(message, new RegExp(line))
        }
      }))

    it.live("LeakedFiber is a fiber left when the program has ended", () =>
      Effect.gen(function*() {
        const { kind, message } = yield* explored(Effect.forkDetach(Effect.never))
        assert.strictEqual(kind, "LeakedFiber")
        assert.match(message, /fiber 1 +waits in Effect.never/)
        const periodic = yield* explored(Effect.forkDetach(Effect.forever(Effect.sleep("1 second"))))
        assert.strictEqual(periodic.kind, "LeakedFiber")
      }))

    it.live("what ends by itself after the program is no leak", () =>
      Effect.gen(function*() {
        const later = Effect.forkDetach(Effect.sleep("1 hour"))
        const report = yield* Interleavings.explore(later, { strategy: "bounded" })
        assert.isTrue(Option.isNone(report.finding))
      }))

    it.live("a fiber forked into the scope of the run is no leak", () =>
      Effect.gen(function*() {
        const report = yield* Interleavings.explore(Effect.forkScoped(Effect.never))
        assert.isTrue(Option.isNone(report.finding))
      }))

    it.live("Spin has no end", () =>
      Effect.gen(function*() {
        const { kind } = yield* explored(Effect.forever(Effect.yieldNow))
        assert.strictEqual(kind, "Spin")
        const alone = yield* explored(Effect.forever(Effect.sync(() => 0)), { maxSteps: 500 })
        assert.include(alone.message, "500 operations")
      }))

    it.live("polling that ends is no Spin, whichever fiber is favoured", () =>
      Effect.gen(function*() {
        for (const pause of [Effect.yieldNow, Effect.void, Effect.sleep(1)]) {
          const program = Effect.gen(function*() {
            const flag = yield* Ref.make(false)
            yield* Effect.forkChild(Effect.andThen(Effect.yieldNow, Ref.set(flag, true)))
            while (!(yield* Ref.get(flag))) yield* pause
          })
          for (const strategy of ["bounded", "random", "pct"] as const) {
            const report = yield* Interleavings.explore(program, { strategy, bound: 1, maxSchedules: 200 })
            assert.isTrue(Option.isNone(report.finding), Option.getOrUndefined(report.finding)?.message)
          }
        }
      }))

    it.live("polling for an outside event is no Spin, nor are two fibers that poll", () =>
      Effect.gen(function*() {
        let arrived = false
        const poll = Effect.gen(function*() {
          while (!arrived) yield* Effect.yieldNow
        })
        const arrive = Effect.andThen(
          Effect.yieldNow,
          Effect.sync(() => {
            arrived = true
          })
        )
        for (const strategy of ["bounded", "random", "pct"] as const) {
          const event = yield* Interleavings.explore(poll, {
            strategy,
            maxSchedules: 500,
            environment: (post) => {
              arrived = false
              post(() => {
                arrived = true
              })
            }
          })
          assert.isTrue(Option.isNone(event.finding), Option.getOrUndefined(event.finding)?.message)
          const fibers = yield* Interleavings.explore(Effect.all([poll, poll, arrive], { concurrency: 3 }), {
            strategy,
            maxSchedules: 500,
            environment: () => {
              arrived = false
            }
          })
          assert.isTrue(Option.isNone(fibers.finding), Option.getOrUndefined(fibers.finding)?.message)
        }
      }))

    it.live("NonDeterminism is another run by the same choices", () =>
      Effect.gen(function*() {
        let runs = 0
        const counting = Effect.suspend(() => runs++ % 3 === 2 ? Effect.yieldNow : Effect.void)
        const concurrent = Effect.all([counting, Effect.yieldNow], { concurrency: 2 })
        for (const strategy of ["bounded", "random", "pct"] as const) {
          const { kind } = yield* explored(concurrent, { strategy })
          assert.strictEqual(kind, "NonDeterminism")
        }
        const once = { failed: false }
        const flaky = Effect.suspend(() => {
          if (once.failed) return Effect.void
          once.failed = true
          return Effect.fail("once")
        })
        assert.strictEqual((yield* explored(flaky)).kind, "NonDeterminism")
      }))

    it.live("NonDeterminism is noticed in any run that repeats choices, however small the difference", () =>
      Effect.gen(function*() {
        let runs = 0
        const { corrected } = races[1]!
        // One more operation, at which nothing can be chosen.
        const program = Effect.suspend((): Effect.Effect<unknown, unknown> =>
          ++runs === 51 ? Effect.exit(corrected) : corrected
        )
        const report = yield* Interleavings.explore(program, { strategy: "bounded" })
        assert.strictEqual(findingOf(report).kind, "NonDeterminism")
        assert.isAbove(report.schedules, 10)
      }))

    it.live("no finding leaves anything behind in Effect", () =>
      Effect.gen(function*() {
        const iteratorOf = () =>
          Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Effect.sync(() => 0)), Symbol.iterator)
        const before = iteratorOf()
        const limit = Error.stackTraceLimit
        yield* explored(Effect.andThen(Effect.sync(() => 0), Effect.fail("always")))
        assert.deepStrictEqual(iteratorOf(), before)
        assert.strictEqual(Error.stackTraceLimit, limit)
      }))

    it.live("a callback that throws is a Failure", () =>
      Effect.gen(function*() {
        const throwing = Effect.withFiber((fiber) => {
          fiber.currentDispatcher.scheduleTask(() => {
            throw new Error("from a callback")
          }, 0)
          return Effect.yieldNow
        })
        const { kind, message } = yield* explored(throwing)
        assert.strictEqual(kind, "Failure")
        assert.include(message, "from a callback")
      }))

    it.live("a program with a Tracer of its own is a Failure that says so", () =>
      Effect.gen(function*() {
        const { message } = yield* explored(Effect.withTracer(Effect.yieldNow, Tracer.nativeTracer))
        assert.include(message, "replaced the Tracer")
      }))

    it.live("a promise is a Deadlock that says why", () =>
      Effect.gen(function*() {
        const { kind, message } = yield* explored(Effect.promise(() => Promise.resolve(1)))
        assert.strictEqual(kind, "Deadlock")
        assert.match(message, /main +waits in Effect.promise/)
        assert.include(message, "a real promise, timer or socket")
      }))
  })

  describe("what is explored", () => {
    it.live("both ends of a race of equal timers", () =>
      Effect.gen(function*() {
        const slow = Effect.as(Effect.sleep("5 seconds"), "slept")
        const seen = yield* outcomes(
          Effect.gen(function*() {
            const result = yield* Effect.timeoutOption(slow, "5 seconds")
            return `${Option.getOrElse(result, () => "timed out")} at ${yield* Clock.currentTimeMillis}`
          }),
          { bound: 0 }
        )
        assert.deepStrictEqual(seen, ["slept at 5000", "timed out at 5000"])
      }))

    it.live("timers in their order, and only when nothing else can run", () =>
      Effect.gen(function*() {
        const seen = yield* outcomes(Effect.gen(function*() {
          const order: Array<string> = []
          const after = (millis: number) => Effect.map(Effect.sleep(millis), () => order.push(`${millis}`))
          yield* Effect.all([after(20), after(10), Effect.map(Effect.yieldNow, () => order.push("0"))], {
            concurrency: 3
          })
          return order.join()
        }))
        assert.deepStrictEqual(seen, ["0,10,20"])
      }))

    it.live("the resumed fiber at once or later", () =>
      Effect.gen(function*() {
        const seen = yield* outcomes(Effect.gen(function*() {
          const order: Array<string> = []
          const deferred = yield* Deferred.make<void>()
          const fiber = yield* Effect.forkChild(Effect.map(Deferred.await(deferred), () => order.push("resumed")), {
            startImmediately: true
          })
          yield* Deferred.succeed(deferred, undefined)
          order.push("resumer")
          yield* Fiber.join(fiber)
          return order.join()
        }))
        assert.deepStrictEqual(seen, ["resumed,resumer", "resumer,resumed"])
      }))

    it.live("a fiber that yields goes after the others", () =>
      Effect.gen(function*() {
        const seen = yield* outcomes(Effect.gen(function*() {
          const order: Array<string> = []
          const other = yield* Effect.forkChild(Effect.sync(() => order.push("other")))
          yield* Effect.sync(() => order.push("before"))
          yield* Effect.yieldNow
          yield* Effect.sync(() => order.push("after"))
          yield* Fiber.join(other)
          return order.join()
        }))
        assert.deepStrictEqual(seen, ["before,other,after", "other,before,after"])
      }))

    it.live("the same numbers of Random in each run", () =>
      Effect.gen(function*() {
        const pair = Effect.map(Effect.all([Random.next, Random.nextInt]), (numbers) => numbers.join())
        const program = Effect.flatMap(Effect.forkChild(pair), Fiber.join)
        assert.lengthOf(yield* outcomes(program), 1)
        assert.notDeepEqual(yield* outcomes(program, { seed: 1 }), yield* outcomes(program, { seed: 2 }))
      }))

    it.live("outside events at any moment, each after the one that posts it", () =>
      Effect.gen(function*() {
        let seen: Array<string> = []
        const program = Effect.gen(function*() {
          seen.push("a")
          yield* Effect.yieldNow
          seen.push("b")
          yield* Effect.yieldNow
          return seen.join("")
        })
        const orders = yield* outcomes(program, {
          bound: 3,
          environment: (post) => {
            seen = []
            post(() => {
              seen.push("1")
              post(() => seen.push("2"))
            })
          }
        })
        const all = ["12ab", "1a2b", "1ab", "1ab2", "a12b", "a1b", "a1b2", "ab", "ab1", "ab12"]
        assert.deepStrictEqual(orders, all)
      }))

    it.live("outside events before and after a timer", () =>
      Effect.gen(function*() {
        let deferred = Deferred.makeUnsafe<void>()
        const program = Effect.suspend(() => Effect.timeoutOption(Deferred.await(deferred), "1 second"))
        const seen = yield* outcomes(Effect.map(program, Option.isSome), {
          bound: 1,
          environment: (post) => {
            deferred = Deferred.makeUnsafe()
            post(() => Deferred.doneUnsafe(deferred, Exit.void))
          }
        })
        assert.deepStrictEqual(seen, [false, true])
        // No fiber can be preempted while the event is there: when it comes, before or after the timer, is all there is.
        let arrived = false
        let send: Interleavings.Post = () => {}
        const sleeper = Effect.gen(function*() {
          arrived = false
          send(() => {
            arrived = true
          })
          yield* Effect.sleep(1)
          return arrived
        })
        const states = yield* outcomes(Interleavings.atomic(sleeper), {
          bound: 1,
          environment: (post) => {
            send = post
          }
        })
        assert.deepStrictEqual(states, [false, true])
      }))

    it.live("an event that throws", () =>
      Effect.gen(function*() {
        const { kind, message } = yield* explored(Effect.yieldNow, {
          environment: (post) => {
            post(() => {
              throw new Error("from the environment")
            })
          }
        })
        assert.strictEqual(kind, "Failure")
        assert.include(message, "from the environment")
        assert.include(message, "an outside event")
      }))

    it.live("nothing inside runSync, and nothing inside atomic", () =>
      Effect.gen(function*() {
        const increment = (counter: { value: number }) =>
          Effect.gen(function*() {
            const value = yield* Effect.sync(() => counter.value)
            yield* Effect.sync(() => {
              counter.value = value + 1
            })
          })
        const twice = (around: (effect: Effect.Effect<void>) => Effect.Effect<void>) =>
          Effect.gen(function*() {
            const counter = { value: 0 }
            const fibers = [
              yield* Effect.forkChild(around(increment(counter))),
              yield* Effect.forkChild(around(increment(counter)))
            ]
            for (const fiber of fibers) yield* Fiber.join(fiber)
            return counter.value
          })
        assert.deepStrictEqual(yield* outcomes(twice((effect) => effect)), [1, 2])
        const apart = (effect: Effect.Effect<void>) => Effect.withFiber(() => Effect.sync(() => Effect.runSync(effect)))
        // Its context brings the exploration's own Tracer along.
        const within = (effect: Effect.Effect<void>) =>
          Effect.contextWith((context: Context.Context<never>) =>
            Effect.sync(() => Effect.runSyncWith(context)(effect))
          )
        assert.deepStrictEqual(yield* outcomes(twice(apart)), [2])
        assert.deepStrictEqual(yield* outcomes(twice(within)), [2])
        assert.deepStrictEqual(
          yield* Interleavings.explore(twice(within), { strategy: "bounded" }),
          yield* Interleavings.explore(twice(apart), { strategy: "bounded" })
        )
        assert.deepStrictEqual(yield* outcomes(twice(Interleavings.atomic)), [2])
        // What an atomic fiber forks is explored.
        assert.deepStrictEqual(yield* outcomes(Interleavings.atomic(twice((effect) => effect))), [1, 2])
      }))

    it.live("less with points \"sync\"", () =>
      Effect.gen(function*() {
        const order = races.find(({ name }) => name === "lock order")!.buggy
        const report = yield* Interleavings.explore(order, { points: "sync", strategy: "bounded" })
        assert.isTrue(Option.isNone(report.finding))
        const update = races.find(({ name }) => name === "lost update")!.buggy
        assert.strictEqual((yield* explored(update, { points: "sync", strategy: "bounded" })).kind, "Failure")
      }))

    it.live("with the caller's services, and a clock of its own", () =>
      Effect.gen(function*() {
        const report = yield* Interleavings.explore(Effect.gen(function*() {
          assert.strictEqual(yield* Clock.currentTimeMillis, 0)
          assert.strictEqual(yield* Limit, 7)
        })).pipe(Effect.provideService(Limit, 7))
        assert.isTrue(Option.isNone(report.finding), Option.getOrUndefined(report.finding)?.message)
      }))

    it.live("log lines go to the trace", () =>
      Effect.gen(function*() {
        const { message } = yield* explored(Effect.andThen(Effect.logWarning("half way"), Effect.fail("end")))
        assert.include(message, "log Warn: half way")
      }))
  })

  describe("the report", () => {
    it.live("is exhaustive when there is nothing left, whatever the strategy's budget", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* Interleavings.explore(Effect.void), {
          schedules: 1,
          exhaustive: true,
          finding: Option.none()
        })
      }))

    it.live("is not when the budget ended first", () =>
      Effect.gen(function*() {
        const program = races[0]!.corrected
        for (const strategy of [undefined, "bounded", "random", "pct"] as const) {
          const report = yield* Interleavings.explore(program, { strategy, maxSchedules: 20 })
          assert.deepStrictEqual(report, { schedules: 20, exhaustive: false, finding: Option.none() })
          assert.strictEqual(Interleavings.format(report), "20 schedules, not exhaustive: no finding")
        }
      }))

    it.live("is the error's of check", () =>
      Effect.gen(function*() {
        const passed = yield* Interleavings.check(Effect.void)
        assert.isTrue(passed.exhaustive)
        const error = yield* Effect.flip(Interleavings.check(races[0]!.buggy))
        assert.strictEqual(error._tag, "InterleavingError")
        assert.deepStrictEqual(error.report.finding, Option.some(error.finding))
        assert.include(error.message, error.finding.message)
      }))

    it.live("needs options in range", () =>
      Effect.gen(function*() {
        for (
          const options of [{ bound: -1 }, { bound: 1.5 }, { maxSchedules: 0 }, { maxSteps: Number.NaN }]
        ) {
          const exit = yield* Effect.exit(Interleavings.explore(Effect.void, options))
          assert.isTrue(Exit.isFailure(exit), JSON.stringify(options))
        }
      }))
  })

  it.live("can be interrupted while it explores", () =>
    Effect.gen(function*() {
      const endless = Interleavings.explore(races[1]!.corrected, { maxSchedules: Infinity, strategy: "random" })
      assert.isTrue(Option.isNone(yield* Effect.timeoutOption(endless, "50 millis")))
    }))
})

describe("shrink", () => {
  it("leaves out what is not needed and lowers the rest", () => {
    const schedule = Array.from({ length: 40 }, (_, index) => ({ at: 2 * index, take: 1 + index % 5 }))
    const needs = (candidate: Schedule) =>
      candidate.some(({ at, take }) => at === 6 && take >= 2) && candidate.some(({ at }) => at === 44)
    assert.deepStrictEqual(shrink(schedule, needs), [{ at: 6, take: 2 }, { at: 44, take: 1 }])
    assert.deepStrictEqual(shrink(schedule, () => true), [])
    assert.deepStrictEqual(shrink(schedule, () => false), schedule)
  })
})

describe("a schedule as text", () => {
  it("is the choices that are not the default", () => {
    for (const text of ["default", "0", "17,21:2", "3:5,4"]) {
      assert.strictEqual(schedules.format(schedules.parse(text)), text)
    }
    assert.deepStrictEqual(schedules.parse(" 17, 21:2 "), [{ at: 17, take: 1 }, { at: 21, take: 2 }])
  })
})
