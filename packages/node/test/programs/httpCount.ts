/** An HTTP server that counts the requests it executes, and says how many in the end. */
import { Listener } from "@effect-listener/core/Listener"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as NetAddress from "effect/net/NetAddress"

let executed = 0
const print = (event: object): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

const count = Effect.sync(() => {
  executed++
  return HttpServerResponse.text("ok")
})

const server = NodeHttp.layer({ host: "127.0.0.1", port: 0, drain: { deadline: "10 seconds" } }).pipe(
  Layer.tap((services) =>
    Effect.gen(function*() {
      const listener = yield* Effect.provideContext(Listener, services)
      const address = yield* Effect.orDie(listener.address)
      print({ event: "open", port: NetAddress.isInetAddress(address) ? address.port : 0 })
      yield* Effect.forkDetach(Effect.map(listener.closed, (report) => print({ event: "closed", report, executed })))
    })
  )
)

const program = HttpRouter.serve(HttpRouter.add("GET", "/", count), { disableLogger: true, disableListenLog: true })

NodeMain.runMain(Effect.provideService(Layer.launch(Layer.provide(program, server)), Logger.LogToStderr, true))
