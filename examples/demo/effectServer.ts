/** The demo's server on Effect's own `NodeSocketServer`, ended by `NodeRuntime.runMain`. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import { handler } from "./handler.ts"

const program = Effect.gen(function*() {
  const server = yield* NodeSocketServer.make({ host: "127.0.0.1", port: 0 })
  const port = NetAddress.isInetAddress(server.address) ? server.address.port : undefined
  yield* Console.log(JSON.stringify({ event: "open", port }))
  return yield* server.run((socket) => handler(socket, (_label, work) => work))
})

NodeRuntime.runMain(Effect.scoped(program))
