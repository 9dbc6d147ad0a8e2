/**
 * Effect's HTTP server on our listener, as one of several processes: on an
 * inherited socket, as a worker of `node:cluster`, or with `reusePort`.
 */
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import { announced, answer } from "../../support/effectApp.ts"
import { patience, place } from "../../support/httpServers.ts"

const server = NodeHttp.layer({
  ...place(),
  inherit: "http",
  reusePort: process.env["REUSE_PORT"] === "1",
  http2: false,
  timeouts: { inactivity: patience }
})

// a parent that waits for a port over IPC is told; a supervisor of ours has another way
const running = process.connected ? announced(server) : server

NodeMain.runMain(
  Layer.launch(HttpServer.serve(answer).pipe(Layer.provide(running))).pipe(
    Effect.provideService(References.MinimumLogLevel, "Warn")
  ),
  { progress: "none" }
)
