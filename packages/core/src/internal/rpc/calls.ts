import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"
import type { ConnectionImpl } from "../connection/connection.ts"
import { Signal } from "../util/condition.ts"
import type { CallId } from "./goodbye.ts"

/**
 * How long a connection without a call in flight is still read after it has
 * refused one, in milliseconds: a client that asks again at once would else
 * never leave it a quiet moment to end in.
 */
const refusedReadLimit = 250

/** The calls of one connection, each an exchange of it. */
export class Calls {
  readonly connection: ConnectionImpl
  /** How the RPC server calls the client; known from its first message on. */
  clientId: number | undefined
  /** How the client ended the connection, or lost it. */
  ended: Socket.SocketError | undefined
  /** There while the RPC server uses the connection. */
  writer: Socket.Writer | undefined
  /**
   * Nothing new is executed. Not at once when the drain comes: what had reached
   * this machine by then is. In a lame duck before it all calls are welcome.
   */
  step: "executing" | "settling" | "refusing" = "executing"
  /** The last thing the client was told of our going: that we leave, or what we still execute. */
  told: "leaving" | "goodbye" | undefined
  private readonly open = new Map<CallId, { readonly discard: boolean; readonly end: () => void }>()
  private unanswered = 0
  private readonly signal = new Signal()
  private refusedAt: number | undefined

  constructor(connection: ConnectionImpl) {
    this.connection = connection
  }

  /** The calls whose answers have not been sent. */
  get executing(): ReadonlyArray<CallId> {
    return Array.from(this.open.keys())
  }

  /** Whether an answer will end the call: not a notification's, nor that of a call which is answered when it begins. */
  answers(id: CallId): boolean {
    return this.open.get(id)?.discard === false
  }

  begin(id: CallId, label: string, discard: boolean): void {
    if (!this.open.has(id)) this.open.set(id, { discard, end: this.connection.beginExchange(label) })
  }

  end(id: CallId): void {
    const call = this.open.get(id)
    this.open.delete(id)
    call?.end()
  }

  endAll(): void {
    for (const id of this.executing) this.end(id)
  }

  /** Work that no answer ends: it ends itself. */
  run<A, E, R>(label: string, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      this.unanswered++
      return Effect.ensuring(
        this.connection.exchange(label, work),
        Effect.sync(() => {
          this.unanswered--
          this.signal.notify()
        })
      )
    })
  }

  /** Waits until no such work is left. */
  get finished(): Effect.Effect<void> {
    return this.signal.until(() => this.unanswered === 0)
  }

  refuse(): void {
    this.connection.context.refused()
    if (this.open.size === 0 && this.unanswered === 0) this.refusedAt ??= this.connection.context.now()
  }

  /** The client goes on asking although it was told, and nothing of it is in flight. */
  get stopsReading(): boolean {
    return this.refusedAt !== undefined && this.connection.context.now() - this.refusedAt >= refusedReadLimit
  }
}

/** The calls of the connection a message came on; none on servers that are no listener of ours. */
export const CurrentCalls: Context.Reference<Calls | undefined> = Context.Reference<Calls | undefined>(
  "@effect-listener/core/internal/rpcCalls/CurrentCalls",
  { defaultValue: () => undefined }
)
