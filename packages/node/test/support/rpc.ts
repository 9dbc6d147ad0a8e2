/** RPC servers over real sockets that remember what they executed, and clients of them. */
import * as Listener from "@effect-listener/core/Listener"
import * as RpcListener from "@effect-listener/core/RpcListener"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcClient from "effect/rpc/RpcClient"
import type { RpcClientError } from "effect/rpc/RpcClientError"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { quiet } from "./listening.ts"

export class Calls extends RpcGroup.make(
  /** Answers with the name of the server after `millis`. */
  Rpc.make("work", { payload: { id: Schema.Int, millis: Schema.Int }, success: Schema.String }),
  /** Numbers, one every `millis`. */
  Rpc.make("count", { payload: { to: Schema.Int, millis: Schema.Int }, success: Schema.Int, stream: true })
) {}

export type Client = RpcClient.FromGroup<typeof Calls, RpcClientError>

export interface Server {
  readonly name: string
  readonly port: number
  readonly listener: Listener.Listener
  /** The calls that were executed, each as often as it was. */
  readonly executed: ReadonlyArray<number>
  /** Waits until `calls` calls have been executed. */
  readonly until: (calls: number) => Effect.Effect<void>
}

export interface Encoding {
  readonly name: string
  readonly layer: Layer.Layer<RpcSerialization.RpcSerialization>
}

export const encodings: ReadonlyArray<Encoding> = [
  { name: "NDJSON", layer: RpcSerialization.layerNdjson },
  { name: "SchemaBinary", layer: RpcSerialization.layerSchemaBinary() },
  { name: "JSON-RPC", layer: RpcSerialization.layerNdJsonRpc() }
]

const ndjson = RpcSerialization.layerNdjson

export const serve = (
  name: string,
  options: {
    readonly port?: number | undefined
    readonly drain?: Listener.ListenerOptions["drain"]
    readonly encoding?: Encoding["layer"] | undefined
  } = {}
): Effect.Effect<Server, never, Scope.Scope> =>
  quiet(Effect.gen(function*() {
    const executed: Array<number> = []
    const waiting = new Set<() => void>()
    const handlers = Calls.toLayer({
      work: ({ id, millis }) =>
        Effect.suspend(() => {
          executed.push(id)
          for (const look of waiting) look()
          return Effect.as(Effect.sleep(millis), name)
        }),
      count: ({ millis, to }) => Stream.range(1, to).pipe(Stream.rechunk(1), Stream.schedule(Schedule.spaced(millis)))
    })
    const layer = RpcServer.layer(Calls).pipe(
      Layer.provide(handlers),
      Layer.provide(RpcListener.layerProtocolSocketServer),
      Layer.provideMerge(NodeTcp.layerSocketServer({
        port: options.port ?? 0,
        host: "127.0.0.1",
        drain: { deadline: "20 seconds", ...options.drain }
      })),
      Layer.provide(options.encoding ?? ndjson)
    )
    const listener = Context.get(yield* Layer.build(Layer.fresh(layer)), Listener.Listener)
    const address = yield* listener.address
    return {
      name,
      port: address._tag === "UnixPathAddress" ? 0 : address.port,
      listener,
      executed,
      until: (calls) =>
        Effect.callback<void>((resume) => {
          const look = () => {
            if (executed.length < calls) return
            waiting.delete(look)
            resume(Effect.void)
          }
          waiting.add(look)
          look()
        })
    } satisfies Server
  })).pipe(Effect.orDie)

const socket = (port: number) => NodeSocket.makeNet({ port, host: "127.0.0.1" })

/** A client of these servers, taken in turn. */
export const client = (
  ports: readonly [number, ...ReadonlyArray<number>],
  options: Omit<RpcListener.ClientOptions<never>, "servers"> & { readonly encoding?: Encoding["layer"] | undefined } =
    {}
): Effect.Effect<Client, never, Scope.Scope> => {
  const [first, ...others] = ports
  return connected(
    Layer.orDie(RpcListener.layerClientProtocol({ ...options, servers: [socket(first), ...others.map(socket)] })),
    options.encoding
  )
}

/** Effect's own client. */
export const effectClient = (port: number, encoding?: Encoding["layer"]): Effect.Effect<Client, never, Scope.Scope> =>
  connected(
    RpcClient.layerProtocolSocket().pipe(
      Layer.provide(NodeSocket.layerNet({ port, host: "127.0.0.1" })),
      Layer.orDie
    ),
    encoding
  )

const connected = (
  protocol: Layer.Layer<RpcClient.Protocol, never, RpcSerialization.RpcSerialization>,
  encoding: Encoding["layer"] = ndjson
): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.flatMap(
    Layer.build(Layer.fresh(Layer.provide(protocol, encoding))),
    (context) => Effect.provideContext(RpcClient.make(Calls), context)
  )

/** How often each number comes, beyond once. */
export const repeated = (numbers: ReadonlyArray<number>): number => numbers.length - new Set(numbers).size
