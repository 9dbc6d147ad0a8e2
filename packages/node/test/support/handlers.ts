/** Handlers that listeners in tests serve with. */
import type { Connection } from "@effect-listener/core/Connection"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"

type Handler<E = never> = (connection: Connection) => Effect.Effect<never, Socket.SocketError | E, Scope.Scope>

/** Answers line by line; each is an exchange from its first byte to its answer. */
export const answerLines = <E = never>(
  answer: (line: string, connection: Connection) => Effect.Effect<string, E>
): Handler<E> =>
  Effect.fnUntraced(function*(connection) {
    const pull = yield* Socket.readerString(connection.socket)
    const { write } = yield* connection.socket.writer
    let text = ""
    let endExchange: (() => void) | undefined
    while (true) {
      text += (yield* pull).join("")
      while (text !== "") {
        endExchange ??= connection.beginExchange(text.split("\n", 1)[0]!)
        const at = text.indexOf("\n")
        if (at < 0) break
        const line = text.slice(0, at)
        text = text.slice(at + 1)
        yield* write(`${yield* answer(line, connection)}\n`)
        endExchange()
        endExchange = undefined
      }
    }
  })

/** Answers each line with itself. */
export const echo: Handler = answerLines(Effect.succeed)

export interface Holder {
  readonly handler: Handler
  /** Waits until `count` more lines are held. */
  readonly held: (count: number) => Effect.Effect<ReadonlyArray<string>>
  /** Lets every line be answered, those to come included. */
  readonly release: Effect.Effect<void>
}

/** Answers lines that begin with `hold` when they are released, and others at once. */
export const makeHolderWith = (
  answer: (line: string, connection: Connection) => Effect.Effect<string>
): Effect.Effect<Holder> =>
  Effect.gen(function*() {
    const released = yield* Latch.make()
    const entered = yield* Queue.unbounded<string>()
    return {
      handler: answerLines((line, connection) =>
        line.startsWith("hold")
          ? Effect.as(Effect.andThen(Queue.offer(entered, line), released.await), `released ${line}`)
          : answer(line, connection)
      ),
      held: (count) => Queue.takeN(entered, count),
      release: released.open
    }
  })

/** Answers lines that begin with `hold` when they are released, and others at once with themselves. */
export const makeHolder: Effect.Effect<Holder> = makeHolderWith(Effect.succeed)
