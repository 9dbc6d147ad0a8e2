/** Restarts of `http-server.ts` under load, at length and in short. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpLoad from "../../../packages/node/test/support/httpLoad.ts"
import * as Example from "./httpExample.ts"

export const restartSuite = (rounds: { readonly http: number; readonly https: number; readonly pausing: number }) =>
  describe("restarts of examples/http-server.ts under load", () => {
    it.live.each([["http", rounds.http], ["https", rounds.https]] as const)(
      "64 keep-alive clients that send without pause, over %s, %s rounds: nothing is lost",
      ([scheme, rounds]) => withoutPause(scheme, rounds),
      300_000
    )

    it.live(
      `clients that pause as long as the grace, ${rounds.pausing} rounds: what is lost was never executed`,
      () => pausingAsLongAsTheGrace(rounds.pausing),
      300_000
    )
  })

/** 64 keep-alive clients that send without pause lose nothing. */
const withoutPause = (scheme: "http" | "https", rounds: number) =>
  Effect.gen(function*() {
    let sent = 0
    for (let n = 0; n < rounds; n++) {
      // on a machine that has other work 64 handshakes take this process longer than the default
      const { executed, load } = yield* round({ clients: 64, pause: () => 0, grace: 5000, tls: scheme === "https" })
      assert.deepStrictEqual(load, { sent: load.sent, answered: load.sent, lost: 0, cut: 0, late: 0 })
      assert.strictEqual(executed, load.answered)
      sent += load.sent
    }
    yield* Effect.log(`64 clients without pause over ${scheme}: 0 of ${sent} lost`)
  })

/** Of clients that pause as long as the grace, what is lost was never executed. */
const pausingAsLongAsTheGrace = (rounds: number) =>
  Effect.gen(function*() {
    const all = Effect.forEach(
      Array.from({ length: rounds }),
      () => round({ clients: 400, pause: () => 230 + Math.random() * 40, grace: 250 }),
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

interface Crowd extends Omit<HttpLoad.Options, "tls"> {
  readonly tls?: boolean | undefined
  /** How long a client may take from a handshake or an answer to its next request, in milliseconds. */
  readonly grace: number
}

/** Starts the example under load, ends it, and answers what the clients have counted, and how many requests it executed. */
const round = ({ grace, tls = false, ...crowd }: Crowd) =>
  Effect.gen(function*() {
    const server = yield* Example.start({ IDLE_GRACE_MS: String(grace), ...tls ? yield* Example.tlsFiles : {} })
    const { load, refused } = yield* HttpLoad.start(server.port, { ...crowd, tls })
    // under load for a while
    yield* Effect.sleep(600)
    yield* server.sigterm
    yield* refused
    const { stderr } = yield* server.exits(0)
    return { load, executed: Number(/executed (\d+) requests/.exec(stderr)?.[1]) }
  }).pipe(Effect.scoped)
