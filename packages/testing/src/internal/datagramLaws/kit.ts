/**
 * The words in which the checks of datagrams are written: clients and listeners
 * of the transport that is looked at.
 */
import * as DatagramListener from "@effect-listener/core/DatagramListener"
import type { BoundDatagramTransport, TransportDatagram } from "@effect-listener/core/DatagramTransport"
import type { DatagramCounts, DrainReport } from "@effect-listener/core/DrainReport"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { type Broken, ensure, ensureEquals, orBroken, start, within } from "../laws/kit/expect.ts"
import { decode, encode } from "../util/bytes.ts"
import type { Client, Subject } from "./subject.ts"

export const bind = (subject: Subject): Effect.Effect<BoundDatagramTransport, Broken, Scope.Scope> =>
  orBroken(within("bind", subject.transport.bind), "bind")

export const connect = (subject: Subject): Effect.Effect<Client, Broken, Scope.Scope> =>
  orBroken(within("making a client", subject.client), "making a client")

/** Messages that can be told apart. */
export const messages = (count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, index) => `message ${index}`)

export const send = (client: Client, text: string): Effect.Effect<void, Broken> =>
  orBroken(within("send", client.send(encode(text))), "send")

/** Sends them all before the transport has a chance to look, where the client can do that. */
export const fill = (client: Client, texts: ReadonlyArray<string>): Effect.Effect<void, Broken> =>
  orBroken(
    within(
      "filling the socket",
      client.fill?.(texts.map(encode)) ?? Effect.forEach(texts, (text) => client.send(encode(text)), { discard: true })
    ),
    "filling the socket"
  )

export const receive = (client: Client): Effect.Effect<string, Broken> =>
  orBroken(Effect.map(within("an answer", client.receive), decode), "an answer")

export const receiveAll = (client: Client, count: number): Effect.Effect<ReadonlyArray<string>, Broken> =>
  Effect.forEach(Array.from({ length: count }), () => receive(client))

/** Everything that a bound transport hands over, in order, until the fiber is interrupted. */
export const collecting = (
  bound: BoundDatagramTransport
): Effect.Effect<{ readonly received: Array<TransportDatagram>; readonly fiber: Fiber.Fiber<never, unknown> }> =>
  Effect.gen(function*() {
    const received: Array<TransportDatagram> = []
    const fiber = yield* start(bound.receiveAll((datagram) => received.push(datagram)))
    return { received, fiber }
  })

export const textOf = ({ payload }: { readonly payload: Uint8Array }): string => decode(payload)

export type Handler = (
  datagram: DatagramListener.Datagram,
  reply: DatagramListener.Reply
) => Effect.Effect<unknown, unknown>

export const echo: Handler = (datagram, reply) => reply(datagram.payload)

/** A listener of the transport that is open and served. */
export const serve = (
  { transport }: Subject,
  handler: Handler,
  options?: DatagramListener.DatagramListenerOptions & DatagramListener.ServeOptions
): Effect.Effect<DatagramListener.DatagramListener, Broken, Scope.Scope> =>
  Effect.gen(function*() {
    const listener = yield* orBroken(within("open", DatagramListener.listen(transport, options)), "open")
    yield* start(DatagramListener.serve(listener, handler, options))
    return listener
  })

/** Waits until `count` exchanges are open. */
export const untilOpen = (listener: DatagramListener.DatagramListener, count: number): Effect.Effect<void, Broken> =>
  within(
    `${count} exchanges`,
    Effect.gen(function*() {
      while ((yield* listener.exchanges).length < count) yield* Effect.sleep(1)
    })
  )

/** Each datagram ends for one reason, and none is left. */
export const ensureSums = ({ datagrams }: DrainReport): Effect.Effect<DatagramCounts, Broken> => {
  if (datagrams === undefined) return Effect.andThen(ensure(false, "a report without datagrams"), Effect.never)
  const { dropped, received, ...ends } = datagrams
  const sum = [...Object.values(ends), ...Object.values(dropped)].reduce((a, b) => a + b, 0)
  return Effect.as(ensureEquals(sum, received, "the ends of all datagrams, and what was received"), datagrams)
}

/** Nothing of the transport is held, where it tells. */
export const ensureReleased = ({ held }: Subject): Effect.Effect<void, Broken> =>
  held === undefined ? Effect.void : Effect.flatMap(held, (count) => ensureEquals(count, 0, "sockets that are held"))
