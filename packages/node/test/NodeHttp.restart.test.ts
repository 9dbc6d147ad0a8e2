import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpLoad from "./support/httpLoad.ts"
import * as Process from "./support/process.ts"

const counting = new URL("./programs/httpCount.ts", import.meta.url)

/** Starts a server under load, ends it, and answers what the clients and the server have counted. */
const round = (options: { readonly clients: number; readonly pause: () => number }) =>
  Effect.gen(function*() {
    const server = yield* Process.start(counting)
    const { load, refused } = yield* HttpLoad.start(yield* server.port, options)
    yield* Effect.sleep(800)
    yield* server.signal("SIGTERM")
    yield* refused
    const { executed, report } = yield* server.event("closed")
    assert.strictEqual((yield* server.exit).code, 0)
    return { load, executed: Number(executed), report }
  }).pipe(Effect.scoped)

describe("restart under load", () => {
  it.live("64 keep-alive clients that send without pause, 8 rounds: nothing is lost", () =>
    Effect.gen(function*() {
      let sent = 0
      for (let n = 0; n < 8; n++) {
        const { executed, load } = yield* round({ clients: 64, pause: () => 0 })
        assert.deepInclude(load, { lost: 0, cut: 0, answered: load.sent })
        assert.strictEqual(executed, load.answered)
        sent += load.sent
      }
      yield* Effect.log(`64 clients without pause: 0 of ${sent} lost`)
    }), 60_000)

  it.live("clients that pause as long as the grace: what is lost was never executed", () =>
    Effect.gen(function*() {
      let sent = 0
      let lost = 0
      for (let n = 0; n < 4; n++) {
        const { executed, load } = yield* round({ clients: 400, pause: () => 230 + Math.random() * 40 })
        assert.strictEqual(load.cut, 0)
        assert.strictEqual(executed, load.answered)
        assert.strictEqual(load.sent, load.answered + load.lost)
        sent += load.sent
        lost += load.lost
      }
      yield* Effect.log(`400 clients that pause 230 to 270 ms, grace 250 ms: ${lost} of ${sent} lost, none executed`)
    }), 60_000)
})
