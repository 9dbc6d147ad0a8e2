/**
 * Law 4: after close nothing is left.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { ask, connect, ensureCut } from "./kit/clients.ts"
import {
  Broken,
  ensure,
  ensureEquals,
  many,
  moment,
  orBroken,
  start,
  tooLong,
  turns,
  until,
  within
} from "./kit/expect.ts"
import { mebi, pattern } from "./kit/pattern.ts"
import { close, listen, serve, untilExecuted } from "./kit/serving.ts"
import { bind, linger, pair } from "./kit/transport.ts"
import type { Check, Subject } from "./subject.ts"

export const checks: ReadonlyArray<Check> = [
  {
    about: "leaks",
    name: "after stop no client can connect",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        yield* within("stop", bound.stop)
        yield* ensureRefused(subject, "after stop")
      })
  },
  {
    about: "leaks",
    name: "closing the scope of bind stops listening, also without stop, and frees the address",
    run: (subject) =>
      Effect.gen(function*() {
        for (let i = 0; i < 3; i++) {
          const scope = yield* Scope.make()
          yield* Scope.provide(bind(subject), scope)
          yield* connect(subject)
          yield* within("closing the scope of bind", Scope.close(scope, Exit.void))
          yield* ensureRefused(subject, "after the scope of bind was closed")
        }
      })
  },
  {
    about: "leaks",
    name: "after close the address is free at once, time after time",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* listen(subject.transport)
        for (let i = 0; i < 5; i++) {
          yield* connect(subject)
          yield* close(listener)
          yield* ensureRefused(subject, "after close")
          yield* orBroken(listener.reset, "reset")
          yield* within("open", orBroken(listener.open, `opening again (time ${i + 2})`))
        }
      })
  },
  {
    about: "interruption",
    name: "a bind that is interrupted leaves the address free",
    run: (subject) =>
      Effect.gen(function*() {
        for (let i = 0; i < 12; i++) {
          const binding = yield* start(Effect.scoped(subject.transport.bind))
          yield* moment(i)
          yield* within("interrupting a bind", Fiber.interrupt(binding))
          yield* Effect.scoped(Effect.flatMap(bind(subject), () => connect(subject)))
        }
      })
  },
  {
    about: "interruption",
    name: "an open that is interrupted leaves the address free",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* listen(subject.transport)
        yield* close(listener)
        yield* orBroken(listener.reset, "reset")
        for (let i = 0; i < 8; i++) {
          const opening = yield* start(listener.open)
          yield* moment(i)
          yield* within("interrupting an open", Fiber.interrupt(opening))
          if ((yield* listener.state) === "Open") {
            yield* Effect.andThen(close(listener), orBroken(listener.reset, "reset"))
          }
          yield* ensureRefused(subject, "after an open was interrupted")
        }
      })
  },
  {
    about: "leaks",
    name: "after close no connection is held, however each one ended",
    run: (subject) =>
      Effect.gen(function*() {
        const before = yield* heldNow(subject)
        yield* Effect.scoped(Effect.gen(function*() {
          const serving = yield* serve(subject, { drain: { deadline: "300 millis" } })
          const peers = yield* many(6, () => connect(subject))
          yield* many(6, (index) => ask(peers[index]!, "hello"))
          yield* peers[0]!.end
          yield* peers[1]!.reset
          yield* peers[2]!.write("half a line")
          yield* peers[3]!.write("hold\n")
          yield* untilExecuted(serving, "hold")
          yield* close(serving.listener)
          yield* ensureReleased(subject, before, "after close")
        }))
      })
  },
  {
    about: "abort",
    name: "after an abort no connection is held and the address is free",
    run: (subject) =>
      Effect.gen(function*() {
        const before = yield* heldNow(subject)
        const serving = yield* serve(subject)
        const peers = yield* many(4, () => connect(subject))
        yield* many(4, (index) => ask(peers[index]!, "hello"))
        yield* peers[0]!.write("hold\n")
        yield* untilExecuted(serving, "hold")
        yield* serving.listener.abort
        for (const peer of peers) yield* ensureCut(subject, peer, "a client of a listener that was aborted")
        yield* ensureReleased(subject, before, "after an abort")
        yield* close(serving.listener)
        yield* Effect.scoped(bind(subject))
      })
  },
  {
    about: "leaks",
    name: "destroy releases, also what is stuck, and more than once",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const before = yield* heldNow(subject)
        const { connection, peer, writer } = yield* pair(subject, bound)
        yield* Effect.forkScoped(Effect.ignore(writer.write(pattern(16 * mebi))), { startImmediately: true })
        yield* turns(2)
        yield* within("destroy", connection.destroy)
        yield* within("destroy, again", connection.destroy)
        yield* ensureCut(subject, peer, "a client whose connection was destroyed")
        yield* ensureReleased(subject, before, "after destroy")
      })
  },
  {
    about: "leaks",
    name: "goodbye releases",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const before = yield* heldNow(subject)
        for (const how of ["none", linger({ idle: 20 })] as const) {
          const { connection } = yield* pair(subject, bound)
          yield* within("goodbye", connection.goodbye(how))
          yield* ensureReleased(subject, before, "after a goodbye")
        }
      })
  },
  {
    about: "leaks",
    name: "goodbyeDetached releases and says so once, also when it is cut short",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const before = yield* heldNow(subject)
        for (const stuck of [false, true]) {
          const { connection, peer, writer } = yield* pair(subject, bound)
          if (connection.fast?.goodbyeDetached === undefined) return
          if (stuck) {
            yield* Effect.forkScoped(Effect.ignore(writer.write(pattern(16 * mebi))), { startImmediately: true })
          }
          let done = 0
          connection.fast.goodbyeDetached(linger(stuck ? { idle: tooLong, total: tooLong } : { idle: 20 }), () => {
            done++
          })
          yield* turns(3)
          if (stuck) yield* within("destroy", connection.destroy)
          yield* until("goodbyeDetached saying that it is done", Effect.sync(() => done > 0))
          yield* connection.destroy
          yield* within("the end of a connection that was left", peer.rest)
          yield* turns(3)
          yield* ensureEquals(done, 1, "how often goodbyeDetached said that it was done")
          yield* ensureReleased(subject, before, "after a detached goodbye")
        }
      })
  },
  {
    about: "interruption",
    name: "a goodbye that is interrupted releases",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const before = yield* heldNow(subject)
        for (let i = 0; i < 4; i++) {
          const { connection, peer, writer } = yield* pair(subject, bound)
          if (i % 2 === 0) {
            yield* Effect.forkScoped(Effect.ignore(writer.write(pattern(16 * mebi))), { startImmediately: true })
          }
          const goodbye = yield* start(connection.goodbye(linger({ idle: tooLong, total: tooLong })))
          yield* turns(1 + i)
          yield* within("interrupting a goodbye", Fiber.interrupt(goodbye))
          yield* within("the end of an interrupted goodbye", peer.rest)
          yield* ensureReleased(subject, before, "after a goodbye that was interrupted")
        }
      })
  },
  {
    about: "leaks",
    name: "an accept that waits fails when the listening socket is closed",
    run: (subject) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const bound = yield* Scope.provide(bind(subject), scope)
        const waiting = yield* start(Effect.flip(bound.accept))
        yield* within("closing the scope of bind", Scope.close(scope, Exit.void))
        const error = yield* within("the accept that waited", orBroken(Fiber.join(waiting), "the accept that waited"))
        yield* ensureEquals(error.class, "fatal", "the class of the error of an accept that waited")
      })
  }
]

/** Nothing listens: connecting fails, or its connection ends at once. */
const ensureRefused = (subject: Subject, when: string): Effect.Effect<void, Broken> =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* within("connecting", Effect.exit(subject.connect))
    yield* ensure(Exit.isFailure(client), `a client could connect ${when}`)
  }))

/** What the transport holds comes back to what it was. */
const ensureReleased = (
  subject: Subject,
  before: number | undefined,
  when: string
): Effect.Effect<void, Broken> => {
  const { held } = subject
  return held === undefined || before === undefined ? Effect.void : Effect.catch(
    until("", Effect.map(held, (now) => now <= before)),
    () => Effect.flatMap(held, (now) => new Broken({ detail: `${when} ${now} connections are held, ${before} before` }))
  )
}

const heldNow = ({ held }: Subject): Effect.Effect<number | undefined> => held ?? Effect.undefined
