/**
 * The entity of the cluster example: accounts that take orders. Each order is
 * written to a table when it is executed, so that it can be counted.
 */
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as Entity from "effect/cluster/Entity"
import type { Sharding } from "effect/cluster/Sharding"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"

const order = { id: Schema.String, millis: Schema.Int }

interface Order {
  readonly id: string
  readonly millis: number
}

/**
 * Savings accounts have shards of their own: an account waits for the savings
 * account to which it passes an order, and a shard moves to another runner when
 * none of its entities waits any more.
 */
export const shardGroups = ["default", "savings"]

export const Account = Entity.make("Account", [
  /** Kept in the database until it is answered; what its handler writes is there with its answer, or not at all. */
  Rpc.make("Keep", { payload: order, success: Schema.String, primaryKey: ({ id }) => id })
    .annotate(ClusterSchema.Persisted, true)
    .annotate(ClusterSchema.WithTransaction, true),
  /** Only ever sent. */
  Rpc.make("Send", { payload: order, success: Schema.String }),
  /** Only ever sent, to be sent on to a savings account that executes it. */
  Rpc.make("Pass", { payload: { ...order, to: Schema.String }, success: Schema.String })
]).annotate(ClusterSchema.ShardGroup, (id) => id.startsWith("savings-") ? "savings" : "default")

/** Executes the orders of the accounts that a runner has. */
export const layer = (runner: string): Layer.Layer<never, never, SqlClient.SqlClient | Sharding> =>
  Account.toLayer(Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const account = yield* Account.client
    const execute = ({ payload: { id, millis } }: { readonly payload: Order }) =>
      sql`INSERT INTO executed ${sql.insert({ id, runner })}`.pipe(
        Effect.andThen(Effect.sleep(millis)),
        Effect.as(runner),
        Effect.orDie
      )
    return Account.of({
      Keep: execute,
      Send: execute,
      Pass: ({ payload: { id, millis, to } }) => Effect.orDie(Effect.delay(account(to).Send({ id, millis: 0 }), millis))
    })
  }))
