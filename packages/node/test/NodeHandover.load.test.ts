/** Hand-overs and stops under load; `NodeHandover.endurance.test.ts` has dozens of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Handover from "./support/handover.ts"
import * as Rounds from "./support/handoverRounds.ts"
import * as Relentless from "./support/relentless.ts"

/** Holds the event loop so long before each read phase, until the scope closes. */
const slowTurns = (millis: number) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      setInterval(() => {
        const end = performance.now() + millis
        while (performance.now() < end) {
          // nothing: that is what holds it
        }
      }, 1)
    ),
    (timer) => Effect.sync(() => clearInterval(timer))
  )

/** Long enough for some processes to start on a machine that has other work. */
const slow = 120_000

describe("a service that is handed over under clients that never stop", () => {
  for (const kind of ["http", "tls", "unix", "tcp"] as const) {
    it.live(`loses nothing in 3 hand-overs: ${kind}`, () => Rounds.handOverUnderLoad(kind, 3, { clients: 8 }), slow)
  }

  for (const kind of ["http2", "webSocket"] as const) {
    it.live(`loses nothing: ${kind}`, () => Rounds.handOverUnderLoad(kind, 1, { clients: 8 }), slow)
  }

  it.live("loses nothing: RPC", () => Rounds.callUnderHandOvers(1), slow)

  it.live(
    "refuses none of those that connect anew each time",
    () => Rounds.handOverUnderLoad("tcp", 3, { clients: 8, kept: () => false }),
    slow
  )
})

describe("a final stop", () => {
  it.live.each(["http", "tls", "tcp"] as const)(
    "neither resets nor loses those that keep their connections: %s",
    (kind) => Rounds.stopUnderLoad(kind),
    slow
  )
})

describe("clients whose turns are slow while they are told to go", () => {
  for (const kind of ["http", "tls", "unix"] as const) {
    it.live(`hear it before they ask again, and lose nothing: ${kind}`, () =>
      Effect.gen(function*() {
        const service = yield* Handover.start(kind)
        const clients = yield* Relentless.start(service.target, 8, () => true)
        yield* clients.more(40)
        // together longer than the grace in which the next request is waited for
        yield* slowTurns(150)
        yield* service.signal(service.first, "SIGUSR2")
        const { pid } = yield* service.generation(1)
        yield* service.handedOver(service.first)
        yield* clients.answeredBy(pid)
        assert.deepStrictEqual(Relentless.lost(yield* clients.stop), Relentless.none)
      }), slow)
  }
})
