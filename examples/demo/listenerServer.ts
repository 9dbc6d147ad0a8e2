/** The demo's server on a listener of ours. */
import * as Listener from "@effect-listener/core/Listener"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { announce } from "../support/announce.ts"
import * as Env from "../support/env.ts"
import { handler } from "./handler.ts"

const program = Effect.gen(function*() {
  const listener = yield* Listener.listen(NodeTcp.transport({ host: "127.0.0.1", port: 0 }), yield* Env.listenerOptions)
  yield* announce(listener)
  yield* Listener.serve(listener, ({ exchange, socket }) => handler(socket, exchange), { idle: "pull" })
})

NodeMain.runMain(Effect.provideService(Effect.scoped(program), Logger.LogToStderr, true))
