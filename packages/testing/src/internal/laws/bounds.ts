/**
 * Law 5: close ends within lame duck, deadline and abort grace, whatever
 * handlers and clients do.
 */
import * as Listener from "@effect-listener/core/Listener"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { ask, connect, ensureCut } from "./kit/clients.ts"
import { ensure, ensureEquals, late, many, orBroken, start, tooLong, turns, until, within } from "./kit/expect.ts"
import { kibi, mebi, pattern } from "./kit/pattern.ts"
import { close, counts, listen, quick, serve, untilDraining, untilExecuted } from "./kit/serving.ts"
import { bind, linger, pair } from "./kit/transport.ts"
import type { Check } from "./subject.ts"

const deadline = 300

export const checks: ReadonlyArray<Check> = [
  {
    about: "deadline",
    name: "a client that does not read its answer is cut and named",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject, {
          drain: { deadline },
          answer: (line) => line === "large" ? Effect.succeed(pattern(16 * mebi)) : undefined
        })
        const peer = yield* connect(subject)
        yield* peer.write("large\n")
        yield* untilExecuted(serving, "large")
        const report = yield* close(serving.listener, deadline + 1000 + late)
        yield* ensureEquals(report.outcome, "DeadlineExceeded", "the outcome of close")
        yield* ensureEquals(report.cut.length, 1, "connections that are named")
        yield* ensureEquals(yield* serving.listener.state, "Closed", "the state after close")
      })
  },
  {
    about: "deadline",
    name: "a client that never ends its side is waited for as long as linger says",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject, { drain: { deadline: tooLong, linger: { idle: 100 } } })
        const peer = yield* connect(subject)
        yield* ask(peer, "hello")
        const report = yield* close(serving.listener, 100 + late)
        yield* ensureEquals(counts(report), { total: 1, idle: 1 }, "the report")
      })
  },
  {
    about: "deadline",
    name: "a handler that will not end is left behind and named",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject, {
          drain: { deadline, abortGrace: 200 },
          answer: (line) =>
            line === "stay" ? Effect.uninterruptible(Effect.as(Effect.sleep(2 * late), line)) : undefined
        })
        const peer = yield* connect(subject)
        yield* peer.write("stay\n")
        yield* untilExecuted(serving, "stay")
        const report = yield* close(serving.listener, deadline + 200 + late)
        yield* ensureEquals(report.handlersLeftBehind.length, 1, "handlers left behind")
        yield* ensureCut(subject, peer, "a client whose handler was left behind")
      })
  },
  {
    about: "accept",
    name: "an accept can be interrupted",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const waiting = yield* start(bound.accept)
        yield* turns(2)
        yield* within("interrupting an accept", Fiber.interrupt(waiting))
      })
  },
  {
    about: "accept",
    name: "close ends accepts that wait",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* listen(subject.transport)
        const waiting = yield* start(Effect.flip(Effect.scoped(listener.accept)))
        yield* close(listener, late)
        const error = yield* within("the accept that waited", orBroken(Fiber.join(waiting), "the accept that waited"))
        yield* ensureEquals(error._tag, "OperationAborted", "what the accept failed with")
      })
  },
  {
    about: "sweep",
    name: "clients that connect without end do not keep stop from ending",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject)
        let over = false
        const connecting = yield* start(many(4, () =>
          Effect.gen(function*() {
            while (!over) {
              const served = yield* Effect.exit(Effect.scoped(Effect.flatMap(connect(subject), (peer) => peer.end)))
              if (Exit.isFailure(served)) return
            }
          })))
        yield* turns(5)
        yield* close(serving.listener, 10_000)
        over = true
        yield* within("the clients", Fiber.await(connecting))
      })
  },
  {
    about: "linger",
    name: "goodbye waits for a silent client for linger.idle",
    run: (subject) =>
      Effect.gen(function*() {
        const { connection } = yield* pair(subject, yield* bind(subject))
        yield* within("a goodbye of 50 ms", connection.goodbye(linger({ idle: 50, total: tooLong })), 50 + late)
      })
  },
  {
    about: "linger",
    name: "goodbye waits for a client that goes on sending for linger.total",
    run: (subject) =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair(subject, yield* bind(subject))
        const sending = yield* start(Effect.ignore(Effect.forever(Effect.andThen(peer.write("x"), Effect.sleep(10)))))
        yield* within("a goodbye of 300 ms", connection.goodbye(linger({ idle: tooLong, total: 300 })), 300 + late)
        yield* Fiber.interrupt(sending)
      })
  },
  {
    about: "linger",
    name: "goodbye reads linger.bytes of a client that goes on sending",
    run: (subject) =>
      Effect.gen(function*() {
        const { connection, peer } = yield* pair(subject, yield* bind(subject))
        const sending = yield* start(Effect.ignore(Effect.forever(Effect.andThen(
          peer.write(pattern(16 * kibi)),
          Effect.sleep(1)
        ))))
        yield* within(
          "a goodbye of 256 KiB",
          connection.goodbye(linger({ idle: tooLong, total: tooLong, bytes: 256 * kibi })),
          3 * late
        )
        yield* Fiber.interrupt(sending)
      })
  },
  {
    about: "abort",
    name: "destroy cuts a goodbye short",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        for (const stuck of [true, false]) {
          const { connection, peer, writer } = yield* pair(subject, bound)
          if (stuck) {
            yield* Effect.forkScoped(Effect.ignore(writer.write(pattern(16 * mebi))), { startImmediately: true })
          }
          const goodbye = yield* start(connection.goodbye(linger({ idle: tooLong, total: tooLong })))
          yield* turns(3)
          yield* within("destroy", connection.destroy)
          yield* within("a goodbye cut short by destroy", Fiber.await(goodbye))
          yield* within("the end of a connection that was destroyed", peer.rest)
        }
      })
  },
  {
    about: "abort",
    name: "destroy ends reads and writes that wait",
    run: (subject) =>
      Effect.gen(function*() {
        const { connection, pull, writer } = yield* pair(subject, yield* bind(subject))
        const pulling = yield* start(Effect.flip(pull))
        const writing = yield* start(Effect.exit(writer.write(pattern(16 * mebi))))
        yield* turns(2)
        yield* ensure(pulling.pollUnsafe() === undefined, "a pull with nothing to read did not wait")
        yield* within("destroy", connection.destroy)
        yield* within("the pull of a connection that was destroyed", orBroken(Fiber.join(pulling), "the pull"))
        yield* within("the write of a connection that was destroyed", Fiber.join(writing))
      })
  },
  {
    about: "abort",
    name: "abort waits for nothing and ends a close that runs",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject)
        const peer = yield* connect(subject)
        yield* peer.write("hold\n")
        yield* untilExecuted(serving, "hold")
        const closing = yield* start(close(serving.listener))
        yield* untilDraining(serving.listener)
        yield* within("abort", serving.listener.abort, 500)
        const report = yield* within("a close that was aborted", Fiber.join(closing))
        yield* ensureEquals(report.outcome, "Aborted", "the outcome of a close that was aborted")
        yield* ensureCut(subject, peer, "a client that was aborted")
      })
  },
  {
    about: "deadline",
    name: "the scope of a listener closes within its deadline and abort grace",
    run: (subject) =>
      Effect.gen(function*() {
        const scoped = Effect.scoped(Effect.gen(function*() {
          const listener = yield* orBroken(
            Listener.listen(subject.transport, { drain: { ...quick, deadline, abortGrace: 200 } }),
            "listen"
          )
          yield* start(Effect.ignore(Listener.serve(listener, () => Effect.uninterruptible(Effect.sleep(2 * late)))))
          yield* connect(subject)
          yield* until(
            "a connection in the listener",
            Effect.map(listener.connections, (connections) => connections.length === 1)
          )
        }))
        yield* within("the scope of a listener", scoped, late + deadline + 200 + late)
      })
  }
]
