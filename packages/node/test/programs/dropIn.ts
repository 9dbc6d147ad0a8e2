/** An Effect application as it was before this library: the tests change one line of it. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import { createServer } from "node:http"

const routes = HttpRouter.add("GET", "/", HttpServerResponse.text("hello"))

const announce = Layer.effectDiscard(Effect.map(HttpServer.HttpServer, ({ address }) => {
  const port = NetAddress.isInetAddress(address) ? address.port : 0
  process.stdout.write(`${JSON.stringify({ event: "open", port })}\n`)
}))

const server = NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", gracefulShutdownTimeout: "5 seconds" })

const app = Layer.merge(HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }), announce)

NodeRuntime.runMain(Layer.launch(Layer.provide(app, server)))
