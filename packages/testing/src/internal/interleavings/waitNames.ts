/**
 * The names of the operations a fiber can wait in.
 *
 * A waiting fiber is suspended in an `Effect.callback`, and all that is known
 * of it is the function that registered the callback. Effect's own are told by
 * their source text, which is taken from a sample of each.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Semaphore from "effect/Semaphore"
import type { Primitive } from "./primitives.ts"
import { sourceOf } from "./primitives.ts"
import { Run } from "./run.ts"
import { replay } from "./strategies.ts"

const fork = Effect.forkDetach(Effect.never)

const samples: ReadonlyArray<readonly [name: string, waits: Effect.Effect<unknown, unknown>]> = [
  ["Deferred.await", Effect.flatMap(Deferred.make(), Deferred.await)],
  ["Fiber.join", Effect.flatMap(fork, Fiber.join)],
  ["Fiber.joinAll", Effect.flatMap(fork, (fiber) => Fiber.joinAll([fiber]))],
  ["Fiber.await", Effect.flatMap(fork, Fiber.await)],
  ["Fiber.awaitAll", Effect.flatMap(fork, (fiber) => Fiber.awaitAll([fiber]))],
  ["Latch.await", Effect.flatMap(Latch.make(), (latch) => latch.await)],
  ["Semaphore.take", Effect.flatMap(Semaphore.make(0), (semaphore) => semaphore.take(1))],
  ["Queue.take", Effect.flatMap(Queue.unbounded(), Queue.take)],
  ["Queue.offer", Effect.flatMap(Queue.bounded<number>(0), (queue) => Queue.offer(queue, 0))],
  [
    "PubSub.take",
    Effect.scoped(Effect.flatMap(Effect.flatMap(PubSub.unbounded<number>(), PubSub.subscribe), PubSub.take))
  ],
  ["Effect.all", Effect.all([Effect.never, Effect.never], { concurrency: 2 })],
  ["Effect.raceAll", Effect.raceAll([Effect.never, Effect.never])],
  ["Effect.promise", Effect.promise(() => new Promise(() => {}))],
  ["Effect.sleep", Effect.sleep("1 hour")]
]

const namesBySource: () => ReadonlyMap<string, string> = (() => {
  let names: Map<string, string> | undefined
  return () => {
    if (names === undefined) {
      names = new Map()
      for (const [name, program] of samples) {
        const run = new Run(
          { program, context: Context.empty(), points: "all", environment: undefined, maxSteps: 1000, seed: 0 },
          replay([]),
          0
        ).execute()
        const waiting = run.fibers.values().next().value?.waiting
        const source = waiting === undefined ? undefined : sourceOf(waiting)
        if (source !== undefined && !names.has(source)) names.set(source, name)
      }
    }
    return names
  }
})()

/** `"Deferred.await"` and the like, or what the callback looks like. */
export const nameOf = (waiting: Primitive): string => {
  if (waiting === neverPrimitive) return "Effect.never"
  const source = sourceOf(waiting)
  if (source === undefined) return "a callback"
  return namesBySource().get(source) ?? `a callback, ${excerpt(source)}`
}

// an effect is the primitive that the run loop evaluates.
const neverPrimitive = Effect.never as unknown as Primitive

/** The beginning of a function's source, on one line. */
export const excerpt = (source: string, length = 60): string => {
  const line = source.replace(/\s+/g, " ")
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`
}
