/** One connection of an RPC client, and the calls that were made on it. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { RpcClientDefect, RpcClientError } from "effect/rpc/RpcClientError"
import type { FromClientEncoded, FromServerEncoded, RequestEncoded } from "effect/rpc/RpcMessage"
import type { Parser } from "effect/rpc/RpcSerialization"
import type * as Socket from "effect/socket/Socket"
import type { CallId, DrainMessages, Goodbye } from "./goodbye.ts"

/** What a connection needs of its client. */
export interface LinkContext {
  readonly drainMessages: DrainMessages
  /** Gives an answer to the maker of the call. */
  readonly deliver: (clientId: number, response: FromServerEncoded) => Effect.Effect<void>
  /** What a server says to no call in particular. */
  readonly broadcast: (response: FromServerEncoded) => Effect.Effect<void>
  /** The connection takes no more calls, takes them only where there is no better one, or has answered its last. */
  readonly changed: () => void
}

/** How a call on one connection ended, when not by the end of that connection. */
export type Outcome = "answered" | "unexecuted"

interface Call {
  readonly clientId: number
  readonly resume: (outcome: Effect.Effect<Outcome, RpcClientError>) => void
}

const executed = Effect.succeed<Outcome>("answered")
const unexecuted = Effect.succeed<Outcome>("unexecuted")

export class Link {
  /**
   * Takes calls; takes them while there is no better one, because its server
   * leaves; takes none, because its server said its last word; is gone.
   */
  status: "open" | "leaving" | "closing" | "ended" = "open"
  private readonly calls = new Map<CallId, Call>()
  /** Answers on their way to the makers of the calls. */
  private delivering = 0
  private readonly context: LinkContext
  private readonly parser: Parser
  private readonly writer: Socket.Writer

  constructor(context: LinkContext, parser: Parser, writer: Socket.Writer) {
    this.context = context
    this.parser = parser
    this.writer = writer
  }

  get usable(): boolean {
    return this.status === "open" || this.status === "leaving"
  }

  /** Nothing more will come from it. */
  get spent(): boolean {
    return this.status !== "open" && this.calls.size === 0 && this.delivering === 0
  }

  // --- what a client says ----------------------------------------------------------------------------------------

  /** Makes a call, and waits until it is answered, or known to be executed nowhere. */
  execute(clientId: number, request: RequestEncoded): Effect.Effect<Outcome, RpcClientError> {
    return Effect.contextWith((context) => {
      const runFork = Effect.runForkWith(context)
      return Effect.callback<Outcome, RpcClientError>((resume) => {
        if (!this.usable) return resume(unexecuted)
        const requestId = request.id
        this.calls.set(requestId, { clientId, resume })
        // not waited for: the answer may come, or the connection go, while the write still waits for room
        runFork(this.write(request)).addObserver((exit) => {
          if (Exit.isFailure(exit)) this.settle(requestId, Effect.failCause(exit.cause))
        })
        return Effect.sync(() => {
          const call = this.settle(requestId, unexecuted)
          // its maker has gone: the server may stop
          if (call !== undefined) runFork(this.write({ _tag: "Interrupt", requestId }))
        })
      })
    })
  }

  /** Passes a word about a call on, if the call is one of this connection. */
  forward(message: Extract<FromClientEncoded, { readonly requestId: CallId }>): Effect.Effect<void> {
    return this.calls.has(message.requestId) ? this.write(message) : Effect.void
  }

  /** That a connection is gone is for its reader to say, which knows what the server said last. */
  write(message: FromClientEncoded): Effect.Effect<void> {
    return Effect.suspend(() => {
      const encoded = this.parser.encode(message)
      return encoded === undefined ? Effect.void : Effect.ignore(this.writer.write(encoded))
    })
  }

  // --- what the server says --------------------------------------------------------------------------------------

  receive(frame: Uint8Array | string): Effect.Effect<void, RpcClientError> {
    return Effect.suspend(() => {
      const responses = this.decode(frame)
      return Exit.isExit(responses)
        ? responses
        : Effect.forEach(responses, (response) => this.onResponse(response), { discard: true })
    })
  }

  private decode(frame: Uint8Array | string): ReadonlyArray<FromServerEncoded> | Exit.Exit<never, RpcClientError> {
    try {
      // what a server says in its own protocol
      return this.parser.decode(frame) as ReadonlyArray<FromServerEncoded>
    } catch (cause) {
      return Exit.fail(
        new RpcClientError({ reason: new RpcClientDefect({ message: "Error decoding message", cause }) })
      )
    }
  }

  private onResponse(response: FromServerEncoded): Effect.Effect<void> {
    switch (response._tag) {
      case "Pong":
        return Effect.void
      case "Chunk": {
        const call = this.calls.get(response.requestId)
        return call === undefined ? Effect.void : this.context.deliver(call.clientId, response)
      }
      case "Exit": {
        if (!this.context.drainMessages.isRefusal(response.exit)) return this.answer(response)
        // before it is made again, so that it is made elsewhere
        this.serverLeaves("closing")
        this.settle(response.requestId, unexecuted)
        return Effect.void
      }
      case "Defect": {
        // it ends every call of this connection, and says nothing of those made on others
        const exit = this.context.drainMessages.exitOfDefect(response.defect)
        return Effect.forEach(
          Array.from(this.calls.keys()),
          (requestId) => this.answer({ _tag: "Exit", requestId, exit }),
          { discard: true }
        )
      }
      default: {
        const goodbye = this.context.drainMessages.readGoodbye(response)
        return goodbye === undefined ? this.context.broadcast(response) : Effect.sync(() => this.onGoodbye(goodbye))
      }
    }
  }

  private answer(response: Extract<FromServerEncoded, { readonly _tag: "Exit" }>): Effect.Effect<void> {
    this.delivering++
    const call = this.settle(response.requestId, executed)
    const delivered = call === undefined ? Effect.void : this.context.deliver(call.clientId, response)
    return Effect.ensuring(
      delivered,
      Effect.sync(() => {
        this.delivering--
        if (this.spent) this.context.changed()
      })
    )
  }

  private onGoodbye({ executing }: Goodbye): void {
    if (executing === undefined) return this.serverLeaves("leaving")
    const kept = new Set(executing)
    const lost = Array.from(this.calls.keys()).filter((id) => !kept.has(id))
    // first, so that calls are made again elsewhere
    this.serverLeaves("closing")
    for (const id of lost) this.settle(id, unexecuted)
  }

  private serverLeaves(status: "leaving" | "closing"): void {
    if (this.status === "ended" || this.status === "closing" || this.status === status) return
    this.status = status
    this.context.changed()
  }

  private settle(id: CallId, outcome: Effect.Effect<Outcome, RpcClientError>): Call | undefined {
    const call = this.calls.get(id)
    if (call === undefined) return undefined
    this.calls.delete(id)
    call.resume(outcome)
    if (this.spent) this.context.changed()
    return call
  }

  /** The connection is gone: what became of its open calls is unknown. */
  end(error: RpcClientError): void {
    if (this.status === "ended") return
    this.status = "ended"
    for (const id of Array.from(this.calls.keys())) this.settle(id, Effect.fail(error))
    this.context.changed()
  }
}
