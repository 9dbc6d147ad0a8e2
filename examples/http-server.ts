/**
 * An HTTP server that restarts without losing a request: HTTP/1, HTTP/2 and
 * WebSockets on one port, in the clear or over TLS.
 *
 *     PORT=8080 node examples/http-server.ts
 *     PORT=8443 TLS_KEY=key.pem TLS_CERT=cert.pem node examples/http-server.ts
 */
import * as Listener from "@effect-listener/core/Listener"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { announce } from "./support/announce.ts"
import { countRequests } from "./support/countRequests.ts"
import * as Env from "./support/env.ts"
import { routes } from "./support/httpRoutes.ts"
import { tls } from "./support/tls.ts"

const server = Layer.unwrap(Effect.gen(function*() {
  const { host, port } = yield* Env.endpoint
  const options = { host, port, ...yield* Env.listenerOptions, tls: yield* tls }
  return NodeHttp.layer(options).pipe(
    Layer.tap((services) => Effect.orDie(announce(Context.get(services, Listener.Listener)))),
    Layer.tapError(() => Effect.logError(`while listening on HOST ${host}, PORT ${port}, with TLS_KEY and TLS_CERT`))
  )
}))

const app = Layer.merge(routes, countRequests)

const program = HttpRouter.serve(app, { disableLogger: true, disableListenLog: true }).pipe(Layer.provide(server))

// stdout is for the JSON lines
NodeMain.runMain(Effect.provideService(Layer.launch(program), Logger.LogToStderr, true))
