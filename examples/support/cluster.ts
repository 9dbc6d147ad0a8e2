/** What the members of the cluster example share: storage in PostgreSQL, and how they reach each other. */
import * as RpcListener from "@effect-listener/core/RpcListener"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as PgClient from "@effect/sql-pg/PgClient"
import type { MessageStorage } from "effect/cluster/MessageStorage"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as RunnerServer from "effect/cluster/RunnerServer"
import type { RunnerStorage } from "effect/cluster/RunnerStorage"
import type { Sharding } from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SqlMessageStorage from "effect/cluster/SqlMessageStorage"
import * as SqlRunnerStorage from "effect/cluster/SqlRunnerStorage"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Schedule from "effect/Schedule"
import { SocketServer } from "effect/socket/SocketServer"
import type { SqlClient } from "effect/sql/SqlClient"
import { shardGroups } from "./account.ts"

/** `DATABASE_URL`. */
export const database = PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") })

/** Other runners, each at one address: what it does not execute, the cluster asks of the runner that has it next. */
const peers: Layer.Layer<Runners.RpcClientProtocol, never, RpcSerialization.RpcSerialization> = Layer.effect(
  Runners.RpcClientProtocol,
  Effect.gen(function*() {
    const serialization = yield* RpcSerialization.RpcSerialization
    return {
      codecFor: serialization.codecFor,
      make: ({ host, port }) =>
        RpcListener.makeClientProtocol({
          servers: [NodeSocket.makeNet({ host, port, openTimeout: "1 second" })],
          // one that was restarted is back within a second or two
          retryPolicy: Schedule.spaced("250 millis")
        }).pipe(Effect.orDie, Effect.provideService(RpcSerialization.RpcSerialization, serialization))
    }
  })
)

const storage: Layer.Layer<
  MessageStorage | RunnerStorage,
  never,
  ShardingConfig.ShardingConfig | SqlClient
> = Layer.mergeAll(
  Layer.provide(SqlMessageStorage.layer, NodeCrypto.layerDigest),
  SqlRunnerStorage.layer
).pipe(Layer.orDie)

/** The default is used for all else. Every member has the same. */
export const settings: Partial<ShardingConfig.ShardingConfig["Service"]> = {
  // a change of runners is known sooner than in three seconds
  refreshAssignmentsInterval: "1 second",
  // each is a lock in the database that a runner gives back by itself: ten a runner are enough
  shardsPerGroup: 30,
  availableShardGroups: shardGroups,
  assignedShardGroups: shardGroups
}

/** A runner says where it can be reached, which is where it listens. */
const configOfRunner = Layer.effect(
  ShardingConfig.ShardingConfig,
  Effect.map(SocketServer, ({ address }) => ({
    ...ShardingConfig.defaults,
    ...settings,
    runnerAddress: NetAddress.isInetAddress(address)
      ? Option.some(RunnerAddress.make(NetAddress.formatHost(address), address.port))
      : Option.none()
  }))
)

/** A member that has entities, served over the `SocketServer` it is given. */
export const runner: Layer.Layer<Sharding, never, SocketServer | SqlClient> = RunnerServer.layerWithClients.pipe(
  Layer.provide(RpcListener.layerProtocolSocketServer),
  Layer.provide(Layer.provide(RunnerHealth.layerPing, Runners.layerRpc)),
  Layer.provide(peers),
  Layer.provide(storage),
  Layer.provide([configOfRunner, RpcSerialization.layerSchemaBinary()])
)

/** A member that only sends. */
export const sender: Layer.Layer<Sharding, never, SqlClient> = RunnerServer.layerClientOnly.pipe(
  Layer.provide(peers),
  Layer.provide(storage),
  Layer.provide([
    ShardingConfig.layer({ ...settings, runnerAddress: Option.none() }),
    RpcSerialization.layerSchemaBinary()
  ])
)
