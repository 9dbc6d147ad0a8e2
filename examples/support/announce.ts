import type * as Listener from "@effect-listener/core/Listener"
import type * as ListenerError from "@effect-listener/core/ListenerError"
import type * as ListenerHost from "@effect-listener/core/ListenerHost"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"

/**
 * Tells on stdout, in JSON lines, where an example listens, and what its close
 * did when it is closed, whatever closes it.
 */
export const announce: (listener: Listener.Listener) => Effect.Effect<void, ListenerError.InvalidOperation> = Effect
  .fnUntraced(function*(listener) {
    yield* print({ event: "open", ...yield* place(listener) })
    yield* announceClosed(listener.closed)
  })

/**
 * The same of a host: the address is that of its first listener, and the ports of
 * all are there by their names.
 */
export const announceHost: (host: ListenerHost.ListenerHost) => Effect.Effect<void, ListenerError.InvalidOperation> =
  Effect.fnUntraced(function*(host) {
    const places = yield* Effect.forEach(
      [...yield* host.listeners, ...yield* host.datagramListeners],
      (listener) => Effect.map(place(listener), (at) => ({ name: listener.name, ...at }))
    )
    yield* print({
      event: "open",
      address: places[0]?.address,
      port: places[0]?.port,
      ports: Object.fromEntries(places.map(({ name, port }) => [name, port]))
    })
    yield* announceClosed(host.closed)
  })

/** The same of sockets by their names. */
export const announcePlaces = (places: Record<string, NetAddress.SocketAddress>): Effect.Effect<void> => {
  const [first] = Object.values(places)
  return print({
    event: "open",
    ...first === undefined ? {} : placeAt(first),
    ports: Object.fromEntries(Object.entries(places).map(([name, address]) => [name, placeAt(address).port]))
  })
}

const place = (listener: Pick<Listener.Listener, "address">) => Effect.map(listener.address, placeAt)

const placeAt = (address: NetAddress.SocketAddress) => ({
  address: NetAddress.formatSocketAddress(address),
  port: NetAddress.isInetAddress(address) ? address.port : undefined
})

/** In a fiber of its own: a program is interrupted once its listeners are closed. */
const announceClosed = (closed: Effect.Effect<object>) =>
  Effect.forkDetach(Effect.flatMap(closed, (report) => print({ event: "closed", report })), { startImmediately: true })

/** One JSON line on stdout. */
export const print = (event: object): Effect.Effect<void> => Console.log(JSON.stringify(event))
