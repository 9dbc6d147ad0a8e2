/**
 * Effect's HTTP server on our listener: `node ours.ts <http | https | h2>
 * [reusePort | noLinger]`, with admission on; counting always is.
 */
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Http2 from "node:http2"
import { announced, answer } from "../../support/effectApp.ts"
import { identity, patience, place } from "../../support/httpServers.ts"

const [what, how] = process.argv.slice(2)

const options = {
  ...place(),
  reusePort: how === "reusePort",
  admission: { maxConnections: 100_000, maxPerRemote: 100_000 },
  timeouts: { inactivity: patience },
  drain: how === "noLinger" ? { linger: "none" } as const : {}
}

const server = what === "h2"
  ? NodeHttp.layer(Http2.createServer, options)
  : NodeHttp.layer({ ...options, http2: false, tls: what === "https" ? identity() : undefined })

NodeMain.runMain(Layer.launch(HttpServer.serve(answer).pipe(Layer.provide(announced(server)))))
