/**
 * All that Effect serves over HTTP, on one listener: an `HttpApi`, a route of the
 * `HttpRouter`, RPC over WebSockets, and server-sent events. A close ends each
 * in its own way, and cuts none.
 *
 *     PORT=8080 node examples/application.ts
 *
 * - `GET /api/reports/:name?millis=`: an answer in flight is given, with
 *   `Connection: close`.
 * - `GET /`: the same, without a schema.
 * - `/rpc`: calls and streams in flight go on to their end, and new calls are
 *   refused unexecuted.
 * - `GET /events`: never ends by itself, so that it listens to its connection's
 *   `draining`: a last event, and the end.
 */
import * as Listener from "@effect-listener/core/Listener"
import * as RpcListener from "@effect-listener/core/RpcListener"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import * as Stream from "effect/Stream"
import { announce } from "./support/announce.ts"
import { Api, Calls } from "./support/applicationApi.ts"
import * as Env from "./support/env.ts"
import { tls } from "./support/tls.ts"

const reports = HttpApiBuilder.group(
  Api,
  "reports",
  (handlers) =>
    Effect.succeed(
      handlers.handle("make", ({ params, query }) => Effect.as(Effect.sleep(query.millis), { report: params.name }))
    )
)

const api = Layer.provide(HttpApiBuilder.layer(Api), reports)

const home = HttpRouter.add("GET", "/", HttpServerResponse.text("ok"))

const rpc = RpcServer.layer(Calls).pipe(
  Layer.provide(Calls.toLayer({
    work: ({ id, millis }) => Effect.as(Effect.sleep(millis), id),
    count: ({ millis, to }) =>
      Stream.mapEffect(Stream.range(1, to), (number) => Effect.as(Effect.sleep(millis), number))
  })),
  Layer.provide(RpcListener.layerProtocolWebsocket({ path: "/rpc" })),
  Layer.provide(RpcSerialization.layerJson)
)

const event = (name: string, data: string) => Sse.encoder.write({ _tag: "Event", event: name, id: undefined, data })

const events = HttpRouter.add(
  "GET",
  "/events",
  Effect.map(NodeHttp.connection, (connection) => {
    const draining = Option.match(connection, { onNone: () => Effect.never, onSome: ({ draining }) => draining })
    const ticks = Stream.tick("100 millis").pipe(
      Stream.mapAccum(() => 0, (count) => [count + 1, [event("tick", String(count + 1))]]),
      Stream.interruptWhen(draining),
      Stream.concat(Stream.make(event("bye", "reconnect")))
    )
    return HttpServerResponse.stream(Stream.encodeText(ticks), { contentType: "text/event-stream" })
  })
)

const server = Layer.unwrap(Effect.gen(function*() {
  const { host, port } = yield* Env.endpoint
  return NodeHttp.layer({ host, port, ...yield* Env.listenerOptions, tls: yield* tls }).pipe(
    Layer.tap((services) => Effect.orDie(announce(Context.get(services, Listener.Listener)))),
    Layer.tapError(() => Effect.logError(`while listening on HOST ${host}, PORT ${port}`))
  )
}))

const routes = Layer.mergeAll(api, home, rpc, events)

const program = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(Layer.provide(server))

// stdout is for the JSON lines
NodeMain.runMain(Effect.provideService(Layer.launch(program), Logger.LogToStderr, true))
