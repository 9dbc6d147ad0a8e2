/** Counts what a server does, so that a test can hold it to a number: no clock is involved. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import { EventEmitter } from "node:events"
import * as Http from "node:http"
import * as Net from "node:net"
import * as V8 from "node:v8"
import * as Vm from "node:vm"

export interface Costs {
  /** Fibers that began, of what runs in `counted`. */
  fibers: number
  /** Listeners added to sockets that were accepted, to requests and to responses. */
  listeners: number
  /** Timers made by whatever goes through the global `setTimeout`. */
  timers: number
  /** Those of them that wait for a fraction of a millisecond: the first gives all timers of Node another shape. */
  fractions: number
  /** Elements of sets, maps and linked lists that were gone over. */
  steps: number
}

export interface Counting {
  readonly costs: Costs
  /** Counts the fibers of what runs in here. */
  readonly counted: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** What it costs, in all. */
  readonly of: <E, R>(effect: Effect.Effect<unknown, E, R>) => Effect.Effect<Costs, E, R>
  /** The least that it costs of three times: the test runner goes over a map of its own now and then. */
  readonly leastOf: <E, R>(effect: Effect.Effect<unknown, E, R>) => Effect.Effect<Costs, E, R>
  /** The accepted sockets, requests and responses listened to that are still there after a collection. */
  readonly kept: () => number
}

const none = (): Costs => ({ fibers: 0, listeners: 0, timers: 0, fractions: 0, steps: 0 })

const least = (all: ReadonlyArray<Costs>): Costs => {
  const of = (what: keyof Costs) => Math.min(...all.map((costs) => costs[what]))
  return {
    fibers: of("fibers"),
    listeners: of("listeners"),
    timers: of("timers"),
    fractions: of("fractions"),
    steps: of("steps")
  }
}

/** Counts until the scope ends. */
export const counting: Effect.Effect<Counting, never, Scope.Scope> = Effect.gen(function*() {
  const costs = none()
  const seen = new WeakSet<object>()
  const kept: Array<WeakRef<object>> = []
  const emitter = EventEmitter.prototype

  const onAdd = (to: unknown): void => {
    if (!ofServer(to)) return
    costs.listeners++
    if (seen.has(to)) return
    seen.add(to)
    kept.push(new WeakRef(to))
  }
  // `once` and its like go by these
  for (const name of ["on", "addListener", "prependListener"] as const) {
    const add = emitter[name]
    yield* replaced(emitter, name, function(this: EventEmitter, ...args: Parameters<typeof add>) {
      onAdd(this)
      return add.apply(this, args)
    })
  }

  const later = globalThis.setTimeout
  yield* replaced(
    globalThis,
    "setTimeout",
    Object.assign((...args: Parameters<typeof later>) => {
      costs.timers++
      if (!Number.isInteger(args[1] ?? 0)) costs.fractions++
      return later(...args)
    }, later)
  )

  const filter: (which: (item: unknown) => boolean) => Array<unknown> = Reflect.get(LinkedList.prototype, "filter")
  yield* replaced(LinkedList.prototype, "filter", function(this: object, which: (item: unknown) => boolean) {
    return filter.call(this, (item) => {
      costs.steps++
      return which(item)
    })
  })

  for (const prototype of [Set.prototype, Map.prototype]) {
    for (const name of ["values", "entries", "keys", Symbol.iterator]) {
      const original: (() => IterableIterator<unknown>) | undefined = Reflect.get(prototype, name)
      if (original === undefined) continue
      yield* replaced<object, PropertyKey>(prototype, name, function(this: object) {
        const inner = original.call(this)
        const next = inner.next.bind(inner)
        return Object.assign(Object.create(inner), {
          next: () => {
            costs.steps++
            return next()
          },
          [Symbol.iterator]() {
            return this
          }
        })
      })
    }
  }

  const of: Counting["of"] = (effect) =>
    Effect.suspend(() => {
      Object.assign(costs, none())
      return Effect.map(effect, () => ({ ...costs }))
    })

  return {
    costs,
    counted: Effect.provideService(Metric.FiberRuntimeMetrics, {
      recordFiberStart: () => {
        costs.fibers++
      },
      recordFiberEnd: () => {}
    }),
    of,
    leastOf: (effect) => Effect.map(Effect.all([of(effect), of(effect), of(effect)]), least),
    kept: () => {
      collect()
      return kept.filter((ref) => ref.deref() !== undefined).length
    }
  }
})

/** Core's own collection, by its file: it is internal to another project, from which TypeScript imports none. */
const { LinkedList }: { readonly LinkedList: { readonly prototype: object } } = await import(
  new URL("../../../core/src/internal/util/linkedList.ts", import.meta.url).href
)

/** A socket that was accepted, a request that was received, or a response. */
const ofServer = (emitter: unknown): emitter is object =>
  emitter instanceof Net.Socket
    ? "server" in emitter && emitter.server != null
    : emitter instanceof Http.ServerResponse || (emitter instanceof Http.IncomingMessage && emitter.statusCode === null)

/** Puts something in the place of a member, until the scope ends. */
const replaced = <O extends object, K extends keyof O | PropertyKey>(
  on: O,
  name: K,
  by: K extends keyof O ? O[K] : unknown
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.suspend(() => {
    const before = Object.getOwnPropertyDescriptor(on, name)!
    Object.defineProperty(on, name, { ...before, value: by })
    return Effect.addFinalizer(() => Effect.sync(() => Object.defineProperty(on, name, before)))
  })

V8.setFlagsFromString("--expose-gc")
const collect: () => void = Vm.runInNewContext("gc")
