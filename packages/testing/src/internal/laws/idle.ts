/**
 * Law 6: nothing waits for what is idle.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { ask, connect, ensureFin } from "./kit/clients.ts"
import { describe, ensure, ensureEquals, late, many, orBroken, start, tooLong, turns, within } from "./kit/expect.ts"
import { close, closing, counts, listen, serve, untilExecuted } from "./kit/serving.ts"
import { bind, closeError, linger, pair } from "./kit/transport.ts"
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
    about: "sweep",
    name: "stop does not wait where nobody is queued, or nobody accepts",
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
