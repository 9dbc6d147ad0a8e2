/**
 * Law 7: every error is one of the tags, and every connection ends for exactly
 * one counted reason.
 */
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerState from "@effect-listener/core/ListenerState"
import { TransportAcceptError } from "@effect-listener/core/Transport"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as NetAddress from "effect/net/NetAddress"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { ask, connect } from "./kit/clients.ts"
import { type Broken, describe, ensure, ensureEquals, orBroken, start, turns, within } from "./kit/expect.ts"
import { kibi, pattern } from "./kit/pattern.ts"
import { close, closing, counts, quick, serve, untilDraining, untilExecuted } from "./kit/serving.ts"
import { bind, isPeerEnd, pair, pullAll } from "./kit/transport.ts"
import type { Check, Subject } from "./subject.ts"

const bindTags = [
  "InvalidArgument",
  "QuotaExceeded",
  "AddressInUse",
  "AddressNotAvailable",
  "AccessDenied",
  "SecurityFailure",
  "NotSupported",
  "TransportFailure"
]

const operations = ["open", "accept", "close", "abort", "reset"] as const

const states = ["Created", "Opening", "Open", "Faulted", "Closing", "Closed"] as const

export const checks: ReadonlyArray<Check> = [
  {
    about: "errors",
    name: "binding an address that is taken fails with a tag",
    run: (subject) =>
      Effect.gen(function*() {
        yield* bind(subject)
        const error = yield* within(
          "the second bind",
          orBroken(Effect.flip(Effect.scoped(subject.transport.bind)), "the second bind")
        )
        yield* ensure(
          Predicate.hasProperty(error, "_tag") && bindTags.includes(String(error._tag)),
          `the second bind failed with ${describe(error)}`
        )
        const opening = yield* within(
          "listening",
          orBroken(Effect.flip(Effect.scoped(Listener.listen(subject.transport))), "listening")
        )
        yield* ensureEquals(opening._tag, "AddressInUse", "what listening on a taken address fails with")
      })
  },
  {
    about: "errors",
    name: "an accept after the listening socket was closed fails, and is fatal",
    run: (subject) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const bound = yield* Scope.provide(bind(subject), scope)
        yield* Scope.close(scope, Exit.void)
        const error = yield* within("accept", orBroken(Effect.flip(bound.accept), "accept"))
        yield* ensure(error instanceof TransportAcceptError, `accept failed with ${describe(error)}`)
        yield* ensureEquals(error.class, "fatal", "the class of the error")
      })
  },
  {
    about: "errors",
    name: "the client's end fails the pull with code 1000, after all it said",
    run: (subject) =>
      Effect.gen(function*() {
        const { peer, pull } = yield* pair(subject, yield* bind(subject))
        yield* peer.write("last words")
        yield* peer.end
        yield* pullAll(pull, 10)
        for (let i = 0; i < 2; i++) {
          const error = yield* within("a pull", orBroken(Effect.flip(pull), "a pull after the client's end"))
          yield* ensureSocketError(error, "a pull after the client's end")
          yield* ensure(isPeerEnd(error), `the client's end was told as ${describe(error)} ${error.message}`)
        }
      })
  },
  {
    about: "errors",
    name: "a client that goes away fails reads and writes with a SocketError",
    run: (subject) =>
      Effect.gen(function*() {
        const { peer, pull, writer } = yield* pair(subject, yield* bind(subject))
        yield* orBroken(writer.write("hello"), "a write")
        yield* within("5 bytes", peer.take(5))
        yield* peer.reset
        const error = yield* within("a pull", orBroken(Effect.flip(pull), "a pull after the client's reset"))
        yield* ensureSocketError(error, "a pull after the client's reset")
        const writing = Effect.forever(Effect.andThen(writer.write(pattern(64 * kibi)), Effect.sleep(1)))
        const failure = yield* within(
          "a failing write",
          orBroken(Effect.flip(writing), "a write after the client's reset")
        )
        yield* ensureSocketError(failure, "a write after the client's reset")
      })
  },
  {
    about: "errors",
    name: "a connection that was destroyed fails reads and writes with a SocketError",
    run: (subject) =>
      Effect.gen(function*() {
        const { connection, pull, writer } = yield* pair(subject, yield* bind(subject))
        yield* connection.destroy
        yield* ensureSocketError(
          yield* within("a pull", orBroken(Effect.flip(pull), "a pull after destroy")),
          "a pull after destroy"
        )
        yield* ensureSocketError(
          yield* within("a write", orBroken(Effect.flip(writer.write("x")), "a write after destroy")),
          "a write after destroy"
        )
      })
  },
  {
    about: "errors",
    name: "closing the reader fails a pull that waits, and the next reader goes on",
    run: (subject) =>
      Effect.gen(function*() {
        const { connection, peer, pull } = yield* pair(subject, yield* bind(subject))
        const scope = yield* Scope.make()
        const other = yield* orBroken(Scope.provide(connection.socket.reader, scope), "a second reader")
        const pulling = yield* start(Effect.flip(other.pull))
        yield* Scope.close(scope, Exit.void)
        const error = yield* within("a pull whose reader was closed", orBroken(Fiber.join(pulling), "the pull"))
        yield* ensureSocketError(error, "a pull whose reader was closed")
        yield* peer.write("after")
        yield* pullAll(pull, 5)
      })
  },
  {
    about: "errors",
    name: "connections say who they are and what went over them",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        yield* ensure(NetAddress.isSocketAddress(bound.address), "the address of the bind is no SocketAddress")
        const { connection, peer, pull, writer } = yield* pair(subject, bound)
        yield* ensure(NetAddress.isSocketAddress(connection.remote), "the remote address is no SocketAddress")
        yield* ensure(NetAddress.isSocketAddress(connection.local), "the local address is no SocketAddress")
        yield* ensure(connection.protocol !== "", "the protocol has no name")
        yield* peer.write("12345")
        yield* pullAll(pull, 5)
        yield* orBroken(writer.write("1234567"), "a write")
        yield* within("7 bytes", peer.take(7))
        const { fast } = connection
        if (fast === undefined) return
        yield* ensure(fast.owner === connection, "fast belongs to another connection")
        yield* ensureEquals(fast.bytesIn(), 5, "bytes received")
        yield* ensureEquals(fast.bytesOut(), 7, "bytes written")
      })
  },
  {
    about: "errors",
    name: "every connection of a report ends for one reason",
    run: (subject) =>
      Effect.gen(function*() {
        const elsewhere = yield* Scope.make()
        const detached = yield* Deferred.make<void>()
        const serving = yield* serve(subject, {
          drain: { deadline: "500 millis" },
          answer: (line, connection) => {
            switch (line) {
              case "fail":
                return Effect.fail("the handler's own failure")
              case "stuck":
                return Effect.never
              case "detach":
                return connection.detach(elsewhere).pipe(
                  Effect.andThen(Deferred.succeed(detached, undefined)),
                  Effect.andThen(Effect.never)
                )
              default:
                return undefined
            }
          }
        })
        const say = (line: string) =>
          Effect.gen(function*() {
            const peer = yield* connect(subject)
            yield* peer.write(`${line}\n`)
            yield* untilExecuted(serving, line)
            return peer
          })
        const drained = yield* say("hold drained")
        const leaving = yield* say("hold leaving")
        const failing = yield* say("hold failing")
        yield* say("stuck")
        yield* say("detach")
        const idle = yield* connect(subject)
        yield* ask(idle, "hello")
        yield* Deferred.await(detached)
        // an end that is known before the answer is written, and a request behind the one in flight
        yield* leaving.end
        yield* failing.write("fail\n")
        yield* turns(3)
        const report = yield* closing(
          serving.listener,
          Effect.gen(function*() {
            yield* untilDraining(serving.listener)
            yield* serving.release
            yield* Effect.forEach([drained, idle], (peer) => Effect.andThen(peer.rest, peer.end))
          })
        )
        yield* Scope.close(elsewhere, Exit.void)
        yield* ensureEquals(
          counts(report),
          { total: 5, drained: 1, idle: 1, endedByPeer: 1, failed: 1, cut: 1 },
          "the report"
        )
      })
  },
  {
    about: "state table",
    name: "each operation in each state does what the table says",
    run: (subject) =>
      Effect.gen(function*() {
        for (const state of states) {
          for (const operation of operations) {
            yield* Effect.scoped(cell(subject, state, operation))
          }
        }
      })
  },
  {
    about: "abort",
    name: "clients that reset at any moment leave a listener open, and all of them counted",
    run: (subject) =>
      Effect.gen(function*() {
        const { listener } = yield* serve(subject)
        for (let i = 0; i < 12; i++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const peer = yield* connect(subject)
            if (i % 3 > 0) yield* Effect.ignore(peer.write(i % 3 === 1 ? "half" : "whole\n"))
            if (i % 4 > 0) yield* turns(i % 4)
            yield* peer.reset
          }))
        }
        yield* ensureEquals(yield* ask(yield* connect(subject), "hello"), "hello", "the answer to another client")
        yield* ensureEquals(yield* listener.state, "Open", "the state of the listener")
        const { connections } = yield* close(listener)
        const { total, ...reasons } = connections
        yield* ensureEquals(Object.values(reasons).reduce((sum, count) => sum + count, 0), total, "the sum of reasons")
      })
  }
]

const ensureSocketError = (error: unknown, what: string): Effect.Effect<void, Broken> =>
  ensure(Socket.isSocketError(error), `${what} failed with ${describe(error)}, which is no SocketError`)

/** Brings a listener into a state, asks it for an operation, and compares both with the table. */
const cell = (subject: Subject, state: (typeof states)[number], operation: (typeof operations)[number]) =>
  Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    const listener = yield* Listener.make(
      state === "Opening" || operation === "open"
        ? { ...subject.transport, bind: Effect.andThen(Deferred.await(gate), subject.transport.bind) }
        : subject.transport,
      { drain: quick }
    )
    yield* Effect.addFinalizer(() => listener.abort)
    const open = Effect.andThen(Deferred.succeed(gate, undefined), orBroken(listener.open, "open"))
    const held = yield* Scope.make()
    switch (state) {
      case "Created":
        break
      case "Opening":
        yield* start(Effect.ignore(listener.open))
        break
      case "Open":
        yield* open
        break
      case "Faulted":
        yield* open
        yield* listener.abort
        break
      case "Closing": {
        // a connection whose scope stays open holds the drain
        yield* open
        const peer = yield* start(connect(subject))
        yield* within("accept", orBroken(Scope.provide(listener.accept, held), "accept"))
        yield* Fiber.join(peer)
        yield* Effect.forkScoped(Effect.ignore(listener.close()), { startImmediately: true })
        yield* untilDraining(listener)
        break
      }
      case "Closed":
        yield* open
        yield* close(listener)
        break
    }
    const where = `${operation} in ${state}`
    yield* ensureEquals(yield* listener.state, state, `the state before ${where}`)
    const step = ListenerState.transition(state, operation)
    const asked: Effect.Effect<unknown, { readonly _tag: string }> = {
      open: listener.open,
      accept: Effect.scoped(listener.accept),
      close: listener.close(),
      abort: listener.abort,
      reset: listener.reset
    }[operation]
    const fiber = yield* start(Effect.result(asked))
    if (Result.isFailure(step)) {
      const result = yield* within(where, Fiber.join(fiber))
      yield* ensure(
        Result.isFailure(result) && result.failure._tag === step.failure,
        `${where}: expected ${step.failure}, got ${Result.isFailure(result) ? result.failure._tag : "success"}`
      )
      yield* ensureEquals(yield* listener.state, state, `the state after ${where}`)
    } else {
      const now = yield* listener.state
      // where nothing is open a close is over as it begins
      const expected = step.success.next === "Closing" && now === "Closed" ? "Closed" : step.success.next
      yield* ensureEquals(now, expected, `the state after ${where}`)
      if (step.success.action === "Wait") yield* Fiber.interrupt(fiber)
    }
    yield* Deferred.succeed(gate, undefined)
    yield* Effect.ignore(listener.abort)
    yield* Scope.close(held, Exit.void)
    yield* within(`the end of ${where}`, Fiber.await(fiber), 5000)
  })
