/** Laws 4 to 7: nothing is left, nothing takes too long, and every error has a name. */
import * as DatagramListener from "@effect-listener/core/DatagramListener"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { ensure, ensureEquals, late, orBroken, start, within } from "../laws/kit/expect.ts"
import { bind, connect, echo, ensureReleased, ensureSums, receive, send, serve, untilOpen } from "./kit.ts"
import type { Check } from "./subject.ts"

export const leaks: ReadonlyArray<Check> = [
  {
    about: "leaks",
    name: "after a close the address is free at once, again and again",
    run: (subject) =>
      Effect.gen(function*() {
        const client = yield* connect(subject)
        for (let i = 0; i < 20; i++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const listener = yield* serve(subject, echo)
            yield* send(client, String(i))
            yield* ensureEquals(yield* receive(client), String(i), "the answer")
            yield* orBroken(within("close", listener.close()), "close")
            yield* ensureReleased(subject)
          }))
        }
      })
  },
  {
    about: "leaks",
    name: "the scope of bind releases the address, whether it was stopped or not",
    run: (subject) =>
      Effect.gen(function*() {
        yield* Effect.scoped(bind(subject))
        yield* Effect.scoped(Effect.flatMap(bind(subject), (bound) => bound.stop))
        yield* Effect.scoped(Effect.flatMap(bind(subject), (bound) => bound.leave ?? Effect.void))
        yield* Effect.scoped(bind(subject))
        yield* ensureReleased(subject)
      })
  },
  {
    about: "leaks",
    name: "an open that is interrupted leaves the address free",
    run: (subject) =>
      Effect.gen(function*() {
        for (let i = 0; i < 5; i++) {
          const listener = yield* DatagramListener.make(subject.transport)
          const opening = yield* start(listener.open)
          yield* within("the interruption", Fiber.interrupt(opening))
          yield* orBroken(within("close", listener.close()), "close")
        }
        yield* Effect.scoped(bind(subject))
      })
  },
  {
    about: "abort",
    name: "an abort cuts what is in flight, and frees the address",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* serve(subject, () => Effect.never)
        const client = yield* connect(subject)
        yield* send(client, "x")
        yield* untilOpen(listener, 1)
        yield* listener.abort
        const report = yield* orBroken(within("close", listener.close()), "close")
        yield* ensureEquals((yield* ensureSums(report)).cut, 1, "cut")
        yield* ensureReleased(subject)
        yield* Effect.scoped(bind(subject))
      })
  }
]

export const bounds: ReadonlyArray<Check> = [
  {
    about: "deadline",
    name: "close ends within the deadline and the abort grace, whatever handlers do",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* serve(subject, () => Effect.uninterruptible(Effect.never))
        const client = yield* connect(subject)
        yield* send(client, "x")
        yield* untilOpen(listener, 1)
        const error = yield* within(
          "close",
          Effect.flip(listener.close({ deadline: 100, abortGrace: 100 })),
          200 + late
        )
        yield* ensureEquals(error._tag, "OperationTimedOut", "how close failed")
        yield* ensureEquals(yield* listener.state, "Closed", "the state")
      })
  },
  {
    about: "deadline",
    name: "the owner's scope ends within them, too",
    run: (subject) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const listener = yield* Scope.provide(
          serve(subject, () => Effect.never, { drain: { deadline: 100, abortGrace: 100 } }),
          scope
        )
        const client = yield* connect(subject)
        yield* send(client, "x")
        yield* untilOpen(listener, 1)
        yield* within("the end of the scope", Scope.close(scope, Exit.void), 200 + late)
        yield* ensureReleased(subject)
      })
  }
]

export const idle: ReadonlyArray<Check> = [
  {
    about: "drain",
    name: "a close with nothing in flight waits for nothing, whatever was sent before",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* serve(subject, echo)
        const client = yield* connect(subject)
        yield* send(client, "x")
        yield* receive(client)
        yield* orBroken(within("close", listener.close({ deadline: "30 seconds" })), "close")
      })
  }
]

export const errors: ReadonlyArray<Check> = [
  {
    about: "errors",
    name: "an address that is taken is AddressInUse, and free again when it is released",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* DatagramListener.make(subject.transport)
        yield* Effect.scoped(Effect.gen(function*() {
          yield* bind(subject)
          const error = yield* within("open", Effect.flip(listener.open))
          yield* ensureEquals(error._tag, "AddressInUse", "how open failed")
        }))
        yield* orBroken(within("open", listener.open), "open")
      })
  },
  {
    about: "errors",
    name: "an answer that is too large fails by its kind, and the next one is sent",
    run: (subject) =>
      Effect.gen(function*() {
        const { tooLarge } = subject
        if (tooLarge === undefined) return
        const listener = yield* serve(subject, (_, reply) =>
          Effect.catch(reply(new Uint8Array(tooLarge)), ({ reason }) =>
            reply("kind" in reason ? reason.kind : reason._tag)))
        const client = yield* connect(subject)
        yield* send(client, "x")
        yield* ensureEquals(yield* receive(client), "MessageTooLarge", "how the reply failed")
        yield* orBroken(within("close", listener.close()), "close")
      })
  },
  {
    about: "errors",
    name: "a peer that is gone does no harm",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* serve(subject, (datagram, reply) =>
          Effect.andThen(Effect.sleep(10), reply(datagram.payload)))
        for (let i = 0; i < 10; i++) {
          yield* Effect.scoped(Effect.flatMap(connect(subject), (client) =>
            send(client, "gone")))
        }
        const client = yield* connect(subject)
        yield* send(client, "here")
        yield* ensureEquals(yield* receive(client), "here", "the answer")
        const report = yield* orBroken(within("close", listener.close()), "close")
        const { received } = yield* ensureSums(report)
        yield* ensure(received === 11, `${received} received of 11`)
      })
  }
]
