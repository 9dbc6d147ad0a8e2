/** How long small writes take, one after another: the kernel may hold them back. */
import type { TransportConnection } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import type { Peer } from "./peer.ts"
import { turns } from "./resources.ts"

/** The median of 20 requests that are answered in three small writes, each in a turn of its own: milliseconds. */
export const medianAnswer = Effect.fnUntraced(function*(connection: TransportConnection, peer: Peer) {
  const { pull } = yield* connection.socket.reader
  const { write } = yield* connection.socket.writer
  return yield* median(
    Effect.gen(function*() {
      yield* peer.send("x")
      yield* pull
      for (const part of ["a", "b", "c"]) {
        yield* write(part)
        yield* turns(1)
      }
    }),
    (answered) => peer.received(3 * answered)
  )
})

/** The median of 20 times an effect takes, with what waits for the answer to so many: milliseconds. */
export const median = Effect.fnUntraced(function*<E, R, E2, R2>(
  ask: Effect.Effect<unknown, E, R>,
  answer: (answered: number) => Effect.Effect<unknown, E2, R2>
) {
  const times: Array<number> = []
  for (let i = 1; i <= 20; i++) {
    const begun = performance.now()
    yield* ask
    yield* answer(i)
    times.push(performance.now() - begun)
  }
  return times.sort((one, other) => one - other)[10]!
})
