/** Three runners of a cluster, restarted one after the other while orders come in. */
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import * as PgClient from "@effect/sql-pg/PgClient"
import type { Sharding } from "effect/cluster/Sharding"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { freePort } from "../../../packages/node/test/support/listening.ts"
import * as Process from "../../../packages/node/test/support/process.ts"
import { Account } from "../../support/account.ts"
import * as Members from "../../support/cluster.ts"
import * as Postgres from "./postgres.ts"

/** Whose runners: those of the cluster example, or Effect's own. */
export type Kind = "example" | "effect"

const programs: Record<Kind, URL> = {
  example: new URL("../../cluster.ts", import.meta.url),
  effect: new URL("../programs/effectRunner.ts", import.meta.url)
}

const senders: Record<Kind, Layer.Layer<Sharding, unknown, SqlClient.SqlClient>> = {
  example: Members.sender,
  effect: NodeClusterSocket.layer({ clientOnly: true, shardingConfig: Members.settings })
}

interface Runner {
  readonly port: number
  program: Process.Program
}

const launch = Effect.fnUntraced(function*(kind: Kind, url: string, port: number) {
  const program = yield* Process.start(programs[kind], {
    // what the shell of the tests has set is not theirs
    env: {
      DATABASE_URL: url,
      PORT: String(port),
      HOST: "127.0.0.1",
      DRAIN_DEADLINE_MS: "",
      LAME_DUCK_MS: "",
      MAX_CONNECTIONS: ""
    }
  })
  yield* program.port
  return program
})

export interface Cluster {
  readonly runners: ReadonlyArray<Runner>
  /** Sends to the accounts that the runners have. */
  readonly client: Effect.Success<typeof Account.client>
  /** Starts a runner again that has ended. */
  readonly relaunch: (runner: Runner) => Effect.Effect<void, Error, Scope.Scope>
}

/** Runs with a database, three runners, and a member that only sends. */
export const withCluster = <A, E>(
  kind: Kind,
  use: (cluster: Cluster) => Effect.Effect<A, E, Scope.Scope | SqlClient.SqlClient>
): Effect.Effect<A, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const { url } = yield* Postgres.start
    return yield* Effect.gen(function*() {
      yield* SqlClient.SqlClient.use((sql) => sql`CREATE TABLE executed (id text NOT NULL, runner text NOT NULL)`)
      const runners: Array<Runner> = []
      for (let i = 0; i < 3; i++) {
        const port = yield* freePort()
        runners.push({ port, program: yield* launch(kind, url, port) })
      }
      const relaunch = (runner: Runner) =>
        Effect.map(launch(kind, url, runner.port), (program) => {
          runner.program = program
        })
      return yield* Effect.provide(
        Effect.flatMap(Account.client, (client) => use({ runners, client, relaunch })),
        senders[kind]
      )
    }).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url) })))
  }).pipe(Effect.provideService(References.MinimumLogLevel, "Warn"))

/** How an order is made, by the names of the messages. */
const ways = ["Keep", "Send", "Pass"] as const

export type Way = typeof ways[number]

/** An order for one of many accounts; answered with the runner that executed it. */
export const order = (client: Cluster["client"], n: number) => {
  const way = ways[n % ways.length]!
  const id = `${way}-${n}`
  const account = client(`account-${n % 97}`)
  const payload = { id, millis: 20 + n % 60 }
  const answer: Effect.Effect<string, unknown> = way === "Keep"
    ? account.Keep(payload)
    : way === "Send"
    ? account.Send(payload)
    // no account passes orders to one that passes them on: two that did so could wait for each other
    : account.Pass({ ...payload, to: `savings-${n % 89}` })
  return { id, answer }
}

export interface Orders {
  readonly sent: number
  readonly answered: number
  readonly executedByNobody: number
  readonly executedTwice: number
}

export interface Figures {
  readonly restarts: number
  readonly orders: Record<Way, Orders>
  readonly exitCodes: ReadonlyArray<number | undefined>
  /** From SIGTERM to the end of the process, the longest, in milliseconds. */
  readonly longestExit: number
  /** From an order to its answer, the longest, in milliseconds. */
  readonly longestAnswer: number
}

/** Restarts each runner in each round, while so many orders are under way all the time. */
export const run = (
  kind: Kind,
  options: { readonly rounds: number; readonly inFlight: number }
): Effect.Effect<Figures, unknown, Scope.Scope> =>
  withCluster(kind, ({ client, relaunch, runners }) =>
    Effect.gen(function*() {
      const sent: Array<string> = []
      const answered = new Set<string>()
      const firstAnswers = new Map<string, Deferred.Deferred<void>>()
      const firstAnswerOf = (runner: string): Deferred.Deferred<void> => {
        const first = firstAnswers.get(runner) ?? Deferred.makeUnsafe<void>()
        firstAnswers.set(runner, first)
        return first
      }
      const takesPart = ({ program }: Runner) => Deferred.await(firstAnswerOf(String(program.pid)))

      let longestAnswer = 0
      let stopping = false
      const ordering = yield* Effect.forkChild(Effect.forEach(
        Array.from({ length: options.inFlight }),
        () =>
          Effect.whileLoop({
            while: () => !stopping,
            body: () => {
              const { answer, id } = order(client, sent.length)
              sent.push(id)
              const sentAt = performance.now()
              return Effect.map(Effect.exit(answer), (exit) => {
                if (Exit.isFailure(exit)) return
                answered.add(id)
                longestAnswer = Math.max(longestAnswer, performance.now() - sentAt)
                Deferred.doneUnsafe(firstAnswerOf(exit.value), Exit.void)
              })
            },
            step: () => {}
          }),
        { concurrency: "unbounded", discard: true }
      ))
      for (const runner of runners) yield* takesPart(runner)

      const exitCodes: Array<number | undefined> = []
      let longestExit = 0
      for (let round = 0; round < options.rounds; round++) {
        for (const runner of runners) {
          const signalledAt = performance.now()
          yield* runner.program.signal("SIGTERM")
          exitCodes.push((yield* runner.program.exit).code)
          longestExit = Math.max(longestExit, performance.now() - signalledAt)
          yield* relaunch(runner)
          yield* takesPart(runner)
        }
      }
      stopping = true
      yield* Fiber.join(ordering)

      const rows = yield* SqlClient.SqlClient.use((sql) => sql<{ readonly id: string }>`SELECT id FROM executed`)
      const executed = new Map<string, number>()
      for (const { id } of rows) executed.set(id, (executed.get(id) ?? 0) + 1)
      const ordersBy = (way: Way): Orders => {
        const ids = sent.filter((id) => id.startsWith(way))
        return {
          sent: ids.length,
          answered: ids.filter((id) => answered.has(id)).length,
          executedByNobody: ids.filter((id) => !executed.has(id)).length,
          executedTwice: ids.filter((id) => (executed.get(id) ?? 0) > 1).length
        }
      }
      return {
        restarts: exitCodes.length,
        orders: { Keep: ordersBy("Keep"), Send: ordersBy("Send"), Pass: ordersBy("Pass") },
        exitCodes,
        longestExit,
        longestAnswer
      }
    }))
