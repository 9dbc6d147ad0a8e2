/** The demo's service on Effect's own `NodeHttpServer`, ended by `NodeRuntime.runMain`; also as a worker of `node:cluster`. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { HttpServer } from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Http from "node:http"
import { application } from "./application.ts"

const announce = Effect.flatMap(
  HttpServer,
  ({ address }) =>
    Console.log(JSON.stringify({ event: "open", port: NetAddress.isInetAddress(address) ? address.port : undefined }))
)

const server = NodeHttpServer.layer(Http.createServer, { host: "127.0.0.1", port: Number(process.env["PORT"] ?? 0) })

NodeRuntime.runMain(Layer.launch(Layer.provide(Layer.mergeAll(application, Layer.effectDiscard(announce)), server)))
