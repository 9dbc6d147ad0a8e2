/**
 * A runner of an Effect Cluster, which hands over what it has and ends without
 * losing a message, and none takes effect twice. Start as many as you like, with one
 * database:
 *
 *     DATABASE_URL=postgres://localhost/cluster node examples/cluster.ts
 */
import * as Listener from "@effect-listener/core/Listener"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Account from "./support/account.ts"
import { announce } from "./support/announce.ts"
import * as Cluster from "./support/cluster.ts"
import * as Env from "./support/env.ts"

const server = Layer.unwrap(Effect.map(
  Effect.all([Env.endpoint, Env.listenerOptions]),
  ([endpoint, options]) => NodeTcp.layerSocketServer({ ...endpoint, ...options })
))

const program = Account.layer(String(process.pid)).pipe(
  Layer.provide(Cluster.runner),
  Layer.provideMerge(server),
  Layer.provide(Cluster.database),
  Layer.tap((services) => Effect.orDie(announce(Context.get(services, Listener.Listener))))
)

// stdout is for the JSON lines
NodeMain.runMain(Effect.provideService(Layer.launch(program), Logger.LogToStderr, true))
