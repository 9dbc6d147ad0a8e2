/** The runner of the cluster example as Effect itself would have it: `node effectRunner.ts`, with `PORT` and `DATABASE_URL`. */
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Account from "../../support/account.ts"
import { database, settings } from "../../support/cluster.ts"

const port = Number(process.env["PORT"])

const program = Account.layer(String(process.pid)).pipe(
  Layer.provide(NodeClusterSocket.layer({
    shardingConfig: {
      ...settings,
      runnerAddress: Option.some(RunnerAddress.make("127.0.0.1", port))
    }
  })),
  Layer.provide(database),
  Layer.tap(() => Effect.sync(() => console.log(JSON.stringify({ event: "open", port }))))
)

NodeRuntime.runMain(Effect.provideService(Layer.launch(program), Logger.LogToStderr, true))
