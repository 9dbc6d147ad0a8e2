/** Restarts of `http-server.ts` under load. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpLoad from "../../packages/node/test/support/httpLoad.ts"
import * as Example from "./httpExample.ts"

interface Crowd extends Omit<HttpLoad.Options, "tls"> {
  readonly tls?: boolean | undefined
}

/** Starts the example under load, ends it, and answers what the clients have counted, and how many requests it executed. */
const round = ({ tls = false, ...crowd }: Crowd) =>
  Effect.gen(function*() {
    const server = yield* Example.start(tls ? yield* Example.tlsFiles : {})
    const { load, refused } = yield* HttpLoad.start(server.port, { ...crowd, tls })
    // under load for a while
    yield* Effect.sleep(600)
    yield* server.sigterm
    yield* refused
    const { stderr } = yield* server.exits(0)
    return { load, executed: Number(/executed (\d+) requests/.exec(stderr)?.[1]) }
  }).pipe(Effect.scoped)

/** 64 keep-alive clients that send without pause lose nothing. */
export const withoutPause = (scheme: "http" | "https", rounds: number) =>
  Effect.gen(function*() {
    let sent = 0
    for (let n = 0; n < rounds; n++) {
      const { executed, load } = yield* round({ clients: 64, pause: () => 0, tls: scheme === "https" })
      assert.deepStrictEqual(load, { sent: load.sent, answered: load.sent, lost: 0, cut: 0 })
      assert.strictEqual(executed, load.answered)
      sent += load.sent
    }
    yield* Effect.log(`64 clients without pause over ${scheme}: 0 of ${sent} lost`)
  })

/** Of clients that pause as long as the grace, what is lost was never executed. */
export const pausingAsLongAsTheGrace = (rounds: number) =>
  Effect.gen(function*() {
    const all = Effect.forEach(
      Array.from({ length: rounds }),
      () => round({ clients: 400, pause: () => 230 + Math.random() * 40 }),
      { concurrency: 4 }
    )
    let sent = 0
    let lost = 0
    for (const { executed, load } of yield* all) {
      assert.strictEqual(load.cut, 0)
      assert.strictEqual(executed, load.answered)
      assert.strictEqual(load.sent, load.answered + load.lost)
      sent += load.sent
      lost += load.lost
    }
    yield* Effect.log(`400 clients that pause 230 to 270 ms, grace 250 ms: ${lost} of ${sent} lost, none executed`)
  })
