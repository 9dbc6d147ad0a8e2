/** What `NodeHandover.load.test.ts` and `NodeInherit.test.ts` test a few times, dozens of times. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { bindSocket } from "../src/internal/inherit/boundSocket.ts"
import * as Rounds from "./support/handoverRounds.ts"

const slow = 900_000

describe("20 hand-overs under 16 clients that never stop, half of them with new connections", () => {
  it.live.each(["http", "http2", "tls", "unix", "tcp", "webSocket"] as const)("%s", (kind) =>
    Effect.gen(function*() {
      const { answered } = yield* Rounds.handOverUnderLoad(kind, 20)
      yield* Effect.log(`${kind}: 20 hand-overs, ${answered} requests answered, 0 lost`)
    }), slow)

  it.live("RPC", () => Rounds.callUnderHandOvers(20), slow)
})

describe("60 hand-overs under clients that connect anew each time", () => {
  it.live("lose none", () => Rounds.handOverUnderLoad("tcp", 60, { clients: 8, kept: () => false }), slow)
})

describe("a socket that a launcher holds", () => {
  it.live(
    "refuses and resets no client while the service is stopped and started 20 times, 2 s without a process",
    () =>
      Effect.acquireRelease(
        Effect.sync(() => bindSocket({ host: "127.0.0.1" })),
        (socket) => Effect.sync(() => socket.close())
      ).pipe(Effect.flatMap((socket) => Rounds.restartBehindLauncher(socket, 20, "2 seconds"))),
    slow
  )
})

describe("20 final stops under 16 clients that keep their connections", () => {
  it.live.each(["http", "tls", "http2", "webSocket", "tcp"] as const)(
    "%s: none is reset or lost",
    (kind) =>
      Effect.forEach(Array.from({ length: 20 }), () => Effect.scoped(Rounds.stopUnderLoad(kind)), { discard: true }),
    slow
  )
})
