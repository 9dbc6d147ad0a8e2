/**
 * Law 2: no request is executed and then loses its answer without the report
 * naming its connection; what had arrived before close began is executed, or
 * refused and counted.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { bytesOf, concat, decode } from "../util/bytes.ts"
import { ask, connect, ensureCut, ensureFin } from "./kit/clients.ts"
import { describe, ensure, ensureEquals, many, moment, orBroken, start, turns, within } from "./kit/expect.ts"
import { kibi, matching, pattern } from "./kit/pattern.ts"
import { close, closing, counts, serve, untilDraining, untilExecuted } from "./kit/serving.ts"
import { bind, closeError, isPeerEnd, linger, pair, pullAll } from "./kit/transport.ts"
import type { Check } from "./subject.ts"

export const checks: ReadonlyArray<Check> = [
  {
    about: "drain",
    name: "a request in flight is answered, and then the connection ends",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject)
        const peer = yield* connect(subject)
        yield* peer.write("hold\n")
        yield* untilExecuted(serving, "hold")
        const report = yield* closing(
          serving.listener,
          Effect.gen(function*() {
            yield* untilDraining(serving.listener)
            yield* serving.release
            yield* ensureEquals(decode(yield* ensureFin(peer, "a client that was answered")), "hold\n", "the answer")
            yield* peer.end
          })
        )
        yield* ensureEquals(counts(report), { total: 1, drained: 1 }, "the report")
      })
  },
  {
    about: "drain",
    name: "requests that had arrived and were not read yet are answered",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject)
        const peers = yield* many(12, () => connect(subject))
        yield* many(peers.length, (index) => ask(peers[index]!, "first"))
        const writes = yield* start(many(peers.length, (index) => peers[index]!.write(`second ${index}\n`)))
        const report = yield* closing(
          serving.listener,
          many(peers.length, (index) =>
            Effect.gen(function*() {
              const answer = decode(yield* ensureFin(peers[index]!, "a client whose request had arrived"))
              yield* ensureEquals(answer, `second ${index}\n`, "the answer to a request that had arrived")
              yield* peers[index]!.end
            }))
        )
        yield* Fiber.join(writes)
        yield* ensureEquals(report.connections.total, peers.length, "connections in the report")
      })
  },
  {
    about: "drain",
    name: "a request that comes after the goodbye is not executed",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject)
        const busy = yield* connect(subject)
        yield* busy.write("hold\n")
        yield* untilExecuted(serving, "hold")
        const idle = yield* connect(subject)
        yield* ask(idle, "first")
        yield* closing(
          serving.listener,
          Effect.gen(function*() {
            yield* ensureFin(idle, "an idle client")
            // whether it can still be written does not matter
            yield* Effect.ignore(idle.write("late\n"))
            yield* turns(5)
            yield* serving.release
            yield* busy.end
          })
        )
        yield* ensureEquals([...serving.executed], ["hold", "first"], "the requests that were executed")
      })
  },
  {
    about: "drain",
    name: "settled completes when what had arrived has been given to a waiting pull",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const { connection, peer, pull } = yield* pair(subject, bound)
        for (let i = 0; i < 20; i++) {
          const pulling = yield* start(pull)
          yield* moment(i)
          yield* peer.write("x")
          yield* within("settled", connection.settled)
          const exit = pulling.pollUnsafe()
          yield* ensure(
            exit !== undefined && Exit.isSuccess(exit),
            "what had arrived before settled began was not given to the waiting pull when it had completed"
          )
        }
      })
  },
  {
    about: "drain",
    name: "endReading ends nothing while bytes are buffered, and none is lost",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const { connection, peer, pull } = yield* pair(subject, bound)
        yield* peer.write("one")
        yield* pullAll(pull, 3)
        yield* peer.write("two")
        yield* within("settled", connection.settled)
        const error = closeError("draining")
        yield* ensure(!connection.endReading(error), "endReading ended reading while bytes were buffered")
        yield* ensureEquals(decode(yield* pullAll(pull, 3)), "two", "the bytes that were buffered")
        yield* ensure(connection.endReading(error), "endReading refused with nothing buffered")
        const failure = yield* within("a pull after endReading", Effect.flip(pull))
        yield* ensure(failure === error, `a pull after endReading failed with ${describe(failure)}`)
      })
  },
  {
    about: "drain",
    name: "endReading leaves writing alone",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const { connection, peer, pull, writer } = yield* pair(subject, bound)
        yield* peer.write("request")
        yield* pullAll(pull, 7)
        yield* ensure(connection.endReading(closeError("draining")), "endReading refused with nothing buffered")
        yield* within("a write after endReading", orBroken(writer.write("answer"), "a write after endReading"))
        yield* ensureEquals(decode(yield* within("the answer", peer.take(6))), "answer", "the answer")
      })
  },
  {
    about: "interruption",
    name: "an interrupted pull loses no bytes",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const { peer, pull } = yield* pair(subject, bound)
        const chunks: Array<Uint8Array> = []
        const bytes = pattern(41 * 7)
        for (let i = 0; i < 41; i++) {
          const pulling = yield* start(pull)
          if (i % 5 === 4) yield* within("interrupting a pull", Fiber.interrupt(pulling))
          yield* peer.write(bytes.subarray(i * 7, (i + 1) * 7))
          yield* moment(i)
          yield* within("interrupting a pull", Fiber.interrupt(pulling))
          const exit = yield* Fiber.await(pulling)
          if (Exit.isSuccess(exit)) chunks.push(exit.value)
        }
        const read = concat(chunks)
        const all = concat([read, yield* pullAll(pull, bytes.length - read.length)])
        yield* ensureEquals(matching(all), bytes.length, "the bytes that came in their order")
      })
  },
  {
    about: "accept",
    name: "what a client says before it is accepted is read whole",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const first = yield* pair(subject, bound)
        yield* first.peer.end
        const size = 256 * kibi
        const peer = yield* connect(subject)
        const writing = yield* start(peer.write(pattern(size)))
        yield* turns(5)
        const connection = yield* within("accept", orBroken(bound.accept, "accept"))
        yield* within("the handshake", orBroken(connection.ready, "the handshake"))
        const reader = yield* orBroken(connection.socket.reader, "the reader")
        const chunks = yield* pullAll(
          Effect.map(reader.pull, bytesOf),
          size
        )
        yield* Fiber.join(writing)
        yield* ensureEquals(matching(chunks), size, "the bytes that came in their order")
        yield* connection.destroy
      })
  },
  {
    about: "drain",
    name: "a client that ends its side after its request gets the answer",
    run: (subject) =>
      Effect.gen(function*() {
        if (subject.halfOpen === false) return
        const bound = yield* bind(subject)
        const { connection, peer, pull, writer } = yield* pair(subject, bound)
        yield* peer.write("request")
        yield* peer.end
        yield* pullAll(pull, 7)
        const end = yield* within("the client's end", Effect.flip(pull))
        yield* ensure(isPeerEnd(end), `the client's end was told as ${describe(end)}`)
        yield* turns(3)
        yield* within(
          "a write after the client's end",
          orBroken(writer.write("answer"), "a write after the client's end")
        )
        yield* within("goodbye", connection.goodbye(linger()))
        yield* ensureEquals(decode(yield* ensureFin(peer, "a client that was answered")), "answer", "the answer")
      })
  },
  {
    about: "deadline",
    name: "a request that was executed and is cut is named",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject, { drain: { deadline: "300 millis" } })
        const peer = yield* connect(subject)
        yield* peer.write("hold me\n")
        yield* untilExecuted(serving, "hold me")
        const report = yield* close(serving.listener)
        yield* ensureCut(subject, peer, "a client that was cut")
        yield* ensureEquals(counts(report), { total: 1, cut: 1 }, "the report")
        yield* ensureEquals(report.cut[0]?.exchanges.map(({ label }) => label), ["hold me"], "the exchanges it names")
      })
  }
]
