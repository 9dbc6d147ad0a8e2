/**
 * Law 3: a response, once begun, is delivered whole, or the report names its
 * connection.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { decode, encode } from "../util/bytes.ts"
import { connect, ensureCut, ensureFin } from "./kit/clients.ts"
import { ensure, ensureEquals, late, orBroken, start, tooLong, turns, until, within } from "./kit/expect.ts"
import { kibi, matching, mebi, pattern } from "./kit/pattern.ts"
import { close, closing, counts, serve, untilDraining, untilExecuted } from "./kit/serving.ts"
import { bind, linger, pair, pullAll } from "./kit/transport.ts"
import type { Check } from "./subject.ts"

/** More than a kernel takes from one side and holds for the other. */
const large = 16 * mebi

/** The time it takes to move the bytes of these checks, on a late machine. */
const patient = late + 10_000

export const checks: ReadonlyArray<Check> = [
  {
    about: "flush",
    name: "a large answer arrives whole when close begins in the middle of it",
    run: (subject) =>
      Effect.gen(function*() {
        const body = pattern(large)
        const serving = yield* serve(subject, {
          drain: { deadline: tooLong },
          answer: (line) => line === "large" ? Effect.succeed(body) : undefined
        })
        const peer = yield* connect(subject)
        yield* peer.write("large\n")
        yield* untilExecuted(serving, "large")
        const closing = yield* start(close(serving.listener, patient))
        yield* untilDraining(serving.listener)
        yield* turns(5)
        // only now does the client begin to read
        const { bytes, how } = yield* within("the answer", peer.rest, patient)
        yield* peer.end
        yield* ensureEquals(matching(bytes), large, "the bytes that came in their order")
        yield* ensureEquals(how, "Fin", "the end of the answer")
        yield* ensureEquals(counts(yield* Fiber.join(closing)), { total: 1, drained: 1 }, "the report")
      })
  },
  {
    about: "flush",
    name: "goodbye completes when the kernel has the last byte, and not before",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const { connection, peer, writer } = yield* pair(subject, bound)
        const writing = yield* start(writer.write(pattern(large)))
        const goodbye = yield* start(connection.goodbye("none"))
        yield* turns(5)
        yield* ensure(connection.bytesPending() > 0, "nothing is pending of 16 MiB that the client does not read")
        yield* ensure(goodbye.pollUnsafe() === undefined, "goodbye completed while bytes were pending")
        const { bytes, how } = yield* within("what was written before the goodbye", peer.rest, patient)
        yield* ensureEquals(matching(bytes), large, "the bytes that came in their order")
        yield* ensureEquals(how, "Fin", "the end of what was written")
        yield* within("goodbye", Fiber.join(goodbye))
        yield* Fiber.await(writing)
      })
  },
  {
    about: "flush",
    name: "bytesPending counts what the kernel has not taken",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const { connection, peer, writer } = yield* pair(subject, bound)
        yield* ensureEquals(connection.bytesPending(), 0, "bytes pending before anything was written")
        const writing = yield* start(writer.write(pattern(large)))
        yield* turns(5)
        const blocked = connection.bytesPending()
        yield* ensure(
          blocked > 0 && blocked <= large + mebi,
          `${blocked} bytes pending of 16 MiB that the client does not read`
        )
        const reading = yield* start(peer.take(large))
        yield* within("16 MiB", Fiber.join(reading), patient)
        yield* within("the write", Fiber.await(writing))
        yield* until("no bytes pending when all were read", Effect.sync(() => connection.bytesPending() === 0))
      })
  },
  {
    about: "flush",
    name: "a connection that is cut while its answer is stuck is named with what was pending",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject, {
          drain: { deadline: "300 millis" },
          answer: (line) => line === "large" ? Effect.succeed(pattern(large)) : undefined
        })
        const peer = yield* connect(subject)
        yield* peer.write("large\n")
        yield* untilExecuted(serving, "large")
        const report = yield* close(serving.listener)
        yield* ensureEquals(counts(report), { total: 1, cut: 1 }, "the report")
        const pending = report.cut[0]?.bytesPending ?? 0
        yield* ensure(pending > 0, `the report names the connection with ${pending} bytes pending`)
      })
  },
  {
    about: "flush",
    name: "writes arrive in their order, however they are made",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const { connection, peer, writer } = yield* pair(subject, bound)
        const size = 300 * kibi
        const bytes = pattern(size)
        const writing = yield* start(Effect.gen(function*() {
          for (let at = 0; at < size; at += 3000) {
            const piece = (from: number) => bytes.subarray(at + from, at + from + 1000)
            yield* writer.write(piece(0))
            yield* writer.writeAll([piece(1000), piece(2000)])
          }
          yield* connection.goodbye("none")
        }))
        const got = yield* ensureFin(peer, "a client that reads")
        yield* ensureEquals(matching(got), size, "the bytes that came in their order")
        yield* within("goodbye", orBroken(Fiber.join(writing), "writing"))
      })
  },
  {
    about: "flush",
    name: "releasing the writer ends the writing side after what was written",
    run: (subject) =>
      Effect.gen(function*() {
        if (subject.halfOpen === false) return
        const bound = yield* bind(subject)
        const { endWriter, peer, pull, writer } = yield* pair(subject, bound)
        yield* within("a write", orBroken(writer.write("answer"), "a write"))
        yield* endWriter
        yield* ensureEquals(decode(yield* ensureFin(peer, "a client")), "answer", "what came before the FIN")
        yield* peer.write("more")
        yield* ensureEquals(decode(yield* pullAll(pull, 4)), "more", "what the client said after our FIN")
      })
  },
  {
    about: "linger",
    name: "a client that is still sending gets the answer and a FIN",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const { connection, peer, writer } = yield* pair(subject, bound)
        const upload = 4 * mebi
        const sending = yield* start(
          Effect.gen(function*() {
            for (let sent = 0; sent < upload; sent += 64 * kibi) {
              yield* peer.write(pattern(64 * kibi))
              if (sent % (512 * kibi) === 0) yield* Effect.sleep(10)
            }
          })
        )
        yield* turns(3)
        yield* within("the answer", orBroken(writer.write("too large"), "the answer"))
        const goodbye = yield* start(connection.goodbye(linger({ idle: tooLong, total: tooLong })))
        yield* within("sending on", Fiber.join(sending), patient)
        yield* ensureEquals(decode(yield* ensureFin(peer, "a client that was sending")), "too large", "the answer")
        yield* peer.end
        yield* within("goodbye", Fiber.join(goodbye))
      })
  },
  {
    about: "linger",
    name: "through a close as well",
    run: (subject) =>
      Effect.gen(function*() {
        const serving = yield* serve(subject, { drain: { deadline: tooLong, linger: { idle: "10 seconds" } } })
        const peer = yield* connect(subject)
        yield* peer.write("hold last\n")
        yield* untilExecuted(serving, "hold last")
        yield* closing(
          serving.listener,
          Effect.gen(function*() {
            yield* untilDraining(serving.listener)
            const sending = yield* start(peer.write(encode("x".repeat(mebi))))
            yield* turns(3)
            yield* serving.release
            yield* within("sending on", Fiber.join(sending))
            const answer = decode(yield* ensureFin(peer, "a client that was sending"))
            yield* ensureEquals(answer, "hold last\n", "the answer")
            yield* peer.end
          })
        )
      })
  },
  {
    about: "linger",
    name: "goodbye ends with a FIN when the client has ended its side",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        for (const how of ["none", linger({ idle: tooLong, total: tooLong })] as const) {
          const { connection, peer, writer } = yield* pair(subject, bound)
          yield* within("a write", orBroken(writer.write("answer"), "a write"))
          const goodbye = yield* start(connection.goodbye(how))
          yield* ensureEquals(decode(yield* ensureFin(peer, "a client that was told goodbye")), "answer", "the answer")
          yield* peer.end
          yield* within("goodbye", Fiber.join(goodbye))
        }
      })
  },
  {
    about: "abort",
    name: "a response that is cut does not look whole",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const { connection, peer, writer } = yield* pair(subject, bound)
        const writing = yield* start(Effect.exit(writer.write(pattern(large))))
        yield* within("destroy", connection.destroy)
        yield* within("a write that is cut", Fiber.join(writing))
        const bytes = yield* ensureCut(subject, peer, "a client that was cut")
        yield* ensure(bytes.length < large, "nothing was dropped")
      })
  }
]
