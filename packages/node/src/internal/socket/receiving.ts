/**
 * What `Connection.runForEach` of `@effect-listener/core` looks for: the contract
 * of its `internal/transport/receiving.ts`, to which a test compares this.
 */
import type * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"

/** A reader that also gives what comes by a call, so that no fiber is resumed for each chunk. */
export interface ReceivingReader extends Socket.Reader {
  /** A pull that is repeated, in line with other pulls. A receiver that waits is counted as a pull that waits. */
  readonly receive: (receiver: Receiver) => Receiving
}

export interface Receiver {
  /** Takes a chunk, and answers whether it waits for the next one. */
  readonly chunk: (chunk: Uint8Array | string) => boolean
  /** What a pull would have failed with. Called at most once, and last. */
  readonly end: (error: Socket.SocketError) => void
}

/** What a receiver says to its reader. */
export interface Receiving {
  /** It waits for the next chunk, after one at which it did not. */
  readonly next: () => void
  /** It takes no more: it is not called again, and nothing is lost. */
  readonly stop: () => void
}

export const ImmediateTypeId = "~@effect-listener/core/ImmediateEffect"

/** An effect that needs no fiber to begin, such as a write. */
export interface ImmediateEffect<A, E = never, R = never> extends Effect.Effect<A, E, R> {
  readonly [ImmediateTypeId]: typeof ImmediateTypeId
  /** Does at once what the effect does without waiting, and answers with what is left: an `Exit` when that is nothing. */
  readonly begin: () => Effect.Effect<A, E, R>
}
