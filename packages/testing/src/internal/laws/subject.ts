/**
 * What the laws are about: a transport, and real clients of it.
 */
import type { Transport } from "@effect-listener/core/Transport"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface Client {
  readonly write: (data: Uint8Array) => Effect.Effect<void, unknown>
  readonly read: Effect.Effect<Uint8Array, unknown>
  readonly end: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
  readonly ended: Effect.Effect<"Fin" | "Reset">
}

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
export interface Check {
  readonly about: string
  readonly name: string
  readonly run: (subject: Subject) => Effect.Effect<void, unknown, Scope.Scope>
}
