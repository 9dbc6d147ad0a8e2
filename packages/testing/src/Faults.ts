/**
 * A transport that goes wrong as planned.
 *
 * `wrap` puts a plan between any transport and its listener: accepting fails,
 * a client is reset or falls silent at the n-th byte, sends a byte a second,
 * ends its side, or does not take its answer. The plan is plain data: made by
 * hand, or from a seed by `random`. It prints, and printed it can be repeated.
 *
 * The faults of a connection are seen by its handler as the real ones would be,
 * and a reset is one for the client as well; what is silent or slow is so on
 * the server's side only. Protocols that take the socket itself, as `NodeHttp`
 * does, see nothing but failing accepts and handshakes.
 *
 * @stability experimental
 * @since 0.1.0
 */
import { type Transport, TransportAcceptError } from "@effect-listener/core/Transport"
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Behaviour } from "./internal/faults/behaviour.ts"
import { make as faultyConnection } from "./internal/faults/connection.ts"
import { between, type Meet } from "./internal/faults/listener.ts"

/**
 * What can go wrong.
 *
 * **Details**
 *
 * - `AcceptError`: accepting fails with the system's error `code`, such as
 *   `EMFILE`, so many `times`, before the connection is handed over. After a
 *   fatal one (`EBADF`, `EINVAL`, `ENOTSOCK`) every accept fails.
 * - `HandshakeClosed`: the client breaks off in the middle of its handshake.
 * - `Reset`: the client resets the connection when `after` bytes have come in,
 *   or gone out.
 * - `Silence`: when `after` bytes have come in, nothing more comes, not
 *   even an end.
 * - `HalfOpen`: when `after` bytes have come in, the client ends its side; it
 *   goes on reading.
 * - `SlowLoris`: what comes in comes a byte at a time, one every `interval`
 *   milliseconds.
 * - `SlowFlush`: not more than `bytesPerSecond` go out.
 * - `StuckFlush`: when `after` bytes have gone out, the client takes no more.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type Fault = Data.TaggedEnum<{
  AcceptError: { readonly code: string; readonly times: number }
  HandshakeClosed: {}
  Reset: { readonly direction: "in" | "out"; readonly after: number }
  Silence: { readonly after: number }
  HalfOpen: { readonly after: number }
  SlowLoris: { readonly interval: number }
  SlowFlush: { readonly bytesPerSecond: number }
  StuckFlush: { readonly after: number }
}>

/**
 * Constructors of faults.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const Fault = Data.taggedEnum<Fault>()

/**
 * A fault of a connection that was handed over.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export type ConnectionFault = Exclude<Fault, { readonly _tag: "AcceptError" }>

/**
 * A fault and the connection it happens to: the first one is 0, in the order in
 * which the transport hands them over, over all its binds.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Injection {
  readonly connection: number
  readonly fault: Fault
}

/**
 * What goes wrong, and when. `seed` is what `random` made it from.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Plan {
  readonly seed?: string | number | undefined
  readonly injections: ReadonlyArray<Injection>
}

/**
 * A plan of chosen faults, by connection.
 *
 * **Example** (The third client vanishes in the middle of its request)
 *
 * ```ts
 * import { Faults } from "@effect-listener/testing"
 *
 * const plan = Faults.plan({ 2: [Faults.Fault.Silence({ after: 10 })] })
 * console.log(Faults.format(plan))
 * // => 1 fault
 * // =>   connection 2: silent after 10 bytes
 * ```
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const plan = (faults: Readonly<Record<number, ReadonlyArray<Fault>>>): Plan => ({
  injections: Object.entries(faults).flatMap(([connection, faults]) =>
    faults.map((fault) => ({ connection: Number(connection), fault }))
  )
})

/**
 * How a random plan is made.
 *
 * **Details**
 *
 * - `seed`: the same one gives the same plan. Default: a random one, which the
 *   plan names.
 * - `connections`: how many connections it is for. Default 100.
 * - `share`: how many of them have a fault, 0 to 1. Default 0.3.
 * - `kinds`: which faults. Default: all.
 * - `bytes`: the largest `after` of a fault. Default 1,024.
 *
 * Accept errors among them are never fatal.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface RandomOptions {
  readonly seed?: string | number | undefined
  readonly connections?: number | undefined
  readonly share?: number | undefined
  readonly kinds?: ReadonlyArray<Fault["_tag"]> | undefined
  readonly bytes?: number | undefined
}

/**
 * The kinds of faults.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export const kinds: ReadonlyArray<Fault["_tag"]> = [
  "AcceptError",
  "HandshakeClosed",
  "Reset",
  "Silence",
  "HalfOpen",
  "SlowLoris",
  "SlowFlush",
  "StuckFlush"
]

/** The errors accept(2) can fail with while the listening socket lives. */
const retried = ["ECONNABORTED", "EPROTO", "EINTR", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] as const

/**
 * A plan of random faults, from a seed.
 *
 * **Example** (The same seed, the same plan)
 *
 * ```ts
 * import { Faults } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const plan = Faults.random({ seed: 7, connections: 10 })
 * const [one, other] = await Effect.runPromise(Effect.all([plan, plan]))
 * console.log(Faults.format(one) === Faults.format(other)) // => true
 * ```
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const random = (options?: RandomOptions): Effect.Effect<Plan> => {
  const among = options?.kinds ?? kinds
  const most = options?.bytes ?? 1024
  const after = Random.nextIntBetween(0, most)
  const choose = <A>(values: ReadonlyArray<A>): Effect.Effect<A> =>
    // the index is one of the array's
    Effect.map(Random.nextIntBetween(0, values.length - 1), (index) => values[index]!)
  const faults: { readonly [Kind in Fault["_tag"]]: Effect.Effect<Fault> } = {
    AcceptError: Effect.gen(function*() {
      return Fault.AcceptError({ code: yield* choose(retried), times: yield* Random.nextIntBetween(1, 3) })
    }),
    HandshakeClosed: Effect.succeed(Fault.HandshakeClosed()),
    Reset: Effect.gen(function*() {
      return Fault.Reset({ direction: yield* choose(["in", "out"] as const), after: yield* after })
    }),
    Silence: Effect.map(after, (after) => Fault.Silence({ after })),
    HalfOpen: Effect.map(after, (after) => Fault.HalfOpen({ after })),
    SlowLoris: Effect.map(Random.nextIntBetween(1, 20), (interval) => Fault.SlowLoris({ interval })),
    SlowFlush: Effect.map(Random.nextIntBetween(1, 64), (kib) => Fault.SlowFlush({ bytesPerSecond: kib * 1024 })),
    StuckFlush: Effect.map(after, (after) => Fault.StuckFlush({ after }))
  }
  return Effect.gen(function*() {
    const seed = options?.seed ?? (yield* Random.nextIntBetween(0, 2 ** 31))
    const injections = yield* Random.withSeed(
      Effect.gen(function*() {
        const injections: Array<Injection> = []
        for (let connection = 0; connection < (options?.connections ?? 100); connection++) {
          if ((yield* Random.next) >= (options?.share ?? 0.3)) continue
          injections.push({ connection, fault: yield* faults[yield* choose(among)] })
        }
        return injections
      }),
      seed
    )
    return { seed, injections }
  })
}

const describe: (fault: Fault) => string = Fault.$match({
  AcceptError: ({ code, times }) => `accepting fails with ${code}${times === 1 ? "" : ` ${times} times`}`,
  HandshakeClosed: () => "breaks off its handshake",
  Reset: ({ after, direction }) => `reset after ${after} bytes ${direction}`,
  Silence: ({ after }) => `silent after ${after} bytes`,
  HalfOpen: ({ after }) => `ends its side after ${after} bytes`,
  SlowLoris: ({ interval }) => `sends a byte every ${interval} ms`,
  SlowFlush: ({ bytesPerSecond }) => `takes ${bytesPerSecond} bytes a second`,
  StuckFlush: ({ after }) => `takes ${after} bytes and no more`
})

/**
 * A plan, or what of it happened, in words: a line for each fault.
 *
 * @stability experimental
 * @category formatting
 * @since 0.1.0
 */
export const format = ({ injections, seed }: Plan): string =>
  [
    `${injections.length} fault${injections.length === 1 ? "" : "s"}${seed === undefined ? "" : ` (seed ${seed})`}`,
    ...injections.map(({ connection, fault }) => `  connection ${connection}: ${describe(fault)}`)
  ].join("\n")

/**
 * A transport with faults. `injected` are those that have taken effect so far,
 * in the order in which they did.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface FaultyTransport extends Transport {
  readonly injected: Effect.Effect<ReadonlyArray<Injection>>
}

const exhausted = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
const fatal = new Set(["EBADF", "EINVAL", "ENOTSOCK"])

/**
 * A transport that does what another one does, until the plan says otherwise.
 *
 * **Example** (Out of descriptors for a moment)
 *
 * ```ts
 * import { Listener } from "@effect-listener/core"
 * import { Faults, MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const memory = yield* MemoryTransport.make()
 *   const plan = Faults.plan({ 0: [Faults.Fault.AcceptError({ code: "EMFILE", times: 2 })] })
 *   const transport = Faults.wrap(memory, plan)
 *   const listener = yield* Listener.listen(transport)
 *   yield* memory.connect
 *   yield* listener.accept
 *   console.log((yield* transport.injected).length) // => 2
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * ```
 *
 * @stability experimental
 * @category combinators
 * @since 0.1.0
 */
export const wrap = (transport: Transport, plan: Plan): FaultyTransport => {
  const injected: Array<Injection> = []
  const byConnection = new Map<number, Array<Fault>>()
  for (const { connection, fault } of plan.injections) {
    byConnection.set(connection, [...byConnection.get(connection) ?? [], fault])
  }
  let accepted = 0
  const meet = (context: Context.Context<never>): Meet => (original) => {
    const connection = accepted++
    const inject = (fault: Fault): void => {
      injected.push({ connection, fault })
    }
    const faults = byConnection.get(connection) ?? []
    const failures = faults.flatMap((fault) => {
      if (fault._tag !== "AcceptError") return []
      return Array.from({ length: fault.times }, () => {
        inject(fault)
        return acceptError(fault.code)
      })
    })
    const own = faults.filter((fault) => fault._tag !== "AcceptError")
    return {
      failures,
      connection: own.length === 0
        ? original
        : faultyConnection({ connection: original, behaviour: behaviourOf(own), onFault: inject, context })
    }
  }
  return {
    name: transport.name,
    bind: Effect.gen(function*() {
      const context = yield* Effect.context<never>()
      return yield* between(yield* transport.bind, meet(context))
    }),
    injected: Effect.sync(() => Array.from(injected))
  }
}

const acceptError = (code: string): TransportAcceptError =>
  new TransportAcceptError({
    class: exhausted.has(code) ? "exhausted" : fatal.has(code) ? "fatal" : "transient",
    code,
    cause: Object.assign(new Error(`accept ${code}`), { code })
  })

/** What the faults of a connection come to; of two of a kind the last counts. */
const behaviourOf = (faults: ReadonlyArray<ConnectionFault>): Behaviour => {
  const last = <Tag extends ConnectionFault["_tag"]>(
    tag: Tag,
    direction?: "in" | "out"
  ): Extract<ConnectionFault, { readonly _tag: Tag }> | undefined =>
    faults.findLast((fault): fault is Extract<ConnectionFault, { readonly _tag: Tag }> =>
      fault._tag === tag && (direction === undefined || (fault._tag === "Reset" && fault.direction === direction))
    )
  return {
    handshakeClosed: last("HandshakeClosed"),
    resetIn: last("Reset", "in"),
    resetOut: last("Reset", "out"),
    silence: last("Silence"),
    halfOpen: last("HalfOpen"),
    slowLoris: last("SlowLoris"),
    slowFlush: last("SlowFlush"),
    stuckFlush: last("StuckFlush")
  }
}
