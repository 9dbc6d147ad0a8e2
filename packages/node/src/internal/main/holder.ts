/**
 * A program whose sockets are held by the process that started it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type { Inheritance, Report } from "../inherit/protocol.ts"
import { attach, type Program, type Successor } from "../inherit/successor.ts"
import { variable } from "../inherit/variable.ts"
import { inspectListener } from "../inspector/inspect.ts"
import type { Readiness } from "./manager/readiness.ts"
import type { WatchedRegistry } from "./stopping/closeMembers.ts"

/** What the environment said when this was loaded: it is unset when the sockets are asked for. */
const passed = process.env[variable]

/** What started this process with sockets, if anything did. */
export const startedBy: "supervisor" | "predecessor" | undefined = passed === undefined || passed === ""
  ? undefined
  : /"from":\s*"supervisor"/.test(passed)
  ? "supervisor"
  : "predecessor"

/** Signals that reach a whole group of processes: in a worker they do nothing, its supervisor tells it what they mean. */
const groupSignals: ReadonlyArray<NodeJS.Signals> = ["SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR2"]

/** The signals that a program listens to, and those of them that close it. */
export const signalsOf = (
  signals: ReadonlyArray<NodeJS.Signals>
): { readonly heard: ReadonlyArray<NodeJS.Signals>; readonly closing: ReadonlySet<NodeJS.Signals> } =>
  startedBy === "supervisor"
    ? {
      heard: Array.from(new Set([...signals, ...groupSignals])),
      closing: new Set(signals.filter((signal) => !groupSignals.includes(signal)))
    }
    : { heard: signals, closing: new Set(signals) }

/** The holder, as the program has it that it started. */
export class Holder {
  private readonly successor: Successor | undefined
  private readonly registry: WatchedRegistry
  /** How the process that held the sockets has closed; without a report where it ended without a word. */
  readonly predecessorReport = Deferred.makeUnsafe<Option.Option<Report>>()
  readonly accepting = Deferred.makeUnsafe<void>()

  constructor(registry: WatchedRegistry, readiness: Readiness, program: Pick<Program, "close" | "fail">) {
    this.registry = registry
    this.successor = attach({
      ...program,
      unserved: () => readiness.unserved,
      onPredecessor: (report) =>
        Deferred.doneUnsafe(this.predecessorReport, Exit.succeed(Option.fromUndefinedOr(report))),
      onAccepting: () => Deferred.doneUnsafe(this.accepting, Exit.void),
      answer: (about) => Effect.runPromise(orUndefined(about, this.answer(about)))
    })
    readiness.onChange(() => this.successor?.look())
  }

  /** What it was started with; `None` where that cannot be believed, which every transport says that asks. */
  get inheritance(): Option.Option<Inheritance> {
    return Option.fromUndefinedOr(this.successor?.holder)
  }

  tell(say: (successor: Successor) => void): void {
    if (this.successor !== undefined) say(this.successor)
  }

  /** Says the last, and calls back when that is out. */
  finish(done: () => void): void {
    const { successor } = this
    if (successor === undefined) return done()
    // a metric of the program's may throw: without the last metrics it ends all the same
    void Effect.runPromise(orUndefined("metrics", metrics)).then((text) => successor.finish(text, done))
  }

  private answer(about: string): Effect.Effect<unknown> {
    switch (about) {
      case "listeners":
        return listenersOf(this.registry)
      case "metrics":
        return metrics
      default:
        return Effect.undefined
    }
  }
}

/** What a program says of itself comes in part from its own code, and what dies there is no death of the process. */
const orUndefined = <A>(about: string, said: Effect.Effect<A>): Effect.Effect<A | undefined> =>
  Effect.catchCause(said, (cause) =>
    Effect.logWarning(`cannot tell its holder of its ${about}`, cause).pipe(
      Effect.provideService(References.LogToStderr, true),
      Effect.as(undefined)
    ))

const metrics: Effect.Effect<string> = Effect.suspend(() => PrometheusMetrics.format())

/** How many connections of each listener a holder is told of. */
const limit = 500

const listenersOf = (registry: WatchedRegistry): Effect.Effect<unknown> =>
  Effect.gen(function*() {
    const all = yield* Effect.forEach(registry.members(), ({ listeners, name }) =>
      listeners === undefined ? Effect.undefined : orUndefined(`listeners in ${name}`, atOnce(listeners)))
    const seen = yield* Effect.forEach(
      all.flatMap((listeners) =>
        listeners ?? []
      ),
      ({ listener, name }) => orUndefined(`listener ${name}`, inspectListener(listener, limit))
    )
    return seen.filter((listener) => listener !== undefined)
  })

/** Anything may be a member: one that waits would keep the others from being told of. */
const atOnce = <A>(said: Effect.Effect<A>): Effect.Effect<A> => Effect.suspend(() => Effect.runSyncExit(said))
