/**
 * An RPC server as a process: `node rpcServer.ts <kind> <port> <ledger>`. It writes
 * down every call it executes, before it does, and answers a little later.
 *
 * `listener` is this package's server, `effect` is Effect's own. Both end at SIGTERM.
 */
import * as RpcListener from "@effect-listener/core/RpcListener"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as NetAddress from "effect/net/NetAddress"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import * as SocketServer from "effect/socket/SocketServer"
import * as Fs from "node:fs"
import { Counted } from "../support/rpcRestarts.ts"

const [kind = "", port = "", ledger = ""] = process.argv.slice(2)
const book = Fs.openSync(ledger, "a")

const handlers = Counted.toLayer({
  work: ({ id, millis }) =>
    Effect.suspend(() => {
      Fs.writeSync(book, `${id}\n`)
      return Effect.as(Effect.sleep(millis), id)
    })
})

const announce = Layer.effectDiscard(Effect.flatMap(SocketServer.SocketServer, ({ address }) =>
  Effect.sync(() => {
    const port = NetAddress.isInetAddress(address) ? address.port : undefined
    console.log(JSON.stringify({ event: "open", port }))
  })))

const over = (
  protocol: typeof RpcServer.layerProtocolSocketServer,
  server: Layer.Layer<SocketServer.SocketServer, SocketServer.SocketServerError>
) =>
  Layer.launch(
    RpcServer.layer(Counted).pipe(
      Layer.merge(announce),
      Layer.provide(handlers),
      Layer.provide(protocol),
      Layer.provide(server),
      Layer.provide(RpcSerialization.layerNdjson)
    )
  ).pipe(Effect.provideService(Logger.LogToStderr, true))

const address = { port: Number(port), host: "127.0.0.1" }

switch (kind) {
  case "listener":
    NodeMain.runMain(over(RpcListener.layerProtocolSocketServer, NodeTcp.layerSocketServer(address)))
    break
  case "effect":
    NodeRuntime.runMain(over(RpcServer.layerProtocolSocketServer, NodeSocketServer.layer(address)))
    break
  default:
    throw new Error(`no server "${kind}"`)
}
