/**
 * Law 1: what was accepted before close began is served, counted, or left in a
 * queue that another process has, and never reset.
 */
import type { DrainOptions } from "@effect-listener/core/Drain"
import type { TransportConnection } from "@effect-listener/core/Transport"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { bytesOf, decode } from "../util/bytes.ts"
import { connect, ensureFin, fill, type Peer } from "./kit/clients.ts"
import { ensure, ensureEquals, many, moment, orBroken, start, tooLong, turns, until, within } from "./kit/expect.ts"
import { close, closing, counts, listen, serve, untilDraining } from "./kit/serving.ts"
import { accept, acceptAll, bind, pullAll } from "./kit/transport.ts"
import type { Check } from "./subject.ts"

/** Time enough for a sweep of a queue that cannot be seen, and for clients that take seconds to ask on a busy machine. */
const sweepAtLength: DrainOptions = { deadline: tooLong, idleGrace: "10 seconds" }

export const checks: ReadonlyArray<Check> = [
  {
    about: "accept",
    name: "hands over every client once",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        yield* fill(subject, 16).pipe(Effect.flatMap((peers) =>
          Effect.forEach(peers, (peer, index) => Effect.forkScoped(peer.write(String.fromCharCode(97 + index))), {
            discard: true
          })
        ))
        const heard = yield* Effect.forEach(Array.from({ length: 16 }), () =>
          Effect.flatMap(accept(bound), (connection) =>
            hear(connection, 1)))
        yield* ensureEquals(heard.sort().join(""), "abcdefghijklmnop", "the clients that were handed over")
      })
  },
  {
    about: "accept",
    name: "completes synchronously while connections are queued",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        yield* fill(subject, 3)
        yield* turns(10)
        for (let i = 0; i < 3; i++) {
          const fiber = yield* start(bound.accept)
          const exit = fiber.pollUnsafe()
          yield* ensure(exit !== undefined && Exit.isSuccess(exit), `accept ${i} of 3 queued connections waited`)
        }
      })
  },
  {
    about: "interruption",
    name: "an interrupted accept loses no connection",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        for (let i = 0; i < 40; i++) {
          const waiting = yield* start(bound.accept)
          if (i % 5 === 4) yield* Fiber.interrupt(waiting)
          const peer = yield* connect(subject)
          yield* moment(i)
          yield* within("interrupting an accept", Fiber.interrupt(waiting))
          const exit = yield* Fiber.await(waiting)
          const connection = Exit.isSuccess(exit) ? exit.value : yield* accept(bound)
          yield* greet(connection, peer)
          yield* connection.destroy
        }
      })
  },
  {
    about: "interruption",
    name: "a connection that an interrupted accept would have got is the next one's",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        for (let i = 0; i < 20; i++) {
          const first = yield* start(bound.accept)
          const second = yield* start(bound.accept)
          const peer = yield* connect(subject)
          yield* moment(i)
          yield* within("interrupting an accept", Fiber.interrupt(first))
          const exit = yield* Fiber.await(first)
          const connection = Exit.isSuccess(exit)
            ? exit.value
            : yield* within("accept", orBroken(Fiber.join(second), "accept"))
          yield* greet(connection, peer)
          yield* connection.destroy
          yield* within("interrupting an accept", Fiber.interrupt(second))
        }
      })
  },
  {
    about: "interruption",
    name: "acceptAll hands over what is queued and what comes, and interrupted loses nothing",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        if (bound.fast === undefined) return
        yield* ensure(bound.fast.owner === bound, "fast belongs to another BoundTransport")
        for (let i = 0; i < 12; i++) {
          const arrived: Array<TransportConnection> = []
          const queued = yield* connect(subject)
          if (i % 2 === 0) yield* turns(3)
          const accepting = yield* start(bound.fast.acceptAll((connection) => {
            arrived.push(connection)
          }))
          const coming = yield* connect(subject)
          yield* moment(i)
          yield* within("interrupting acceptAll", Fiber.interrupt(accepting))
          const late = yield* connect(subject)
          const before = arrived.length
          while (arrived.length < 3) arrived.push(yield* accept(bound))
          yield* ensure(before <= 2, "acceptAll handed over a connection after it was interrupted")
          yield* many(3, (index) => greet(arrived[index]!, [queued, coming, late][index]!))
          for (const connection of arrived) yield* connection.destroy
        }
      })
  },
  {
    about: "sweep",
    name: "stop completes when all that was queued has been handed over",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const peers = yield* fill(subject, 16)
        const accepted: Array<TransportConnection> = []
        yield* acceptAll(bound, (connection) => accepted.push(connection))
        yield* within("stop", bound.stop)
        yield* ensureEquals(accepted.length, peers.length, "connections handed over when stop had completed")
        const ready = yield* start(many(accepted.length, (index) => orBroken(accepted[index]!.ready, "the handshake")))
        yield* within("the handshakes", Fiber.join(ready))
        for (const connection of accepted) {
          yield* Effect.scoped(Effect.flatMap(
            connection.socket.writer,
            (writer) => orBroken(writer.write("!"), "writing to a client that was swept")
          ))
        }
        for (const peer of peers) yield* within("a byte for a client that was swept", peer.take(1))
      })
  },
  {
    about: "sweep",
    name: "a client that is queued when close begins is served",
    run: (subject) =>
      Effect.gen(function*() {
        // a client that is accepted late has a grace for the first request
        const serving = yield* serve(subject, { drain: sweepAtLength })
        const peers = yield* fill(subject, 16)
        const report = yield* closing(
          serving.listener,
          Effect.gen(function*() {
            const clients = yield* start(many(peers.length, (index) =>
              Effect.gen(function*() {
                const peer = peers[index]!
                yield* peer.write(`hold ${index}\n`)
                yield* ensureEquals(yield* peer.line, `hold ${index}`, "the answer")
                yield* peer.end
                yield* ensureFin(peer, "a client that was swept")
              })))
            yield* untilDraining(serving.listener)
            yield* until("every request being worked on", Effect.sync(() => serving.executed.length === peers.length))
            yield* serving.release
            yield* within("every answer", Fiber.join(clients))
          })
        )
        yield* ensureEquals(report.outcome, "Drained", "the outcome of close")
        yield* ensureEquals(report.connections.total, peers.length, "connections in the report")
      })
  },
  {
    about: "sweep",
    name: "a client that is left in the queue of another process is served by the next that binds",
    run: ({ holder }) =>
      holder === undefined ? Effect.void : Effect.gen(function*() {
        const first = yield* bind(holder)
        const taken = yield* connect(holder)
        const accepted = yield* accept(first)
        if (first.leave === undefined) {
          return yield* ensure(false, "a transport whose socket another process has cannot leave")
        }
        yield* within("leave", first.leave)
        yield* greet(accepted, taken)
        const late = yield* connect(holder)
        const second = yield* bind(holder)
        yield* greet(yield* accept(second), late)
      })
  },
  {
    about: "sweep",
    name: "queued clients go to the accepts that wait, in their order, and the others fail",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* listen(subject.transport, sweepAtLength)
        const accepts = yield* Effect.forEach([0, 1, 2, 3], () => start(Effect.exit(Effect.scoped(listener.accept))))
        yield* fill(subject, 2)
        const report = yield* close(listener)
        const ends = yield* within(
          "every accept",
          Effect.forEach(accepts, (fiber) => Effect.map(Fiber.join(fiber), (exit) => Exit.isSuccess(exit)))
        )
        yield* ensureEquals(ends, [true, true, false, false], "the accepts that got a connection")
        yield* ensure(report.connections.total <= 2, `${report.connections.total} connections in the report, of 2`)
      })
  },
  {
    about: "sweep",
    name: "a client that is queued and not taken is ended with a FIN and counted",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* listen(subject.transport, sweepAtLength)
        const peers = yield* fill(subject, 8)
        const report = yield* closing(
          listener,
          many(
            peers.length,
            (index) => Effect.andThen(ensureFin(peers[index]!, "a client that was not taken"), peers[index]!.end)
          )
        )
        yield* ensureEquals(counts(report), { total: 8, neverAccepted: 8 }, "the report")
      })
  },
  {
    about: "sweep",
    name: "a client that leaves while it is queued keeps no other from being served",
    run: (subject) =>
      Effect.gen(function*() {
        const { listener } = yield* serve(subject, { drain: sweepAtLength })
        const peers = yield* fill(subject, 9)
        const clients = yield* start(many(peers.length, (index) =>
          Effect.gen(function*() {
            const peer = peers[index]!
            if (index % 3 === 0) return yield* peer.reset
            yield* peer.write(`request ${index}\n`)
            yield* ensureEquals(yield* peer.line, `request ${index}`, "the answer")
            yield* peer.end
          })))
        yield* close(listener)
        yield* within("every answer", Fiber.join(clients))
      })
  },
  {
    about: "abort",
    name: "closing the listening socket leaves connections alone that were handed over",
    run: (subject) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const bound = yield* Scope.provide(bind(subject), scope)
        const peer = yield* connect(subject)
        const connection = yield* accept(bound)
        yield* within("closing the listening socket", Scope.close(scope, Exit.void))
        yield* greet(connection, peer)
        yield* connection.destroy
      })
  }
]

/** Says one byte over a connection, for its client to hear. */
const greet = (connection: TransportConnection, peer: Peer) =>
  Effect.scoped(Effect.gen(function*() {
    const ready = yield* start(connection.ready)
    yield* within("the handshake", orBroken(Fiber.join(ready), "the handshake"))
    const writer = yield* connection.socket.writer
    yield* orBroken(writer.write("!"), "writing to a client that was accepted")
    yield* within("a byte for a client that was accepted", peer.take(1))
  }))

/** What a client says first, over a connection. */
const hear = (connection: TransportConnection, bytes: number) =>
  Effect.scoped(Effect.gen(function*() {
    yield* within("the handshake", orBroken(connection.ready, "the handshake"))
    const reader = yield* orBroken(connection.socket.reader, "the reader")
    return decode(yield* pullAll(Effect.map(reader.pull, bytesOf), bytes))
  }))
