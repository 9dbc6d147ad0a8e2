/**
 * Law 6: nothing waits for what is idle.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { bytesOf, decode } from "../util/bytes.ts"
import { ask, connect, ensureFin, type Peer } from "./kit/clients.ts"
import {
  type Broken,
  describe,
  ensure,
  ensureEquals,
  late,
  many,
  orBroken,
  start,
  tooLong,
  turns,
  until,
  within
} from "./kit/expect.ts"
import { close, closing, counts, listen, serve, untilExecuted } from "./kit/serving.ts"
import { accept, bind, closeError, linger, pair, pullAll } from "./kit/transport.ts"
import type { Check } from "./subject.ts"

export const checks: ReadonlyArray<Check> = [
  {
    about: "drain",
    name: "a close with nothing open ends at once",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* listen(subject.transport, { deadline: tooLong })
        yield* close(listener, late)
      })
  },
  {
    about: "drain",
    name: "idle clients are ended before what is in flight has ended",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject, { drain: { deadline: tooLong } })
        const busy = yield* connect(subject)
        yield* busy.write("hold\n")
        yield* untilExecuted(serving, "hold")
        const idle = yield* many(6, () => connect(subject))
        yield* many(idle.length, (index) => ask(idle[index]!, "hello"))
        const report = yield* closing(
          serving.listener,
          Effect.gen(function*() {
            yield* many(idle.length, (index) => ensureFin(idle[index]!, "an idle client"))
            yield* many(idle.length, (index) => idle[index]!.end)
            yield* serving.release
            yield* ensureFin(busy, "a busy client")
            yield* busy.end
          })
        )
        yield* ensureEquals(counts(report), { total: 7, drained: 1, idle: 6 }, "the report")
      })
  },
  {
    about: "drain",
    name: "clients that never said anything are not waited for",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject, { drain: { deadline: tooLong } })
        const silent = yield* many(4, () => connect(subject))
        yield* turns(10)
        const report = yield* closing(
          serving.listener,
          many(silent.length, (index) => Effect.andThen(silent[index]!.rest, silent[index]!.end))
        )
        yield* ensureEquals(report.connections.idle, 4, "idle connections in the report")
      })
  },
  {
    about: "drain",
    name: "endReading ends a pull that waits",
    run: (subject) =>
      Effect.gen(function*() {
        const { connection, pull } = yield* pair(subject, yield* bind(subject))
        const pulling = yield* start(Effect.flip(pull))
        yield* turns(3)
        const error = closeError("draining")
        yield* ensure(connection.endReading(error), "endReading refused with nothing buffered")
        const failure = yield* within("a pull that waits when reading is ended", Fiber.join(pulling))
        yield* ensure(failure === error, `the pull failed with ${describe(failure)}`)
      })
  },
  {
    about: "drain",
    name: "settled does not wait for bytes",
    run: (subject) =>
      Effect.gen(function*() {
        const { connection, pull } = yield* pair(subject, yield* bind(subject))
        yield* within("settled, before the first pull", connection.settled)
        yield* Effect.forkScoped(Effect.ignore(pull), { startImmediately: true })
        yield* within("settled, while a pull waits", connection.settled)
      })
  },
  {
    about: "departure",
    name: "a client that has gone is noticed though nothing is read, once, and no other is",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        /** A connection that is watched, what its client does meanwhile, and how often that was said to be gone. */
        const watched = (does: (peer: Peer) => Effect.Effect<unknown, Broken>, halfOpen: boolean, takenBack = false) =>
          Effect.gen(function*() {
            const peer = yield* connect(subject)
            const connection = yield* accept(bound)
            yield* within("the handshake", orBroken(connection.ready, "the handshake"))
            let gone = 0
            const stop = connection.watchDeparture?.(() => {
              gone++
            }, halfOpen)
            if (takenBack) stop?.()
            yield* does(peer)
            return { connection, watched: stop !== undefined, times: () => gone }
          })
        const ends = (peer: Peer) => peer.end
        // in the middle of a handshake its reset may look like an end
        const resets = (peer: Peer) => Effect.andThen(peer.write("off"), peer.reset)
        const stays = yield* watched((peer) => peer.write("on"), false)
        // optional: without it a connection that is held keeps its place
        if (!stays.watched) return
        const forgotten = yield* watched(ends, false, true)
        const half = yield* watched((peer) => Effect.andThen(peer.write("last"), peer.end), true)
        const ended = yield* watched(ends, false)
        const reset = subject.resets === false ? undefined : yield* watched(resets, true)
        const left = reset === undefined ? [ended] : [ended, reset]
        yield* until("clients that have gone being noticed", Effect.sync(() => left.every(({ times }) => times() > 0)))
        yield* turns(10)
        yield* ensureEquals(left.map(({ times }) => times()), left.map(() => 1), "how often each was noticed")
        yield* ensureEquals(
          [stays, forgotten, half].map(({ times }) => times()),
          [0, 0, 0],
          "how often one that stays, one that is no longer watched, and one that may end its side were noticed"
        )
        for (const [{ connection }, sent] of [[stays, "on"], [half, "last"]] as const) {
          const reader = yield* orBroken(connection.socket.reader, "the reader")
          const received = decode(yield* pullAll(Effect.map(reader.pull, bytesOf), sent.length))
          yield* ensureEquals(received, sent, "what was sent while nothing was read")
        }
      })
  },
  {
    about: "sweep",
    name: "stop does not wait where nothing is queued, or nothing accepts",
    run: (subject) =>
      Effect.gen(function*() {
        yield* Effect.scoped(Effect.flatMap(bind(subject), (bound) => within("stop", bound.stop)))
        const bound = yield* bind(subject)
        yield* connect(subject)
        yield* within("stop", bound.stop)
      })
  },
  {
    about: "linger",
    name: "goodbye does not wait for a client that has ended its side",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const before = yield* pair(subject, bound)
        yield* before.peer.end
        yield* within("a pull", Effect.flip(before.pull))
        yield* within("goodbye", before.connection.goodbye(linger({ idle: tooLong, total: tooLong })))
        const after = yield* pair(subject, bound)
        const goodbye = yield* start(after.connection.goodbye(linger({ idle: tooLong, total: tooLong })))
        yield* ensureFin(after.peer, "a client that was told goodbye")
        yield* after.peer.end
        yield* within("goodbye", Fiber.join(goodbye))
      })
  },
  {
    about: "linger",
    name: "goodbye does not wait for a client that is gone",
    run: (subject) =>
      Effect.gen(function*() {
        const { connection, peer, pull, writer } = yield* pair(subject, yield* bind(subject))
        yield* orBroken(writer.write("hello"), "a write")
        yield* within("5 bytes", peer.take(5))
        yield* peer.reset
        yield* within("a pull", Effect.flip(pull))
        yield* within("goodbye", connection.goodbye(linger({ idle: tooLong, total: tooLong })))
      })
  }
]
