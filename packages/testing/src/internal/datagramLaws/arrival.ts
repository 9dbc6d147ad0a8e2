/** Law 1: what has arrived is handled or counted. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { ensure, ensureEquals, orBroken, start, turns, until, within } from "../laws/kit/expect.ts"
import { bind, collecting, connect, echo, ensureSums, fill, messages, receiveAll, send, serve, textOf } from "./kit.ts"
import type { Check } from "./subject.ts"

export const checks: ReadonlyArray<Check> = [
  {
    about: "receive",
    name: "datagrams of one sender are handed over in the order in which they came, each once",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const { received } = yield* collecting(bound)
        const client = yield* connect(subject)
        const texts = messages(50)
        for (const text of texts) yield* send(client, text)
        yield* until("50 datagrams", Effect.sync(() => received.length >= 50))
        yield* turns(3)
        yield* ensureEquals(received.map(textOf), texts, "what was handed over")
      })
  },
  {
    about: "receive",
    name: "what comes before anything receives is kept",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const client = yield* connect(subject)
        const texts = messages(20)
        yield* fill(client, texts)
        yield* turns(5)
        const { received } = yield* collecting(bound)
        yield* until("20 datagrams", Effect.sync(() => received.length >= 20))
        yield* ensureEquals(received.map(textOf), texts, "what was handed over")
      })
  },
  {
    about: "interruption",
    name: "receiving that is interrupted hands over no more, and the next loses none",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const client = yield* connect(subject)
        const first = yield* collecting(bound)
        yield* send(client, "first")
        yield* until("the first datagram", Effect.sync(() => first.received.length === 1))
        yield* Fiber.interrupt(first.fiber)
        yield* send(client, "second")
        yield* turns(5)
        yield* ensureEquals(first.received.length, 1, "datagrams handed over to what was interrupted")
        const second = yield* collecting(bound)
        yield* until("the second datagram", Effect.sync(() => second.received.length >= 1))
        yield* ensureEquals(second.received.map(textOf), ["second"], "what was handed over to the next")
      })
  },
  {
    about: "sweep",
    name: "every datagram that waits when a close begins is answered",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* serve(subject, echo)
        const client = yield* connect(subject)
        const texts = messages(100)
        yield* fill(client, texts)
        const report = yield* orBroken(within("close", listener.close()), "close")
        const { answered } = yield* ensureSums(report)
        yield* ensureEquals(answered, 100, "answered")
        yield* ensureEquals(new Set(yield* receiveAll(client, 100)), new Set(texts), "the answers")
      })
  },
  {
    about: "sweep",
    name: "stop hands over what waits, completes also under a storm, and then hands over nothing",
    run: (subject) =>
      Effect.gen(function*() {
        const bound = yield* bind(subject)
        const { received } = yield* collecting(bound)
        const client = yield* connect(subject)
        yield* fill(client, messages(50))
        const storm = yield* start(Effect.forever(Effect.andThen(send(client, "storm"), Effect.yieldNow)))
        yield* within("stop", bound.stop, 10_000)
        yield* Fiber.interrupt(storm)
        yield* ensureEquals(received.slice(0, 50).map(textOf), messages(50), "what waited")
        const before = received.length
        yield* send(client, "late")
        yield* turns(5)
        yield* ensureEquals(received.length, before, "what was handed over after stop")
      })
  },
  {
    about: "admission",
    name: "what a limit drops is counted: as many as are not answered",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* serve(
          subject,
          (datagram, reply) => Effect.andThen(Effect.sleep(20), reply(datagram.payload)),
          { admission: { maxExchanges: 5 } }
        )
        const client = yield* connect(subject)
        yield* fill(client, messages(50))
        const report = yield* orBroken(within("close", listener.close()), "close")
        const { answered, dropped, received } = yield* ensureSums(report)
        yield* ensureEquals([received, answered + dropped.maxExchanges], [50, 50], "received, and answered or dropped")
        yield* ensure(answered >= 5 && answered < 50, `${answered} answered of 50, 5 at a time`)
        yield* receiveAll(client, answered)
      })
  }
]
