/** What a supervisor says of its workers, as plain data. */
import { DrainReport, Outcome } from "@effect-listener/core/DrainReport"
import { HostTotals } from "@effect-listener/core/ListenerHost"
import * as Schema from "effect/Schema"

export const TypeId = "~@effect-listener/node/NodeWorkers" as const

const WorkerState = Schema.Literals(["Starting", "Accepting", "Draining"])

/**
 * Schema of `WorkerInfo`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const WorkerInfo = Schema.Struct({
  pid: Schema.Int,
  slot: Schema.Int,
  generation: Schema.Int,
  state: WorkerState,
  since: Schema.Finite,
  restarts: Schema.Int
})

/**
 * One worker as it stands.
 *
 * **Details**
 *
 * - `state`: on its way to accept, accepting, or on its way out.
 * - `slot`: its place, from 0. During a replacement two workers have one.
 * - `generation`: how many replacements had begun when it was started.
 * - `since`: when it entered its state, in milliseconds since 1970.
 * - `restarts`: how often a worker of this slot was started again after a crash.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type WorkerInfo = typeof WorkerInfo.Type

const worker = { pid: Schema.NullOr(Schema.Int), slot: Schema.Int, generation: Schema.Int }

/**
 * Schema of `WorkerEvent`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const WorkerEvent = Schema.Union([
  Schema.TaggedStruct("Started", worker),
  Schema.TaggedStruct("Accepting", worker),
  Schema.TaggedStruct("Crashed", { ...worker, detail: Schema.String }),
  Schema.TaggedStruct("Replaced", { ...worker, by: Schema.NullOr(Schema.Int) }),
  Schema.TaggedStruct("RolledBack", { ...worker, detail: Schema.String }),
  Schema.TaggedStruct("GaveUp", { slot: Schema.Int })
])

/**
 * What becomes of workers.
 *
 * **Details**
 *
 * - `Started`: its process runs. `Accepting`: it takes connections.
 * - `Crashed`: it ended, or began to close, without being asked; another one
 *   follows.
 * - `Replaced`: it has ended, and `by` has its slot.
 * - `RolledBack`: a successor did not get as far as accepting; the old one stays.
 * - `GaveUp`: the schedule of restarts has ended for this slot.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type WorkerEvent = typeof WorkerEvent.Type

/**
 * Schema of `WorkerReport`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const WorkerReport = Schema.Struct({
  ...worker,
  code: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  accepted: Schema.Int,
  listeners: Schema.Array(DrainReport)
})

/**
 * How one worker ended.
 *
 * **Details**
 *
 * - `code`, `signal`: one of them, as its process ended.
 * - `accepted`: the connections it let in, from its start to its end.
 * - `listeners`: the reports of its listeners; none where it could not give any.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type WorkerReport = typeof WorkerReport.Type

const Replaced = Schema.Struct({
  slot: Schema.Int,
  by: Schema.NullOr(Schema.Int),
  readyAfter: Schema.Finite,
  worker: WorkerReport
})

/**
 * Schema of `WorkerFailure`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const WorkerFailure = Schema.Struct({
  ...worker,
  reason: Schema.Literals(["Spawn", "Exited", "TimedOut", "Refused", "GaveUp", "Closing"]),
  detail: Schema.String
})

/**
 * Which worker is not what it should be, and why.
 *
 * **Details**
 *
 * - `Spawn`: its process could not be started.
 * - `Exited`: it ended before it accepted.
 * - `TimedOut`: it did not accept in time, and was killed.
 * - `Refused`: it said that it will not, or what is not of the protocol.
 * - `GaveUp`: the schedule of restarts has ended for every slot.
 * - `Closing`: the workers are not running.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type WorkerFailure = typeof WorkerFailure.Type

/**
 * Schema of `ReplaceReport`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const ReplaceReport = Schema.Struct({
  generation: Schema.Int,
  duration: Schema.Finite,
  replaced: Schema.Array(Replaced),
  left: Schema.Array(WorkerInfo),
  failure: Schema.NullOr(WorkerFailure)
})

/**
 * What a replacement did.
 *
 * **Details**
 *
 * - `replaced`: each worker that went, which process has its slot now, and how
 *   many milliseconds that one took from its start until it accepted.
 * - `left`: workers that were not replaced, because the replacement failed.
 * - `failure`: why it did; `null` when all were replaced.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type ReplaceReport = typeof ReplaceReport.Type

/**
 * Schema of `WorkersReport`.
 *
 * @stability experimental
 * @category schemas
 * @since 0.1.0
 */
export const WorkersReport = Schema.Struct({
  reason: Schema.String,
  outcome: Outcome,
  duration: Schema.Finite,
  accepted: Schema.Int,
  processes: Schema.Int,
  totals: HostTotals,
  workers: Schema.Array(WorkerReport)
})

/**
 * What the close of all workers did: plain data, without payload.
 *
 * **Details**
 *
 * - `outcome`: the worst of the workers'; `Aborted` where one had to be killed.
 * - `accepted`, `processes`: of all workers there ever were, in all generations.
 * - `totals`: what the reports of this close add up to.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type WorkersReport = typeof WorkersReport.Type
