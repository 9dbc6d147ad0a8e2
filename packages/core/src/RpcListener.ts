/**
 * Effect RPC that drains by calls: servers that finish what they execute and
 * refuse the rest, and clients that ask another server for it.
 *
 * To its connection an RPC server is always busy, because it reads on while
 * calls run, and always idle, because nothing tells an answered call from an
 * open one. The server half of this module makes each call an exchange of its
 * connection. The client half makes calls again that no server has executed,
 * and no others.
 *
 * @stability experimental
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as RpcClient from "effect/rpc/RpcClient"
import type { RpcClientError } from "effect/rpc/RpcClientError"
import * as RpcMiddleware from "effect/rpc/RpcMiddleware"
import { RpcSerialization } from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as SocketServer from "effect/socket/SocketServer"
import { CurrentCalls } from "./internal/rpc/calls.ts"
import * as client from "./internal/rpc/client.ts"
import type * as goodbye from "./internal/rpc/goodbye.ts"
import * as server from "./internal/rpc/server.ts"
import type { InvalidArgument } from "./ListenerError.ts"

/**
 * The defect of a call that was refused because its server drains. The call was
 * not executed, and can be made again without harm.
 *
 * **Details**
 *
 * It is a defect because a protocol cannot add to the error schema of an RPC.
 * Clients with {@link layerClientProtocol} never see it: they make the call again.
 *
 * @stability experimental
 * @category errors
 * @since 0.1.0
 */
export interface CallRefused extends goodbye.CallRefused {}

/**
 * Whether a defect says that a call was refused, and not executed.
 *
 * **Example** (Telling a refusal from a failure)
 *
 * ```ts
 * import { RpcListener } from "@effect-listener/core"
 * import { Effect } from "effect"
 *
 * const orLater = <A, E, R>(call: Effect.Effect<A, E, R>) =>
 *   Effect.catchDefect(
 *     call,
 *     (defect) => RpcListener.isCallRefused(defect) ? Effect.succeed("try again") : Effect.die(defect)
 *   )
 *
 * console.log(await Effect.runPromise(orLater(Effect.die({ _tag: "CallRefused" })))) // => try again
 * ```
 *
 * @stability experimental
 * @category guards
 * @since 0.1.0
 */
export const isCallRefused = (u: unknown): u is CallRefused => Predicate.isTagged(u, "CallRefused")

/**
 * Effect's RPC server protocol over a `SocketServer`, draining by calls. See
 * {@link layerProtocolSocketServer}.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const makeProtocolSocketServer: Effect.Effect<
  RpcServer.Protocol["Service"],
  never,
  RpcSerialization | SocketServer.SocketServer | Scope.Scope
> = Effect.gen(function*() {
  const draining = server.make(yield* RpcSerialization)
  const { address, run } = yield* SocketServer.SocketServer
  const watched = SocketServer.SocketServer.of({
    address,
    run: (handler) =>
      run((socket) => draining.serving((watch) => Effect.andThen(handler(watch(socket)), draining.ending)))
  })
  return draining.protocol(
    yield* Effect.provideService(RpcServer.makeProtocolSocketServer, SocketServer.SocketServer, watched)
  )
})

/**
 * A drop-in for `RpcServer.layerProtocolSocketServer` on a listener: its
 * connections drain by calls.
 *
 * **Details**
 *
 * A call is in flight from its request until its answer has been sent. A
 * connection without one is idle, so that a drain ends it at once. While the
 * listener drains, calls and streams in flight go on to their end, and new calls
 * are refused unexecuted, at once, with a defect ({@link CallRefused}); the
 * report counts them as `refused`. In a lame duck calls are still executed.
 *
 * Clients with {@link layerClientProtocol} are told of it and go elsewhere. To
 * others this is Effect's own protocol; what tells them nothing they ignore.
 *
 * Notifications and calls made with `discard` run on after their last answer:
 * {@link InFlight} makes a drain wait for them.
 *
 * On a `SocketServer` that is no listener it is Effect's own layer.
 *
 * **Example** (An RPC server that restarts without losing a call)
 *
 * ```ts
 * import { Listener, RpcListener } from "@effect-listener/core"
 * import { MemoryTransport } from "@effect-listener/testing"
 * import { Effect, Layer, Schema } from "effect"
 * import { Rpc, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
 *
 * class Greetings extends RpcGroup.make(
 *   Rpc.make("greet", { payload: { name: Schema.String }, success: Schema.String })
 * ) {}
 *
 * const program = Effect.gen(function*() {
 *   const transport = yield* MemoryTransport.make()
 *   const server = RpcServer.layer(Greetings).pipe(
 *     Layer.provide(Greetings.toLayer({ greet: ({ name }) => Effect.succeed(`hello ${name}`) })),
 *     Layer.provide(RpcListener.layerProtocolSocketServer),
 *     Layer.provideMerge(Listener.layerSocketServer(transport)),
 *     Layer.provide(RpcSerialization.layerNdjson)
 *   )
 *   const listener = yield* Effect.provide(Listener.Listener, yield* Layer.build(server))
 *   yield* transport.connect
 *   const report = yield* listener.close({ idleGrace: 0 })
 *   console.log(report.outcome) // => Drained
 * })
 *
 * await Effect.runPromise(Effect.scoped(program))
 * ```
 *
 * @see {@link layerProtocolWebsocket} for RPC over WebSockets
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerProtocolSocketServer: Layer.Layer<
  RpcServer.Protocol,
  never,
  RpcSerialization | SocketServer.SocketServer
> = Layer.effect(RpcServer.Protocol, makeProtocolSocketServer)

/**
 * Effect's RPC server protocol over WebSockets, on a route of the current
 * router, draining by calls. See {@link layerProtocolWebsocket}.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const makeProtocolWebsocket: (options: {
  readonly path: HttpRouter.PathInput
}) => Effect.Effect<
  RpcServer.Protocol["Service"],
  never,
  RpcSerialization | HttpRouter.HttpRouter
> = Effect.fnUntraced(function*({ path }) {
  const draining = server.make(yield* RpcSerialization)
  const { httpEffect, protocol } = yield* RpcServer.makeProtocolWithHttpEffectWebsocket
  const router = yield* HttpRouter.HttpRouter
  yield* router.add(
    "GET",
    path,
    draining.serving((watch) =>
      Effect.flatMap(HttpServerRequest, (request) =>
        Effect.provideService(
          httpEffect,
          HttpServerRequest,
          Object.create(request, { upgrade: { get: () => Effect.map(request.upgrade, watch) } })
        ))
    )
  )
  return draining.protocol(protocol)
})

/**
 * A drop-in for `RpcServer.layerProtocolWebsocket` on an HTTP server that is a
 * listener: its WebSockets drain by calls, as described for
 * {@link layerProtocolSocketServer}.
 *
 * **Details**
 *
 * The server has to say on which connection a request came, by
 * `Connection.CurrentConnection`; `NodeHttp` does.
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerProtocolWebsocket = (options: {
  readonly path: HttpRouter.PathInput
}): Layer.Layer<RpcServer.Protocol, never, RpcSerialization | HttpRouter.HttpRouter> =>
  Layer.effect(RpcServer.Protocol, makeProtocolWebsocket(options))

/**
 * Makes a drain wait for what no answer ends: the handlers of notifications, and
 * of calls made with `discard`, which are answered when they begin.
 *
 * **Details**
 *
 * Without it such a handler is interrupted when its connection ends. Calls that
 * wait for their answers need it not, and do not mind it.
 *
 * **Example** (Sending mail after the answer)
 *
 * ```ts
 * import { RpcListener } from "@effect-listener/core"
 * import { Effect, Layer, Schema } from "effect"
 * import { Rpc, RpcGroup } from "effect/rpc"
 *
 * class Mail extends RpcGroup.make(
 *   Rpc.make("send", { payload: { to: Schema.String } })
 * ).middleware(RpcListener.InFlight) {}
 *
 * export const Handlers = Mail.toLayer({ send: ({ to }) => Effect.delay(Effect.log(`sent to ${to}`), "1 second") }).pipe(
 *   Layer.merge(RpcListener.layerInFlight)
 * )
 * ```
 *
 * @stability experimental
 * @category middleware
 * @since 0.1.0
 */
export class InFlight extends RpcMiddleware.Service<InFlight>()("@effect-listener/core/RpcListener/InFlight") {}

/**
 * What {@link InFlight} needs on the server.
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerInFlight: Layer.Layer<InFlight> = Layer.succeed(
  InFlight,
  (handler, { requestId, rpc }) =>
    Effect.flatMap(
      CurrentCalls,
      (calls) => calls === undefined || calls.answers(requestId) ? handler : calls.run(`rpc ${rpc._tag}`, handler)
    )
)

/**
 * How a client finds its servers.
 *
 * **Details**
 *
 * - `servers`: how to reach each of them, such as `NodeSocket.makeNet({ host,
 *   port, openTimeout })`, run anew for every connection. They are taken in
 *   turn. One entry is enough when a load balancer is behind it.
 * - `retryPolicy`: when to try again after none of them could be reached.
 *   Default 0.5 s, growing by half up to 5 s, for ever.
 * - `retryTransientErrors`: calls wait for a server however long it takes. By
 *   default they fail as soon as each has been tried once in vain.
 * - `pingInterval` (default 5 s) and `pingTimeout` (default: the interval): a
 *   server that has said nothing for so long although it was asked is given up,
 *   and what was in flight on its connection fails. An infinite one gives none up.
 *   Zero, a negative time and what is not a duration fail with `InvalidArgument`.
 *
 * @stability experimental
 * @category options
 * @since 0.1.0
 */
export interface ClientOptions<R> {
  readonly servers: NonEmptyReadonlyArray<Effect.Effect<Socket.Socket, Socket.SocketError, R>>
  readonly retryPolicy?: Schedule.Schedule<unknown, RpcClientError> | undefined
  readonly retryTransientErrors?: boolean | undefined
  readonly pingInterval?: Duration.Input | undefined
  readonly pingTimeout?: Duration.Input | undefined
}

/**
 * An RPC client protocol over several servers. See {@link layerClientProtocol}.
 * Fails with `InvalidArgument` where a time of its pings cannot be used.
 *
 * @stability experimental
 * @category constructors
 * @since 0.1.0
 */
export const makeClientProtocol: <R>(
  options: ClientOptions<R>
) => Effect.Effect<RpcClient.Protocol["Service"], InvalidArgument, RpcSerialization | Scope.Scope | R> =
  client.makeClientProtocol

/**
 * A drop-in for `RpcClient.layerProtocolSocket` that goes to another server when
 * its own leaves, and makes those calls again that were not executed.
 *
 * **Details**
 *
 * One connection takes all new calls. When its server says that it leaves, or
 * goes, the next server is connected to; the old connection stays until its
 * calls are answered.
 *
 * A call is made again only where it is known not to have been executed: it
 * was refused ({@link CallRefused}), it was never written, or its server said in
 * its last word that it will not execute it. What was written to a connection
 * that broke off without that word may have been executed, and fails with the
 * error of the socket. A `SocketOpenError` means that no server could be
 * reached, and that the call was not executed.
 *
 * Against servers without {@link layerProtocolSocketServer} it is Effect's own
 * client with several addresses.
 *
 * **Example** (A client of two servers)
 *
 * ```ts no-run: there are no servers
 * import { RpcListener } from "@effect-listener/core"
 * import { NodeSocket } from "@effect/platform-node"
 * import { Effect, Layer, Schema } from "effect"
 * import { Rpc, RpcClient, RpcGroup, RpcSerialization } from "effect/rpc"
 *
 * class Greetings extends RpcGroup.make(
 *   Rpc.make("greet", { payload: { name: Schema.String }, success: Schema.String })
 * ) {}
 *
 * const Protocol = RpcListener.layerClientProtocol({
 *   servers: [
 *     NodeSocket.makeNet({ host: "10.0.0.1", port: 4000, openTimeout: "1 second" }),
 *     NodeSocket.makeNet({ host: "10.0.0.2", port: 4000, openTimeout: "1 second" })
 *   ]
 * }).pipe(Layer.provide(RpcSerialization.layerNdjson))
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* RpcClient.make(Greetings)
 *   console.log(yield* client.greet({ name: "world" }))
 * })
 *
 * // the protocol has to be there for as long as the client is used
 * await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(Protocol)))
 * ```
 *
 * @stability experimental
 * @category layers
 * @since 0.1.0
 */
export const layerClientProtocol = <R = never>(
  options: ClientOptions<R>
): Layer.Layer<RpcClient.Protocol, InvalidArgument, RpcSerialization | R> =>
  Layer.effect(RpcClient.Protocol, makeClientProtocol(options))
