/**
 * What a run, its strategies and its trace know of each other.
 */
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { AnyFiber, Primitive } from "./primitives.ts"
import type { Choice } from "./schedule.ts"

/** See `Interleavings.Post`. */
export type Post = (event: () => void) => void

export type FindingKind = "Failure" | "Deadlock" | "LeakedFiber" | "NonDeterminism" | "Spin"

export type PointKind = "next" | "preempt" | "resume"

/** What a strategy may know of a run, besides the choice it is asked for. */
export interface RunView {
  /** The choices made so far that were not the default. */
  readonly taken: ReadonlyArray<Choice>
  /** A hash of which fiber evaluated what, in order: equal for equal runs. */
  readonly print: number
  /** The fiber that is about to go on, and the one inside whose turn it does. */
  readonly running: FiberState | undefined
  readonly top: FiberState | undefined
  /** The tasks that are ready besides. */
  readonly ready: ReadonlyArray<Task>
}

/** What an execution has come to, for the search that asked for it. */
export interface RunResult {
  /** How many points there were. */
  readonly points: number
  /** The bound took an alternative away. */
  readonly cut: boolean
}

export interface Strategy {
  /** The alternative to take of `count` (at least 2); -1 when the run is not the one the strategy meant to repeat. */
  readonly choose: (at: number, kind: PointKind, count: number, run: RunView) => number
  /** The actor has asked to let others go first. */
  readonly yielded?: ((actor: number) => void) | undefined
  /** Called at the end: whether the run was the one the strategy meant to repeat. */
  readonly repeated?: (() => boolean) | undefined
}

/** Is told everything that happens, for a trace. */
export interface Recorder {
  readonly started: (fiber: FiberState) => void
  readonly operation: (fiber: FiberState, primitive: Primitive, operation: string) => void
  readonly chosen: (choice: Choice, kind: PointKind, count: number) => void
  readonly enqueued: (task: Task) => void
  readonly dispatched: (task: Task) => void
  readonly advanced: (millis: number) => void
  readonly logged: (message: string) => void
}

export interface Settings {
  readonly program: Effect.Effect<unknown, unknown>
  readonly context: Context.Context<never>
  readonly points: "all" | "sync"
  readonly environment: ((post: Post) => void) | undefined
  /** Operations after which a run counts as endless. */
  readonly maxSteps: number
  /** Seeds the `Random` service of the program. */
  readonly seed: number
}

export interface Task {
  readonly run: () => void
  readonly priority: number
  readonly origin: "fiber" | "callback" | "event" | "timer" | "root"
  /** Its rank in a strategy that ranks: that of the fiber that yielded, or its own. */
  readonly actor: number
  /** The fiber that yielded, when the task resumes one. */
  readonly fiber: FiberState | undefined
}

export interface FiberState {
  readonly fiber: AnyFiber
  /** In the order in which they began. 0 is the program's own. */
  readonly index: number
  /** Runs inside `Effect.runSync`, on a scheduler that cannot be controlled. */
  readonly uncontrolled: boolean
  actor: number
  begun: boolean
  /** It has evaluated something since it last got the turn; before that, preempting it changes nothing. */
  moved: boolean
  /** The operation it was held back from. */
  held: Primitive | undefined
  /** Where its turn is queued, while it has yielded. */
  queued: Task | undefined
  /** The last callback operation: where it waits, if it does. */
  waiting: Primitive | undefined
  context: Context.Context<never> | undefined
  atomic: boolean
}

export interface Conclusion {
  readonly kind: FindingKind
  readonly reason: string
}
