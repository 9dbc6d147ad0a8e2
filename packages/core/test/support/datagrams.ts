import { DatagramListener } from "@effect-listener/core"
import type { DatagramTransport } from "@effect-listener/core"
import { type MemoryDatagrams, MemoryTransport } from "@effect-listener/testing"
import { Effect, type Scope } from "effect"
import { NetAddress } from "effect/net"
import type { DatagramListenerImpl } from "../../src/internal/datagrams/datagramListener.ts"
import { start } from "./listening.ts"

const decoder = new TextDecoder()

export const textOf = (datagram: DatagramListener.Datagram): string => decoder.decode(datagram.payload)

/** A listener that is aborted when the test ends: its drain would wait for the virtual clock. */
export const listen = (
  transport: MemoryDatagrams.MemoryDatagrams,
  options?: DatagramListener.DatagramListenerOptions
) => Effect.tap(DatagramListener.listen(transport, options), (listener) => Effect.addFinalizer(() => listener.abort))

/** A listener that is served, and the transport beneath it. */
export const serving = (
  handler: (
    datagram: DatagramListener.Datagram,
    reply: DatagramListener.Reply
  ) => Effect.Effect<unknown, unknown, Scope.Scope>,
  options?: DatagramListener.DatagramListenerOptions & DatagramListener.ServeOptions & {
    readonly memory?: MemoryDatagrams.Options
  }
) =>
  Effect.gen(function*() {
    const transport = yield* MemoryTransport.datagrams(options?.memory)
    const listener = yield* listen(transport, options)
    const served = yield* start(DatagramListener.serve(listener, handler, options))
    return { transport, listener, served }
  })

/** Answers with what it is sent, at once. */
export const echo = (datagram: DatagramListener.Datagram, reply: DatagramListener.Reply) => reply(datagram.payload)

/** Lets everything that has arrived be handled, as far as it goes without time passing. */
export const settled = Effect.repeat(Effect.yieldNow, { times: 20 })

/** A listener that is served, of as many remotes as there are numbers, and how many of them it keeps. */
export const remotesServed = (
  admission: DatagramListener.DatagramAdmissionOptions,
  handler: () => Effect.Effect<unknown>
) =>
  Effect.gen(function*() {
    let take: (datagram: DatagramTransport.TransportDatagram) => void = () => {}
    const transport: DatagramTransport.DatagramTransport = {
      name: "remotes",
      bind: Effect.succeed({
        address: NetAddress.inetAddressUnsafe(NetAddress.ipv4Loopback, 1),
        receiveAll: (arrive) => {
          take = arrive
          return Effect.never
        },
        stop: Effect.void,
        dropped: () => 0
      })
    }
    const listener = yield* DatagramListener.listen(transport, { admission })
    yield* start(DatagramListener.serve(listener, handler))
    yield* settled
    const manager = () =>
      // what a listener keeps of its remotes is its own affair, and this test's
      (listener as unknown as { readonly manager: DatagramListenerImpl["manager"] }).manager
    return {
      listener,
      arrive: (n: number): void => {
        const ip = NetAddress.ipFromStringUnsafe(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`)
        take({
          payload: new Uint8Array(1),
          remote: NetAddress.inetAddressUnsafe(ip, 1000),
          send: (_, done) => done(undefined)
        })
      },
      kept: (): number => manager().limits.remotes.size
    }
  })
