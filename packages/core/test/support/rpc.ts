/** An RPC server on an in-memory listener, and clients that speak its messages line by line. */
import { Listener, RpcListener } from "@effect-listener/core"
import { MemoryTransport } from "@effect-listener/testing"
import { Context, Deferred, Effect, Layer, Queue, Schema, Stream } from "effect"
import { Rpc, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"

class Calls extends RpcGroup.make(
  Rpc.make("hold", { payload: { text: Schema.String }, success: Schema.String }),
  Rpc.make("count", { payload: { to: Schema.Int }, success: Schema.Int, stream: true }),
  Rpc.make("die"),
  Rpc.make("note", { payload: { text: Schema.String } }).middleware(RpcListener.InFlight)
) {}

export interface Server {
  readonly transport: MemoryTransport.MemoryTransport
  readonly listener: Listener.Listener
  /** Waits until a call with this text is executed; in the order of `executed`. */
  readonly entered: (text: string) => Effect.Effect<void>
  readonly release: (text: string) => Effect.Effect<void>
  /** Every call that was executed, and every note that was written to its end. */
  readonly executed: ReadonlyArray<string>
  readonly written: ReadonlyArray<string>
}

export const serve = Effect.fnUntraced(function*(options: {
  readonly transport?: MemoryTransport.MemoryTransport | undefined
  readonly drain?: Listener.ListenerOptions["drain"]
} = {}) {
  const transport = options.transport ?? (yield* MemoryTransport.make())
  const executed: Array<string> = []
  const written: Array<string> = []
  const gates = new Map<string, { entered: Deferred.Deferred<void>; release: Deferred.Deferred<void> }>()
  const gate = (text: string) => {
    const found = gates.get(text) ?? { entered: Deferred.makeUnsafe<void>(), release: Deferred.makeUnsafe<void>() }
    gates.set(text, found)
    return found
  }
  const hold = Effect.fnUntraced(function*(text: string) {
    executed.push(text)
    yield* Deferred.succeed(gate(text).entered, undefined)
    yield* Deferred.await(gate(text).release)
  })
  const handlers = Calls.toLayer({
    hold: ({ text }) => Effect.as(hold(text), `held ${text}`),
    count: ({ to }) => Stream.range(1, to),
    die: () => Effect.die("broken"),
    note: ({ text }) => Effect.andThen(hold(text), Effect.sync(() => void written.push(text)))
  })
  const server = RpcServer.layer(Calls).pipe(
    Layer.provide([handlers, RpcListener.layerInFlight]),
    Layer.provide(RpcListener.layerProtocolSocketServer),
    Layer.provideMerge(Listener.layerSocketServer(transport, { drain: { idleGrace: 0, ...options.drain } })),
    Layer.provide(RpcSerialization.layerNdjson)
  )
  const listener = Context.get(yield* Layer.build(server), Listener.Listener)
  yield* Effect.addFinalizer(() => listener.abort)
  const result: Server = {
    transport,
    listener,
    executed,
    written,
    entered: (text) => Deferred.await(gate(text).entered),
    release: (text) => Effect.asVoid(Deferred.succeed(gate(text).release, undefined))
  }
  return result
})

export type Message = Readonly<Record<string, unknown>>

/** A client that says and hears what goes over the wire, and nothing else. */
export const connect = Effect.fnUntraced(function*(transport: MemoryTransport.MemoryTransport) {
  const client = yield* transport.connect
  const heard = yield* Queue.unbounded<Message>()
  let rest = ""
  yield* Effect.forkScoped(Effect.ignore(Effect.forever(Effect.map(client.read, (bytes) => {
    const lines = (rest + new TextDecoder().decode(bytes)).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) Queue.offerUnsafe(heard, JSON.parse(line))
  }))))
  const say = (...messages: ReadonlyArray<Message>) =>
    Effect.orDie(client.write(messages.map((message) => `${JSON.stringify(message)}\n`).join("")))
  return {
    say,
    /** A call, or with no id a notification. */
    call: (id: number | undefined, tag: string, payload: unknown, more: Message = {}) =>
      say({
        _tag: "Request",
        id: id ?? "",
        tag,
        payload,
        headers: [],
        ...(id === undefined ? { isNotification: true } : {}),
        ...more
      }),
    hear: Queue.take(heard),
    /** What has been heard and not taken yet. */
    rest: Queue.clear(heard),
    ended: client.ended,
    end: client.end
  }
})

export const success = (requestId: number, value: unknown): Message => ({
  _tag: "Exit",
  requestId,
  exit: { _tag: "Success", value }
})

export const refusal = (requestId: number): Message => ({
  _tag: "Exit",
  requestId,
  exit: { _tag: "Failure", cause: [{ _tag: "Die", defect: { _tag: "CallRefused" } }] }
})

export const goodbye = (executing?: ReadonlyArray<number>): Message => ({
  _tag: "Request",
  id: "",
  tag: "@effect-listener/core/RpcListener/Goodbye",
  payload: executing === undefined ? {} : { executing },
  headers: [],
  isNotification: true
})

/** What a drain waits for, by name. */
export const labels = (listener: Listener.Listener) =>
  Effect.map(listener.connections, (open) => open.flatMap(({ exchanges }) => exchanges.map(({ label }) => label)))
