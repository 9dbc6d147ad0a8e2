/**
 * A whole service: an API over HTTP, a protocol over TCP, and a port for its
 * operators. All of it opens, drains and closes as one.
 *
 *     PORT=8080 TCP_PORT=8081 ADMIN_PORT=9090 LAME_DUCK_MS=5000 node examples/service.ts
 *
 * The admin port says how things stand, to the end: `/livez`, `/readyz`,
 * `/metrics`, `/listeners`, and, in a browser, `/listeners/page`. TLS is for the
 * other two; limits hold for each of them.
 */
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerHost from "@effect-listener/core/ListenerHost"
import * as ListenerInspector from "@effect-listener/node/ListenerInspector"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeTls from "@effect-listener/node/NodeTls"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { announceHost } from "./support/announce.ts"
import { echoLines } from "./support/echoLines.ts"
import * as Env from "./support/env.ts"
import { routes } from "./support/httpRoutes.ts"
import { tls } from "./support/tls.ts"

const quiet = { disableLogger: true, disableListenLog: true }

const service = Layer.unwrap(Effect.gen(function*() {
  const { host, port } = yield* Env.endpoint
  const tcpPort = yield* Env.port("TCP_PORT")
  const adminPort = yield* Env.port("ADMIN_PORT")
  const { admission, drain } = yield* Env.listenerOptions
  const identity = yield* tls

  const http = HttpRouter.serve(routes, quiet).pipe(
    Layer.provide(NodeHttp.layer({ name: "http", host, port, admission, tls: identity })),
    Layer.tapError(() => Effect.logError(`while listening on HOST ${host}, PORT ${port}`))
  )
  const tcp = Listener.layerServe(
    identity === undefined
      ? NodeTcp.transport({ host, port: tcpPort })
      : NodeTls.transport({ host, port: tcpPort, ...identity }),
    echoLines,
    { name: "tcp", admission, idle: "pull" }
  ).pipe(
    Layer.tapError(() => Effect.logError(`while listening on HOST ${host}, TCP_PORT ${tcpPort}`))
  )
  const admin = HttpRouter.serve(ListenerInspector.layer(), quiet).pipe(
    Layer.provide(NodeHttp.layer({ name: "admin", host, port: adminPort })),
    Layer.tapError(() => Effect.logError(`while listening on HOST ${host}, ADMIN_PORT ${adminPort}`))
  )
  return ListenerHost.provide(Layer.mergeAll(http, tcp, admin), { name: "service", admin: ["admin"], drain })
}))

const program = Layer.effectDiscard(Effect.flatMap(ListenerHost.ListenerHost, announceHost)).pipe(
  Layer.provide(service)
)

// stdout is for the JSON lines
NodeMain.runMain(Effect.provideService(Layer.launch(program), Logger.LogToStderr, true))
