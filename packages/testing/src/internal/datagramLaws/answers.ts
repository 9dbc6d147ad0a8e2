/** Laws 2 and 3: no answer is lost without a word, and each arrives as it was given. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { ensureEquals, orBroken, start, until, within } from "../laws/kit/expect.ts"
import { encode } from "../util/bytes.ts"
import {
  bind,
  collecting,
  connect,
  echo,
  ensureSums,
  messages,
  receive,
  receiveAll,
  send,
  serve,
  textOf,
  untilOpen
} from "./kit.ts"
import type { Check } from "./subject.ts"

export const lostAnswers: ReadonlyArray<Check> = [
  {
    about: "drain",
    name: "answers that take their time leave before the socket closes",
    run: (subject) =>
      Effect.gen(function*() {
        const listener = yield* serve(
          subject,
          (datagram, reply) => Effect.andThen(Effect.sleep(200), reply(datagram.payload))
        )
        const client = yield* connect(subject)
        for (const text of messages(10)) yield* send(client, text)
        yield* untilOpen(listener, 10)
        const report = yield* orBroken(within("close", listener.close()), "close")
        yield* ensureEquals((yield* ensureSums(report)).answered, 10, "answered")
        yield* receiveAll(client, 10)
      })
  },
  {
    about: "drain",
    name: "sending goes on after stop, until the scope of bind closes",
    run: (subject) =>
      Effect.gen(function*() {
        const client = yield* connect(subject)
        yield* Effect.scoped(Effect.gen(function*() {
          const bound = yield* bind(subject)
          const { received } = yield* collecting(bound)
          yield* send(client, "question")
          yield* until("the datagram", Effect.sync(() => received.length === 1))
          yield* within("stop", bound.stop)
          const [datagram] = received
          // sent, and then released at once: it leaves nevertheless
          datagram!.send(encode("answer"), () => {})
        }))
        yield* ensureEquals(yield* receive(client), "answer", "the answer")
      })
  },
  {
    about: "deadline",
    name: "an exchange that is cut is named, and its answer fails",
    run: (subject) =>
      Effect.gen(function*() {
        let failed: unknown
        const listener = yield* serve(
          subject,
          (_, reply) =>
            Effect.onInterrupt(Effect.never, () =>
              Effect.matchEffect(reply("late"), {
                onFailure: (error) =>
                  Effect.sync(() => {
                    failed = error.reason._tag
                  }),
                onSuccess: () => Effect.void
              })),
          { label: textOf }
        )
        const client = yield* connect(subject)
        yield* send(client, "forever")
        yield* untilOpen(listener, 1)
        const error = yield* within("close", Effect.flip(listener.close({ deadline: 100 })))
        const report = "report" in error ? error.report : undefined
        yield* ensureEquals(report?.cut.map(({ exchanges }) => exchanges[0]?.label), ["forever"], "what was cut")
        yield* ensureEquals(failed, "DatagramSocketClosedError", "what the answer failed with")
      })
  }
]

export const wholeAnswers: ReadonlyArray<Check> = [
  {
    about: "send",
    name: "an answer arrives as it was given, whatever its length",
    run: (subject) =>
      Effect.gen(function*() {
        const lengths = [0, 1, 512, 1200, ...subject.largest === undefined ? [] : [subject.largest]]
        let next = 0
        const listener = yield* serve(subject, (_, reply) => reply("x".repeat(lengths[next++]!)))
        const client = yield* connect(subject)
        for (const length of lengths) {
          yield* send(client, "how long")
          yield* ensureEquals((yield* receive(client)).length, length, "the length of an answer")
        }
        yield* orBroken(within("close", listener.close()), "close")
      })
  },
  {
    about: "send",
    name: "each client gets the answers to its own datagrams",
    run: (subject) =>
      Effect.gen(function*() {
        yield* serve(subject, echo)
        const clients = yield* Effect.forEach(messages(10), (text) =>
          Effect.map(connect(subject), (client) => ({ client, text })))
        for (const { client, text } of clients) {
          yield* send(client, text)
        }
        for (const { client, text } of clients) {
          yield* ensureEquals(yield* receive(client), text, "the answer")
        }
      })
  },
  {
    about: "close",
    name: "a handler that closes its own listener can still answer",
    run: (subject) =>
      Effect.gen(function*() {
        const client = yield* connect(subject)
        const listener = yield* serve(subject, () => Effect.void)
        yield* orBroken(listener.close(), "close")
        yield* orBroken(listener.reset, "reset")
        yield* orBroken(within("open", listener.open), "open")
        const answered = yield* start(Effect.scoped(Effect.gen(function*() {
          const datagram = yield* listener.receive
          yield* listener.close()
          yield* datagram.reply("closed")
        })))
        yield* send(client, "close")
        yield* orBroken(within("the handler", Fiber.join(answered)), "the handler")
        yield* ensureEquals(yield* receive(client), "closed", "the answer")
      })
  }
]
