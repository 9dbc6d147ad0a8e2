/**
 * A whole `DatagramTransport` without sockets: datagrams in memory, time on
 * Effect's clock, and control over everything that is up to the kernel and the
 * network. `MemoryTransport.datagrams` is its constructor.
 *
 * Datagrams keep their order and none is lost, unless the test says otherwise: it
 * may lose, double, delay or reorder any of them, in both directions. A datagram
 * that has arrived waits in the "kernel", which has room for so many, until other
 * fibers have had a turn, as it does over a real socket; `hold` keeps it there.
 *
 * It uses no timer, promise or event loop of its own, so a test is deterministic
 * under `TestClock` and under an exploring `Scheduler`.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type { BoundDatagramTransport, DatagramTransport } from "@effect-listener/core/DatagramTransport"
import { type TransportAcceptError, TransportBindError } from "@effect-listener/core/Transport"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Scope from "effect/Scope"
import type * as DatagramSocket from "effect/socket/DatagramSocket"
import { MemoryDatagramClient } from "./internal/memory/datagramClient.ts"
import { MemoryDatagramSocket } from "./internal/memory/datagramSocket.ts"
import { Passage } from "./internal/memory/passage.ts"

/**
 * A datagram on its way: `number` counts those of its direction from 0.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Passing {
  readonly direction: "toServer" | "toClient"
  readonly number: number
  readonly payload: Uint8Array
}

/**
 * What becomes of a datagram on its way.
 *
 * **Details**
 *
 * - `copies`: how often it arrives; 0 loses it. Default 1.
 * - `delay`: how long it is on its way. Default 0.
 * - `behind`: arrives behind so many of those that come after it, and not at all
 *   when fewer come. Default 0.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Fate {
  readonly copies?: number | undefined
  readonly delay?: Duration.Input | undefined
  readonly behind?: number | undefined
}

/**
 * The options of an in-memory datagram transport.
 *
 * **Details**
 *
 * - `room`: how many datagrams may wait in the "kernel" of the server; more are
 *   lost, as in a receive buffer that is full. Default 4096.
 * - `fate`: what becomes of each datagram. Default: it arrives. `setFate` changes
 *   it.
 * - `largest`: the most bytes of a datagram; sending more fails with
 *   `MessageTooLarge`. Default 65,507.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly room?: number | undefined
  readonly fate?: ((passing: Passing) => Fate) | undefined
  readonly largest?: number | undefined
}

/**
 * A `DatagramTransport` in memory, and the test's side of it.
 *
 * **Details**
 *
 * - `address`: where it binds and where clients send.
 * - `client`: a socket of a client. Its scope closes it.
 * - `setFate`: what becomes of datagrams from now on.
 * - `hold`: what arrives stays in the kernel, as behind an event loop that is
 *   busy, until `release`, or until the socket is swept.
 * - `holdSends`: what the server sends stays unsent, as with a send buffer that is
 *   full, until `releaseSends`.
 * - `failBind`: the next bind fails with this error.
 * - `failReceive`: receiving fails with this error, or the next `times` (default
 *   1). No datagram is lost.
 * - `failSend`: the next answers, so many `times` (default 1), fail with this kind
 *   of error.
 * - `fault`: the socket dies: receiving fails with this error for ever, and so
 *   does every answer.
 * - `open`: sockets of the server that are bound. 0 when nothing leaked.
 * - `queued`: datagrams in the kernel. `lost`: those it had no room for.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface MemoryDatagrams extends DatagramTransport {
  readonly address: NetAddress.SocketAddress
  readonly client: Effect.Effect<Client, never, Scope.Scope>
  readonly setFate: (fate: (passing: Passing) => Fate) => Effect.Effect<void>
  readonly hold: Effect.Effect<void>
  readonly release: Effect.Effect<void>
  readonly holdSends: Effect.Effect<void>
  readonly releaseSends: Effect.Effect<void>
  readonly failBind: (error: TransportBindError) => Effect.Effect<void>
  readonly failReceive: (error: TransportAcceptError, times?: number) => Effect.Effect<void>
  readonly failSend: (kind: DatagramSocket.IoErrorKind, times?: number) => Effect.Effect<void>
  readonly fault: (error: TransportAcceptError) => Effect.Effect<void>
  readonly open: Effect.Effect<number>
  readonly queued: Effect.Effect<number>
  readonly lost: Effect.Effect<number>
}

/**
 * A client of a `MemoryDatagrams`.
 *
 * **Details**
 *
 * - `send`: always succeeds, whether something is bound or not.
 * - `receive`, `receiveText`: waits for the next datagram; interrupted, it loses
 *   none.
 * - `received`: everything that has arrived so far and was not taken by
 *   `receive`, as text.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Client {
  readonly local: NetAddress.SocketAddress
  readonly send: (payload: Uint8Array | string) => Effect.Effect<void>
  readonly receive: Effect.Effect<Uint8Array>
  readonly receiveText: Effect.Effect<string>
  readonly received: Effect.Effect<ReadonlyArray<string>>
}

/**
 * Makes a datagram transport in memory.
 *
 * **Example** (Every second datagram is lost)
 *
 * ```ts
 * import { DatagramListener } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const transport = yield* MemoryTransport.datagrams({
 *     fate: ({ direction, number }) => ({ copies: direction === "toServer" ? number % 2 : 1 })
 *   })
 *   const listener = yield* DatagramListener.listen(transport)
 *   const client = yield* transport.client
 *   yield* client.send("one")
 *   yield* client.send("two")
 *   console.log(new TextDecoder().decode((yield* listener.receive).payload)) // => two
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * ```
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<MemoryDatagrams> =>
  Effect.gen(function*() {
    const context = Context.omit(Scope.Scope)(yield* Effect.context<never>())
    const newAddress = addresses()
    const address = newAddress()
    const passage = new Passage(Effect.runForkWith(context), options.fate ?? (() => ({})))
    const clients = new Map<string, MemoryDatagramClient>()
    const bindFailures: Array<TransportBindError> = []
    let socket: MemoryDatagramSocket | undefined

    const deliver = (to: NetAddress.SocketAddress, payload: Uint8Array): void => {
      const client = clients.get(NetAddress.formatSocketAddress(to))
      passage.pass("toClient", payload, () => client?.arrive(payload))
    }
    const common = { room: options.room ?? 4096, largest: options.largest ?? 65_507, deliver }
    const state = MemoryDatagramSocket.state(common)

    const bind: Effect.Effect<BoundDatagramTransport, TransportBindError, Scope.Scope> = Effect.acquireRelease(
      Effect.suspend(() => {
        const failure = bindFailures.shift()
        if (failure !== undefined) return Effect.fail(failure)
        if (socket !== undefined) {
          return Effect.fail(
            TransportBindError.AddressInUse({ address: NetAddress.formatSocketAddress(address) })
          )
        }
        return Effect.succeed(socket = new MemoryDatagramSocket(state, address))
      }),
      (bound) =>
        Effect.sync(() => {
          bound.close()
          socket = undefined
        })
    )

    const client = Effect.acquireRelease(
      Effect.sync(() => {
        const local = newAddress()
        const client = new MemoryDatagramClient(local, (payload) => {
          passage.pass("toServer", payload, () => socket?.arrive(payload, local))
        })
        clients.set(NetAddress.formatSocketAddress(local), client)
        return client
      }),
      ({ local }) =>
        Effect.sync(() => {
          clients.delete(NetAddress.formatSocketAddress(local))
        })
    )

    return {
      name: "memory-datagrams",
      address,
      bind,
      client,
      setFate: (fate) =>
        Effect.sync(() => {
          passage.fate = fate
        }),
      hold: Effect.sync(() => {
        state.held = true
      }),
      release: Effect.sync(() => {
        state.held = false
        socket?.poll()
      }),
      holdSends: Effect.sync(() => {
        state.sendsHeld = true
      }),
      releaseSends: Effect.sync(() => {
        state.sendsHeld = false
        socket?.flush()
      }),
      failBind: (error) => Effect.sync(() => void bindFailures.push(error)),
      failReceive: (error, times = 1) =>
        Effect.sync(() => {
          for (let i = 0; i < times; i++) state.receiveFailures.push(error)
          socket?.poll()
        }),
      failSend: (kind, times = 1) =>
        Effect.sync(() => {
          for (let i = 0; i < times; i++) state.sendFailures.push(kind)
        }),
      fault: (error) => Effect.sync(() => socket?.die(error)),
      open: Effect.sync(() => socket === undefined ? 0 : 1),
      queued: Effect.sync(() => socket?.queued ?? 0),
      lost: Effect.sync(() => state.lost)
    }
  })

/** Addresses of this host, each with a port that none before it had. */
const addresses = (): () => NetAddress.InetAddress => {
  let port = 40_000
  return () => NetAddress.inetAddressUnsafe(NetAddress.ipv4Loopback, port++)
}
