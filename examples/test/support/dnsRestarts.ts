/** Restarts of the DNS example under load, for the short tests and the long ones. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Process from "../../../packages/node/test/support/process.ts"
import { start } from "./dnsClient.ts"
import { type Load, load, type Sent } from "./dnsLoad.ts"

/** Ends the example by SIGTERM under 2,000 queries a second: those are answered that had reached the machine. */
export const stopUnderLoad = Effect.scoped(Effect.gen(function*() {
  const program = yield* start()
  const queries = yield* load(yield* program.port, { perSecond: 1000 })
  yield* Effect.sleep(1000)
  const before = queries.sent()
  yield* program.signal("SIGTERM")
  const exit = yield* program.exit
  assert.strictEqual(exit.code, 0, exit.stderr.join("\n"))
  assert.isAbove(before.length, 500)
  assert.deepStrictEqual(yield* unansweredOf(queries, before), [])
}))

/** How long answers may wait in this process' own sockets, of which one turn of the event loop reads 32, in milliseconds. */
const patience = 10_000

const unansweredOf = (queries: Load, sent: ReadonlyArray<Sent>): Effect.Effect<ReadonlyArray<string>> =>
  Effect.suspend(() => {
    const end = performance.now() + patience
    const look = Effect.sync(() => queries.unanswered(sent))
    return Effect.repeat(Effect.tap(look, Effect.sleep(10)), {
      until: (unanswered) => unanswered.length === 0 || performance.now() > end
    })
  })

/** Replaces the process `times` times while the primary of a cluster holds the sockets: every query is answered. */
export const replaceUnderLoad = (times: number) =>
  Effect.scoped(Effect.gen(function*() {
    const primary = yield* Process.start(new URL("../programs/dnsPrimary.ts", import.meta.url), {
      args: [String(times)],
      env: { PORT: "", HOST: "", DRAIN_DEADLINE_MS: "", LAME_DUCK_MS: "", MAX_CONNECTIONS: "" }
    })
    const queries = yield* load(yield* primary.port, { connections: 0, perSecond: 2000 })
    yield* Effect.sleep(200)
    yield* primary.signal("SIGHUP")
    yield* primary.event("done")
    const sent = queries.sent()
    assert.isAbove(sent.length, 100)
    const unanswered = yield* unansweredOf(queries, sent)
    console.log(`${times} replacements, ${sent.length} queries, unanswered: ${unanswered.length}`)
    assert.deepStrictEqual(unanswered, [])
    yield* primary.signal("SIGTERM")
    yield* primary.exit
  }))
