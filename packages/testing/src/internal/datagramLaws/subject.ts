/**
 * What the laws of datagrams are about: a transport, and real clients of it.
 */
import type { DatagramTransport } from "@effect-listener/core/DatagramTransport"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface DatagramClient {
  readonly send: (payload: Uint8Array) => Effect.Effect<void, unknown>
  readonly fill?: ((payloads: ReadonlyArray<Uint8Array>) => Effect.Effect<void, unknown>) | undefined
  readonly receive: Effect.Effect<Uint8Array, unknown>
}

export interface DatagramSubject {
  readonly transport: DatagramTransport
  readonly client: Effect.Effect<DatagramClient, unknown, Scope.Scope>
  readonly held?: Effect.Effect<number> | undefined
  readonly largest?: number | undefined
  readonly tooLarge?: number | undefined
}

/** One thing a law demands of a datagram transport. */
export interface DatagramCheck {
  readonly about: string
  readonly name: string
  readonly run: (subject: DatagramSubject) => Effect.Effect<void, unknown, Scope.Scope>
}
