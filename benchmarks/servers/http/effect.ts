/**
 * Effect's own HTTP server: `node effect.ts <http | https | h2> [optimized]`,
 * with Node's `optimizeEmptyRequests` where it is asked for.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import { announced, answer } from "../../support/effectApp.ts"
import { createServer, place } from "../../support/httpServers.ts"

const [what, optimized] = process.argv.slice(2)

const server = NodeHttpServer.layer(
  () => createServer(what, { optimizeEmptyRequests: optimized === "optimized" }),
  place()
)

NodeRuntime.runMain(Layer.launch(HttpServer.serve(answer).pipe(Layer.provide(announced(server)))))
