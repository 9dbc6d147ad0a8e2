/** Sweeps that last as long as a test wants. */
import type { Transport } from "@effect-listener/core/Transport"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

/** A transport whose sweep goes on until the gate opens, or a tenth of the deadline is left. */
export const sweepingUntil = (gate: Deferred.Deferred<void>, transport: Transport): Transport => ({
  name: transport.name,
  bind: Effect.map(transport.bind, (bound) => ({
    address: bound.address,
    accept: bound.accept,
    stop: Effect.andThen(Deferred.await(gate), bound.stop),
    stillQueued: () => true
  }))
})
