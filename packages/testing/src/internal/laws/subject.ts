/**
 * What the laws are about: a transport, and real clients of it.
 */
import type { Transport } from "@effect-listener/core/Transport"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Demand } from "./lawSuite.ts"

/**
 * A client of the transport, as the checks use it.
 *
 * **Details**
 *
 * - `write`: completes when the bytes are on the server's machine or the peer
 *   holds them back; fails when the connection no longer takes them.
 * - `read`: the next bytes, at least one. Reads nothing before it is asked, so
 *   that a client that does not read holds the server back. Fails when the
 *   server has ended the connection and all before that was read, and when the
 *   connection was reset.
 * - `end`: ends the writing side (FIN); reading goes on.
 * - `reset`: breaks the connection off.
 * - `ended`: how the server ended the connection. Asked only when all was read.
 *
 * The client of a `MemoryTransport` is one.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Client {
  readonly write: (data: Uint8Array) => Effect.Effect<void, unknown>
  readonly read: Effect.Effect<Uint8Array, unknown>
  readonly end: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
  readonly ended: Effect.Effect<"Fin" | "Reset">
}

/**
 * A transport to be checked, and how to connect to it.
 *
 * **Details**
 *
 * - `transport`: one whose address is free and stays the same when it is bound
 *   again.
 * - `connect`: a client, as soon as it is in the accept queue; fails where
 *   nothing listens. Its scope closes it.
 * - `fill`: so many clients in the accept queue before the transport had a
 *   chance to look: for sockets, without a turn of the event loop in between.
 *   Default: so many times `connect`.
 * - `held`: how many connections the transport holds now; what it has released
 *   must not be among them. Default: not looked at.
 * - `resets`: whether a client sees that a connection was cut and not ended.
 *   Default `true`; there is no reset on Unix sockets.
 * - `halfOpen`: whether one side can be ended alone. Default `true`.
 * - `holder`: the address as another process has it that holds the same listening
 *   socket: a client that is not accepted waits for the next bind. Default:
 *   there is none, and leaving the queue is not looked at.
 *
 * @stability experimental
 * @category models
 * @since 0.1.0
 */
export interface Subject {
  readonly transport: Transport
  readonly connect: Effect.Effect<Client, unknown, Scope.Scope>
  readonly fill?: ((clients: number) => Effect.Effect<ReadonlyArray<Client>, unknown, Scope.Scope>) | undefined
  readonly held?: Effect.Effect<number> | undefined
  readonly resets?: boolean | undefined
  readonly halfOpen?: boolean | undefined
  readonly holder?: Pick<Subject, "transport" | "connect"> | undefined
}

/** One thing a law demands of a transport. */
export type Check = Demand<Subject>
