/** What a supervisor says of its workers, as plain data. */
import { type ConnectionCounts, DrainReport, Outcome } from "@effect-listener/core/DrainReport"
import { HostTotals } from "@effect-listener/core/ListenerHost"
import * as Schema from "effect/Schema"

export const TypeId = "~@effect-listener/node/NodeWorkers" as const

const WorkerState = Schema.Literals(["Starting", "Accepting", "Draining"])

export const WorkerInfo = Schema.Struct({
  pid: Schema.Int,
  slot: Schema.Int,
  generation: Schema.Int,
  state: WorkerState,
  since: Schema.Finite,
  restarts: Schema.Int
})

const worker = { pid: Schema.NullOr(Schema.Int), slot: Schema.Int, generation: Schema.Int }

export const WorkerEvent = Schema.Union([
  Schema.TaggedStruct("Started", worker),
  Schema.TaggedStruct("Accepting", worker),
  Schema.TaggedStruct("Crashed", { ...worker, detail: Schema.String }),
  Schema.TaggedStruct("Replaced", { ...worker, by: Schema.NullOr(Schema.Int) }),
  Schema.TaggedStruct("RolledBack", { ...worker, detail: Schema.String }),
  Schema.TaggedStruct("GaveUp", { slot: Schema.Int })
])

export const WorkerReport = Schema.Struct({
  ...worker,
  code: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  accepted: Schema.Int,
  listeners: Schema.Array(DrainReport)
})

const Replaced = Schema.Struct({
  slot: Schema.Int,
  by: Schema.NullOr(Schema.Int),
  readyAfter: Schema.Finite,
  worker: WorkerReport
})

export const WorkerFailure = Schema.Struct({
  ...worker,
  reason: Schema.Literals(["Spawn", "Exited", "TimedOut", "Refused", "GaveUp", "Closing"]),
  detail: Schema.String
})

export const ReplaceReport = Schema.Struct({
  generation: Schema.Int,
  duration: Schema.Finite,
  replaced: Schema.Array(Replaced),
  left: Schema.Array(WorkerInfo),
  failure: Schema.NullOr(WorkerFailure)
})

export const WorkersReport = Schema.Struct({
  reason: Schema.String,
  outcome: Outcome,
  duration: Schema.Finite,
  accepted: Schema.Int,
  processes: Schema.Int,
  totals: HostTotals,
  workers: Schema.Array(WorkerReport)
})

/** All zero: what sums begin with. */
export const noConnections: ConnectionCounts = {
  total: 0,
  drained: 0,
  idle: 0,
  endedByPeer: 0,
  failed: 0,
  cut: 0,
  closer: 0,
  detached: 0,
  neverAccepted: 0
}
