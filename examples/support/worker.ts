/**
 * A worker of `workers.ts`: the routes of `http-server.ts` on the socket that is
 * called `http`, and `/pid`, which says what process answers. Started alone it
 * binds for itself.
 */
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Env from "./env.ts"
import { routes } from "./httpRoutes.ts"
import { tls } from "./tls.ts"

const server = Layer.unwrap(Effect.gen(function*() {
  const options = { ...yield* Env.endpoint, ...yield* Env.listenerOptions, tls: yield* tls }
  return NodeHttp.layer({ ...options, inherit: "http" })
}))

const pid = HttpRouter.add("GET", "/pid", HttpServerResponse.text(String(process.pid)))

const program = HttpRouter.serve(Layer.merge(routes, pid), { disableLogger: true, disableListenLog: true }).pipe(
  Layer.provide(server)
)

// stdout is the supervisor's
NodeMain.runMain(Effect.provideService(Layer.launch(program), Logger.LogToStderr, true))
