/**
 * The HTTP server of `http-server.ts`, replaced by its next version while its
 * clients go on: SIGUSR2 starts this file again with the listening socket, and
 * this process drains when that one accepts. `/pid` says which process answers.
 *
 *     PORT=8080 node examples/handover.ts
 *     kill -USR2 <pid>
 *
 * It takes an inherited socket named `http` where there is one:
 *
 *     systemd-socket-activate -l 8080 --fdname=http node examples/handover.ts
 */
import * as Listener from "@effect-listener/core/Listener"
import * as NodeHandover from "@effect-listener/node/NodeHandover"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { announce } from "./support/announce.ts"
import { countRequests } from "./support/countRequests.ts"
import * as Env from "./support/env.ts"
import { routes } from "./support/httpRoutes.ts"
import { tls } from "./support/tls.ts"

const server = Layer.unwrap(Effect.gen(function*() {
  const { host, port } = yield* Env.endpoint
  const options = { host, port, inherit: "http", ...yield* Env.listenerOptions, tls: yield* tls }
  return NodeHttp.layer(options).pipe(
    Layer.tap((services) =>
      // where it takes over, it is open when it accepts
      Effect.forkDetach(
        Effect.andThen(NodeHandover.accepting, Effect.orDie(announce(Context.get(services, Listener.Listener))))
      )
    ),
    Layer.tapError(() => Effect.logError(`while listening on HOST ${host}, PORT ${port}, with TLS_KEY and TLS_CERT`))
  )
}))

const pid = HttpRouter.add("GET", "/pid", HttpServerResponse.text(String(process.pid)))

const app = Layer.mergeAll(routes, pid, countRequests)

const program = HttpRouter.serve(app, { disableLogger: true, disableListenLog: true }).pipe(Layer.provide(server))

// stdout is for the JSON lines
NodeMain.runMain(Effect.provideService(Layer.launch(program), Logger.LogToStderr, true), {
  handover: { handedOver: (report) => Console.log(JSON.stringify({ event: "handed-over", report })) }
})
