/** What HTTP servers of Node are made of in every program that is measured. */
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Https from "node:https"
import { type Pair, selfSigned } from "../../packages/node/test/support/certificates.ts"
import { announce } from "./childServer.ts"

/** How long connections may be idle, in milliseconds: longer than they are held. */
export const patience = 120_000

export const identity = (): Pair => selfSigned()

/** Where to listen. */
export const place = () => ({ host: "127.0.0.1", port: Number(process.env["PORT"] ?? 0), backlog: 4096 })

/** A server of Node's that speaks this protocol, and has no handler yet. */
export const createServer = (what = "http", options: Http.ServerOptions = {}): Http.Server | Http2.Http2Server => {
  switch (what) {
    case "h2":
      return Http2.createServer()
    case "https":
      return Https.createServer({ ...options, ...identity(), keepAliveTimeout: patience })
    default:
      return Http.createServer({ ...options, keepAliveTimeout: patience })
  }
}

/** Answers two bytes to every request, without Effect. */
export const nodeServer = (what: string | undefined): Http.Server | Http2.Http2Server => {
  // both kinds have these members, with listener types that differ
  const server = createServer(what) as Http.Server
  server.on("request", (_request, response) => {
    response.writeHead(200, { "content-type": "text/plain", "content-length": 2 })
    response.end("ok")
  })
  const { backlog, host, port } = place()
  server.listen({ host, port, backlog }, () => {
    const address = server.address()
    if (address !== null && typeof address === "object") announce(address.port)
  })
  return server
}
