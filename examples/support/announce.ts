import type * as Listener from "@effect-listener/core/Listener"
import type * as ListenerError from "@effect-listener/core/ListenerError"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"

/**
 * Tells on stdout, in JSON lines, where an example listens, and what its close
 * did when it is closed, whoever closes it.
 */
export const announce: (listener: Listener.Listener) => Effect.Effect<void, ListenerError.InvalidOperation> = Effect
  .fnUntraced(function*(listener) {
    const address = yield* listener.address
    yield* print({
      event: "open",
      address: NetAddress.formatSocketAddress(address),
      port: NetAddress.isInetAddress(address) ? address.port : undefined
    })
    // in a fiber of its own: a program is interrupted once its listeners are closed
    yield* Effect.forkDetach(
      Effect.flatMap(listener.closed, (report) => print({ event: "closed", report })),
      { startImmediately: true }
    )
  })

const print = (event: object): Effect.Effect<void> => Console.log(JSON.stringify(event))
