import type { TransportConnection } from "@effect-listener/core/Transport"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"
import type { ConnectionFault } from "../../Faults.ts"
import { bytesOf } from "../util/bytes.ts"
import { closeError } from "../util/socketErrors.ts"
import type { Behaviour } from "./behaviour.ts"
import { Change } from "./change.ts"

/** What comes in: bytes taken from the connection and not given to a pull yet, and where it goes wrong. */
export class Incoming {
  private readonly connection: TransportConnection
  private readonly behaviour: Behaviour
  private readonly note: (fault: ConnectionFault) => void
  private readonly reset: (fault: ConnectionFault) => void
  private readonly changed = new Change()
  private held: Uint8Array = new Uint8Array(0)
  private given = 0
  /** What every pull fails with from now on. */
  private ended: Socket.SocketError | undefined

  constructor(
    connection: TransportConnection,
    behaviour: Behaviour,
    note: (fault: ConnectionFault) => void,
    reset: (fault: ConnectionFault) => void
  ) {
    this.connection = connection
    this.behaviour = behaviour
    this.note = note
    this.reset = reset
  }

  get reader(): Socket.Socket["reader"] {
    return Effect.flatMap(this.connection.socket.reader, (reader) => {
      let closed = false
      const pull: Socket.Reader["pull"] = Effect.suspend(() => this.pull(reader.pull, () => closed))
      return Effect.as(
        Effect.addFinalizer(() =>
          Effect.sync(() => {
            closed = true
            this.changed.wake()
          })
        ),
        { pull, upgrade: reader.upgrade }
      )
    })
  }

  /** Every pull fails from now on; those that wait have to be woken. */
  end(error: Socket.SocketError): void {
    this.ended ??= error
  }

  wake(): void {
    this.changed.wake()
  }

  endReading(error: Socket.SocketError): boolean {
    if (this.ended !== undefined) return true
    if (!this.isSilent) {
      if (this.held.length > 0) return false
      if (!this.connection.endReading(error)) return false
    }
    this.end(error)
    this.wake()
    return true
  }

  /** How many bytes may still be given before this fault takes effect. */
  private left(fault: { readonly after: number } | undefined): number {
    return fault === undefined ? Infinity : Math.max(0, fault.after - this.given)
  }

  private get isSilent(): boolean {
    return this.left(this.behaviour.silence) === 0
  }

  private pull(
    inner: Socket.Reader["pull"],
    closed: () => boolean
  ): Effect.Effect<NonEmptyReadonlyArray<Uint8Array>, Socket.SocketError> {
    const again = Effect.suspend(() => this.pull(inner, closed))
    const { halfOpen, resetIn, silence, slowLoris } = this.behaviour
    if (closed()) return Effect.fail(closeError(1006))
    if (this.ended !== undefined) return Effect.fail(this.ended)
    if (resetIn !== undefined && this.left(resetIn) === 0) {
      this.reset(resetIn)
      return again
    }
    if (halfOpen !== undefined && this.left(halfOpen) === 0) {
      this.note(halfOpen)
      return Effect.fail(closeError(1000))
    }
    if (silence !== undefined && this.isSilent) {
      this.note(silence)
      return Effect.andThen(this.changed.wait, again)
    }
    if (this.held.length === 0) return Effect.andThen(this.take(inner), again)
    if (slowLoris === undefined) return this.give(Infinity)
    this.note(slowLoris)
    return Effect.raceFirst(Effect.sleep(slowLoris.interval), this.changed.wait).pipe(
      Effect.andThen(Effect.suspend(() => closed() || this.ended !== undefined ? again : this.give(1)))
    )
  }

  /** What is taken is held here before anything else can happen. */
  private take(inner: Socket.Reader["pull"]): Effect.Effect<void, Socket.SocketError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.matchEffect(restore(inner), {
        onSuccess: (chunks) =>
          Effect.sync(() => {
            this.held = bytesOf(chunks)
          }),
        onFailure: (error) => Effect.fail(this.ended ?? error)
      })
    )
  }

  /** In one step, so that bytes are either held or the caller's. */
  private give(limit: number): Effect.Effect<NonEmptyReadonlyArray<Uint8Array>> {
    return Effect.sync(() => {
      const { halfOpen, resetIn, silence } = this.behaviour
      const size = Math.min(limit, this.left(halfOpen), this.left(resetIn), this.left(silence))
      const bytes = this.held.subarray(0, size)
      this.held = this.held.subarray(bytes.length)
      this.given += bytes.length
      return [bytes]
    })
  }
}
