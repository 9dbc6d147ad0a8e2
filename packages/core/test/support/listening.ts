import { type Drain, Listener, type Transport } from "@effect-listener/core"
import { Effect, Stream } from "effect"

/** A listener that is aborted when the test ends: its drain would wait for the virtual clock. */
export const listen = (transport: Transport.Transport, options?: Listener.ListenerOptions) =>
  Effect.tap(Listener.listen(transport, options), (listener) => Effect.addFinalizer(() => listener.abort))

/** Waits until a close has come to this stage. */
export const untilStage = (closing: Pick<Listener.Listener, "progress">, stage: Drain.DrainStage) =>
  closing.progress.pipe(Stream.takeUntil((progress) => progress.stage === stage), Stream.runDrain)

/** Runs in a fiber that has already started. */
export const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

export const tagOf = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => error._tag)
