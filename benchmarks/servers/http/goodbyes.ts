/**
 * HTTP/2 that answers after a while, and counts the turns of the event loop from
 * SIGTERM to the last GOAWAY: `node goodbyes.ts
 * <bare | effect | ours>`.
 */
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Http2 from "node:http2"
import { performance } from "node:perf_hooks"
import { announce, sayAlso } from "../../support/childServer.ts"
import { announced, answer } from "../../support/effectApp.ts"
import { patience, place } from "../../support/httpServers.ts"

/** How long an answer takes, in milliseconds: longer than the goodbyes. */
const work = 1000

const turn = (): number => performance.nodeTiming.uvMetricsInfo.loopCount
let toldAt: number | undefined
let last = 0
process.once("SIGTERM", () => {
  toldAt = turn()
})
sayAlso(() => ({ turns: last - (toldAt ?? Number.NaN) }))

/** The frame is submitted in this call, and written at its end. */
const count = (session: Http2.ServerHttp2Session): void => {
  const goaway = session.goaway.bind(session)
  session.goaway = (...args) => {
    last = turn()
    goaway(...args)
  }
}

const createServer = (): Http2.Http2Server => Http2.createServer().on("session", count)

const app = Effect.delay(answer, work)

const servers: Record<string, () => void> = {
  bare: () => {
    const server = createServer()
    server.on("request", (_request, response) => {
      setTimeout(() => response.end("ok"), work)
    })
    server.listen(place(), () => {
      const address = server.address()
      if (address !== null && typeof address === "object") announce(address.port)
    })
    process.once("SIGTERM", () => server.close())
  },
  effect: () =>
    NodeRuntime.runMain(
      Layer.launch(
        HttpServer.serve(app).pipe(
          Layer.provide(announced(NodeHttpServer.layer(createServer, place())))
        )
      )
    ),
  ours: () =>
    NodeMain.runMain(
      Layer.launch(
        HttpServer.serve(app).pipe(
          Layer.provide(announced(NodeHttp.layer(createServer, { ...place(), timeouts: { inactivity: patience } })))
        )
      ),
      { progress: "none" }
    )
}

servers[process.argv[2]!]!()
