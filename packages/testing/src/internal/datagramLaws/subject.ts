/**
 * What the laws are about: a datagram transport, and real clients of it.
 */
import type { DatagramTransport } from "@effect-listener/core/DatagramTransport"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Demand } from "../laws/lawSuite.ts"

/**
 * A client of the transport, as the checks use it.
 *
 * **Details**
 *
 * - `send`: completes when the datagram is on the server's machine.
 * - `fill`: sends so many before the transport has a chance to look: for sockets,
 *   without a turn of the event loop in between. Default: so many times `send`.
 * - `receive`: the next datagram that comes back.
 *
 * The client of `MemoryTransport.datagrams` is one.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Client {
  readonly send: (payload: Uint8Array) => Effect.Effect<void, unknown>
  readonly fill?: ((payloads: ReadonlyArray<Uint8Array>) => Effect.Effect<void, unknown>) | undefined
  readonly receive: Effect.Effect<Uint8Array, unknown>
}

/**
 * A datagram transport to be checked, and how to send to it.
 *
 * **Details**
 *
 * - `transport`: one whose address is free and stays the same when it is bound
 *   again.
 * - `client`: a client, which its scope closes.
 * - `held`: how many sockets the transport holds now. Default: not looked at.
 * - `largest`: the most bytes that a datagram can have. Default: not tried.
 * - `tooLarge`: so many bytes that sending them fails. Default: not tried.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Subject {
  readonly transport: DatagramTransport
  readonly client: Effect.Effect<Client, unknown, Scope.Scope>
  readonly held?: Effect.Effect<number> | undefined
  readonly largest?: number | undefined
  readonly tooLarge?: number | undefined
}

/** One thing a law demands of a datagram transport. */
export type Check = Demand<Subject>
