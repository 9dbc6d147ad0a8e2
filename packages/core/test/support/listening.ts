import { type Connection, type Drain, Listener, type Transport } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { Effect, type Scope, Stream } from "effect"

/** How listeners close where a test is not about a grace or a linger. */
export const quick = {
  idleGrace: 0,
  deadline: "10 seconds",
  abortGrace: "100 millis",
  linger: { idle: 0 }
} as const satisfies Drain.DrainOptions

/** A listener that is aborted when the test ends: its drain would wait for the virtual clock. */
export const listen = (transport: Transport.Transport, options?: Listener.ListenerOptions) =>
  Effect.tap(Listener.listen(transport, options), (listener) => Effect.addFinalizer(() => listener.abort))

interface Options extends Listener.ListenerOptions {
  readonly memory?: MemoryTransport.Options
}

/** A listener that is open and closes quickly, and the transport in memory beneath it. */
export const listening = ({ memory, ...options }: Options = {}) =>
  Effect.gen(function*() {
    const transport = yield* MemoryTransport.make(memory)
    const listener = yield* listen(transport, { drain: quick, ...options })
    return { transport, listener }
  })

/** The same, and the fiber that serves it. */
export const serving = <E, R>(
  handler: (connection: Connection.Connection) => Effect.Effect<unknown, E, R | Scope.Scope>,
  options: Options & Listener.ServeOptions = {}
) =>
  Effect.gen(function*() {
    const { listener, transport } = yield* listening(options)
    const served = yield* start(Listener.serve(listener, handler, options))
    return { transport, listener, served }
  })

/** Waits until a close has come to this stage. */
export const untilStage = (closing: Pick<Listener.Listener, "progress">, stage: Drain.DrainStage) =>
  closing.progress.pipe(Stream.takeUntil((progress) => progress.stage === stage), Stream.runDrain)

/** Runs in a fiber that has already started. */
export const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

export const tagOf = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => error._tag)
