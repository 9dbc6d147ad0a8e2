/**
 * Round after round: one life of a listener of each kind at a time, and after
 * each round nothing may be left.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as References from "effect/References"
import { type Kind, life } from "./life.ts"
import type { Tally } from "./tally.ts"

export interface Options {
  readonly minutes: number
  /** Of all that is chosen by chance; times are the machine's. */
  readonly seed: string
  readonly tally: Tally
}

export const soak = (kinds: ReadonlyArray<Kind>, { minutes, seed, tally }: Options): Effect.Effect<void> =>
  Effect.suspend(() => {
    const fibers = new Fibers()
    const lives = (round: string) =>
      Effect.forEach(
        kinds,
        (kind) =>
          Effect.tap(failureOf(life(kind, `${seed}-${round}`, tally)), (failure) =>
            Effect.sync(() =>
              failure === undefined || tally.find(`${kind.name}, ${seed}-${round}: ${failure}`)
            )),
        { concurrency: "unbounded", discard: true }
      )
    return Effect.gen(function*() {
      // the first life loads what is loaded once
      yield* lives("warm-up")
      yield* Effect.sleep(1000)
      const end = performance.now() + minutes * 60_000
      for (let round = 0; performance.now() < end; round++) {
        // measured within the same fibers each time: a sleeping one is a timer
        const before = yield* Effect.as(Effect.sleep(1), held(fibers))
        yield* lives(String(round))
        yield* settle(before, fibers, tally, `round ${seed}-${round}`)
      }
    }).pipe(
      Effect.provideContext(Context.mergeAll(
        Context.make(References.MinimumLogLevel, "None"),
        Context.make(Metric.MetricRegistry, new Map()),
        Context.make(Metric.FiberRuntimeMetrics, fibers)
      ))
    )
  })

/** More than a life may take on any machine, in milliseconds. */
const longestLife = 60_000

/** Leaves a life behind that does not end: only so can it be told. */
const failureOf = (life: Effect.Effect<void, unknown>): Effect.Effect<string | undefined> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkDetach(life)
    const exit = yield* Effect.timeoutOption(Fiber.await(fiber), longestLife)
    if (Option.isNone(exit)) return `it has not ended within ${longestLife} ms`
    return Exit.isSuccess(exit.value) ? undefined : Cause.pretty(exit.value.cause)
  })

/** Counts the fibers that have not ended. */
class Fibers implements Metric.FiberRuntimeMetricsService {
  running = 0

  recordFiberStart(): void {
    this.running++
  }

  recordFiberEnd(): void {
    this.running--
  }
}

/** What this process holds that a listener or a client can leave behind. */
const held = (fibers: Fibers): Record<string, number> => {
  const counts: Record<string, number> = { TCPServerWrap: 0, TCPSocketWrap: 0, Timeout: 0, Immediate: 0 }
  for (const kind of process.getActiveResourcesInfo()) if (kind in counts) counts[kind]!++
  return { ...counts, fibers: fibers.running }
}

/** Waits for what is on its way out; counts what is left. */
const settle = (before: Record<string, number>, fibers: Fibers, tally: Tally, round: string) =>
  Effect.gen(function*() {
    const more = () => {
      const now = held(fibers)
      return Object.keys(before).reduce((sum, kind) => sum + Math.max(0, now[kind]! - before[kind]!), 0)
    }
    const end = performance.now() + 5000
    while (more() > 0 && performance.now() < end) yield* Effect.sleep(20)
    const left = more()
    if (left === 0) return
    tally.leaked += left
    tally.find(`${round}: held before ${JSON.stringify(before)}, after ${JSON.stringify(held(fibers))}`)
  })
