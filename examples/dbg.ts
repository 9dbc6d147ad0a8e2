import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import * as Process from "../packages/node/test/support/process.ts"
import { Account } from "./support/account.ts"
import * as Cluster from "./support/cluster.ts"
import * as Postgres from "./test/postgres.ts"
await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  const { url } = yield* Postgres.start
  process.env["DATABASE_URL"] = url
  const start = Process.start(new URL("./cluster.ts", import.meta.url), {
    env: { DATABASE_URL: url, PORT: "", HOST: "" }
  })
  yield* Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE executed (id text, runner text)`
    const runners = []
    for (let i = 0; i < 3; i++) {
      const r = yield* start
      yield* r.port
      runners.push(r)
    }
    console.log("up")
    yield* Effect.gen(function*() {
      const client = yield* Account.client
      for (let i = 0; i < 10; i++) {
        const t = performance.now()
        console.log(yield* client(`a${i}`).Keep({ id: `k${i}`, millis: 10 }), performance.now() - t)
        const u = performance.now()
        console.log(yield* client(`a${i}`).Send({ id: `s${i}`, millis: 10 }), performance.now() - u)
      }
      console.log(yield* sql`select * from executed`)
      for (const r of runners) {
        const t = performance.now()
        yield* r.signal("SIGTERM")
        const e = yield* r.exit
        console.log(e.code, performance.now() - t, e.stdout.at(-1), e.stderr.slice(-12))
      }
    }).pipe(Effect.provide(Cluster.sender))
  }).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url) })))
})))
