/** Workers as they stand: what each says of itself when it is asked. */
import type { DrainProgress, DrainStage } from "@effect-listener/core/Drain"
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type Inspection, ListenerInspection, type RunningDrain } from "../../ListenerInspector.ts"
import type { Supervisor } from "./supervisor.ts"
import type { Worker } from "./worker.ts"

/** How long a worker may take to answer (ms); one whose event loop is held is shown without its listeners. */
const answerLimit = 1000

export const isReady = ({ closingSince, state }: Supervisor): boolean =>
  closingSince === undefined && state.workers.some(({ phase }) => phase === "Accepting")

/** Worth keeping while anything is there that serves or will. */
export const isLive = ({ state }: Supervisor): boolean =>
  state.stage !== "Closed" && state.slots.some(({ backOff }) => backOff !== "GivenUp")

export const inspect = (supervisor: Supervisor, limit: number): Effect.Effect<Inspection> =>
  Effect.map(
    Effect.suspend(() =>
      Effect.forEach(supervisor.infos, (info) => {
        const worker = supervisor.running.find(({ pid }) => pid === info.pid)
        return Effect.map(worker === undefined ? Effect.undefined : ask(worker, "listeners"), (answer) => {
          const listeners = Option.getOrUndefined(decodeListeners(answer))
          return {
            ...info,
            answers: listeners !== undefined,
            listeners: (listeners ?? []).map((listener) => ({
              ...listener,
              connections: listener.connections.slice(0, limit)
            }))
          }
        })
      }, { concurrency: "unbounded" })
    ),
    (workers) => {
      const { replacement, size } = supervisor.state
      const drains = workers.flatMap(({ listeners }) => listeners.flatMap(({ drain }) => drain ?? []))
      return {
        host: "workers",
        ready: isReady(supervisor),
        live: isLive(supervisor),
        drain: supervisor.closingSince === undefined ? null : merge(drains),
        listeners: [],
        workers: {
          size,
          replacement: replacement === undefined ? null : {
            generation: replacement.generation,
            done:
              workers.filter(({ generation, state }) => generation >= replacement.generation && state === "Accepting")
                .length
          },
          workers
        }
      }
    }
  )

export const metrics = (supervisor: Supervisor): Effect.Effect<string> =>
  Effect.map(
    Effect.suspend(() =>
      Effect.forEach(supervisor.running, (worker) =>
        Effect.map(ask(worker, "metrics"), (answer) => {
          if (typeof answer === "string") worker.exposition = answer
          return worker.exposition === undefined ? [] : [{ slot: worker.slot, text: worker.exposition }]
        }), { concurrency: "unbounded" })
    ),
    (expositions) => supervisor.metrics.format(expositions.flat())
  )

/** Where a close of all stands now. */
export const progress = (supervisor: Supervisor): Stream.Stream<DrainProgress> =>
  Stream.unwrap(Effect.map(inspect(supervisor, 0), ({ drain }) =>
    drain === null ? Stream.empty : Stream.make({
      ...drain,
      listener: "workers",
      timeLeft: drain.timeLeft ?? Infinity,
      oldest: Option.fromNullishOr(drain.oldest)
    })))

const ask = (worker: Worker, about: string): Effect.Effect<unknown> =>
  Effect.callback<unknown>((resume) => {
    const takeBack = worker.ask(about, (body) => resume(Effect.succeed(body)))
    return Effect.sync(takeBack)
  }).pipe(Effect.timeoutOption(answerLimit), Effect.map(Option.getOrUndefined))

const decodeListeners = Schema.decodeUnknownOption(Schema.Array(ListenerInspection))

const stages: ReadonlyArray<DrainStage> = ["LameDuck", "Draining", "Sweeping", "Aborting"]

/** Several drains as one; the stage is the one that an operator should know of. */
const merge = (drains: ReadonlyArray<RunningDrain>): RunningDrain | null => {
  if (!Array.isReadonlyArrayNonEmpty(drains)) return null
  return drains.reduce((one, other) => ({
    stage: stages.indexOf(other.stage) > stages.indexOf(one.stage) ? other.stage : one.stage,
    remaining: one.remaining + other.remaining,
    connections: one.connections + other.connections,
    timeLeft: one.timeLeft === null || other.timeLeft === null ? null : Math.max(one.timeLeft, other.timeLeft),
    oldest: one.oldest === null || (other.oldest !== null && other.oldest.age > one.oldest.age)
      ? other.oldest
      : one.oldest
  }))
}
