/**
 * The loop around the runs: search, and when something is found, confirm,
 * shorten and explain it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Finding, Report } from "../../Interleavings.ts"
import { diverged, Run } from "./run.ts"
import type { Schedule } from "./schedule.ts"
import * as schedules from "./schedule.ts"
import type { Budget } from "./schedules.ts"
import { search } from "./schedules.ts"
import { shrink } from "./shrink.ts"
import { DepthFirst, replay } from "./strategies.ts"
import { Trace } from "./trace.ts"
import type { Conclusion, Settings } from "./types.ts"

/** Operations after which the event loop gets a turn: some 10 ms. */
const stepsPerTurn = 100_000

/** Operations that shortening may take, over all its runs: some 0.3 s. */
const shorteningSteps = 3_000_000

/** Runs one schedule after the other until a finding or the end of the budget. */
export const explore = (settings: Settings, budget: Budget): Effect.Effect<Report> =>
  Effect.gen(function*() {
    const plans = search(budget)
    let plan = plans.next()
    let count = 0
    let steps = 0
    while (plan.done !== true) {
      const run = execute(new Run(settings, plan.value.strategy, plan.value.bound))
      count++
      // chance repeats nothing, and would never notice that the program is not deterministic.
      const sample = run.conclusion === undefined && isPowerOfTwo(count)
      const conclusion = sample && !repeats(settings, run) ? diverged : run.conclusion
      if (conclusion !== undefined) {
        const finding = yield* explain(settings, confirm(settings, run, conclusion))
        return { schedules: count, exhaustive: false, finding: Option.some(finding) }
      }
      steps += run.steps
      if (steps > stepsPerTurn) {
        steps = 0
        yield* Effect.yieldNow
      }
      plan = plans.next(run)
    }
    return { schedules: count, exhaustive: plan.value, finding: Option.none() }
  })

/** Runs one schedule alone. */
export const repeat = (settings: Settings, schedule: Schedule): Effect.Effect<Report> => {
  const run = rerun(settings, schedule)
  const conclusion = repeats(settings, run) ? run.conclusion : diverged
  const finding = conclusion === undefined
    ? Effect.succeedNone
    : Effect.asSome(explain(settings, { conclusion, schedule }))
  return Effect.map(finding, (finding) => ({ schedules: 1, exhaustive: false, finding }))
}

interface Confirmed {
  readonly conclusion: Conclusion
  readonly schedule: Schedule
}

/** Without stack traces, which can cost more than the rest of a run. The run that is shown has them. */
const execute = (run: Run): Run => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return run.execute()
  } finally {
    Error.stackTraceLimit = limit
  }
}

const rerun = (settings: Settings, schedule: Schedule): Run => execute(new Run(settings, replay(schedule), Infinity))

const repeats = (settings: Settings, run: Run): boolean => {
  const again = rerun(settings, run.taken)
  return again.print === run.print && again.conclusion?.kind === run.conclusion?.kind
}

/** A short schedule to the conclusion, or that there is none because the run cannot be repeated. */
const confirm = (settings: Settings, run: Run, conclusion: Conclusion): Confirmed => {
  if (conclusion.kind === "NonDeterminism" || !repeats(settings, run)) {
    return { conclusion: diverged, schedule: run.taken }
  }
  let steps = 0
  const spend = (attempt: Run): Run => {
    steps += attempt.steps
    return attempt
  }
  const shrunk = shrink(
    run.taken,
    (candidate) => steps < shorteningSteps / 2 && spend(rerun(settings, candidate)).conclusion?.kind === conclusion.kind
  )
  // what is left is a part of the schedule that was found. One that is no part of it may be shorter still.
  for (let length = 1; length < shrunk.length; length++) {
    const strategy = new DepthFirst(length)
    do {
      const attempt = spend(execute(new Run(settings, strategy, Infinity)))
      if (attempt.conclusion?.kind === conclusion.kind) return { conclusion, schedule: attempt.taken }
      if (steps > shorteningSteps) return { conclusion, schedule: shrunk }
    } while (strategy.advance())
  }
  return { conclusion, schedule: shrunk }
}

const outsideHint =
  "After the run one of them was resumed by a real promise, timer or socket, which cannot be explored."

/** Runs the schedule once more, recorded, and tells what happened. */
const explain = (settings: Settings, { conclusion, schedule }: Confirmed): Effect.Effect<Finding> =>
  Effect.gen(function*() {
    const sketch = new Trace()
    new Run(settings, replay(schedule), Infinity, sketch).execute()
    const trace = new Trace()
    const run = trace.execute(new Run(settings, replay(schedule), Infinity, trace), sketch.prototypes)
    // shortening may have led to another failure of the same kind: the reason is that of the run shown.
    const { kind, reason } = run.conclusion?.kind === conclusion.kind ? run.conclusion : conclusion
    const waiting = kind === "Deadlock" || kind === "LeakedFiber" ? run.suspended : []
    // one turn of the event loop, for promises that are settled and timers that are due.
    if (waiting.length > 0) yield* Effect.yieldNow
    const text = schedules.format(schedule)
    return {
      kind,
      schedule: text,
      message: [
        `${kind}: ${reason}`,
        "",
        ...indented(trace.whereabouts(waiting)),
        ...(run.resumedFromOutside ? indented([outsideHint]) : []),
        ...(waiting.length > 0 ? [""] : []),
        `The schedule ${text}:`,
        "",
        ...indented(trace.lines()),
        "",
        `To repeat it: INTERLEAVINGS_SCHEDULE=${text}`
      ].join("\n")
    }
  })

const isPowerOfTwo = (count: number): boolean => (count & (count - 1)) === 0

const indented = (lines: ReadonlyArray<string>): ReadonlyArray<string> => lines.map((line) => `  ${line}`)
