import type { Connection } from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as NodeTls from "@effect-listener/node/NodeTls"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Socket from "effect/socket/Socket"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { type Kind, kinds, listen, start, target, until } from "./support/listening.ts"
import { pair } from "./support/tlsListening.ts"

/** Takes lines as they come and answers each 40 ms later, so that there is always one in work. */
const answerLate = (taken: Array<string>) =>
  Effect.fnUntraced(function*(connection: Connection) {
    const pull = yield* Socket.readerString(connection.socket)
    const { write } = yield* connection.socket.writer
    let text = ""
    while (true) {
      text += (yield* pull).join("")
      const lines = text.split("\n")
      text = lines.pop() ?? ""
      for (const line of lines) {
        taken.push(line)
        const answer = Effect.andThen(Effect.sleep(40), write(`${line}\n`))
        yield* Effect.forkScoped(connection.exchange("line", answer), { startImmediately: true })
      }
    }
  })

/** Sends a line every 2 ms until the server ends, and gives what was answered. */
const sendOn = (socket: Net.Socket): Effect.Effect<string> =>
  Effect.callback((resume) => {
    let sent = 0
    let answers = ""
    const timer = setInterval(() => socket.write(`${sent++}\n`), 2)
    socket.setEncoding("utf8").on("data", (chunk) => {
      answers += chunk.toString()
    })
    socket.on("end", () => clearInterval(timer)).on("error", (error) => resume(Effect.die(error)))
    socket.on("close", () => resume(Effect.succeed(answers)))
    return Effect.sync(() => clearInterval(timer))
  })

const overTls: Kind = {
  ...kinds[0]!,
  transport: Effect.sync(() => NodeTls.transport({ host: "127.0.0.1", port: 0, ...pair }))
}

const connect = (kind: Kind, to: Net.NetConnectOpts): Net.Socket =>
  kind === overTls ? Tls.connect({ ...to, rejectUnauthorized: false }) : Net.connect(to)

describe.each([...kinds.map((kind) => ({ over: kind.name, kind })), { over: "TLS", kind: overTls }])(
  "a client that sends on while its messages are worked on, over $over",
  ({ kind }) => {
    for (const idleGrace of [0, 250]) {
      it.live(`is told goodbye after the grace of ${idleGrace} ms, and has every message answered that was taken`, () =>
        Effect.gen(function*() {
          const taken: Array<string> = []
          const listener = yield* listen(kind, { drain: { idleGrace } })
          yield* start(Listener.serve(listener, answerLate(taken), { idle: "pull" }))
          const socket = connect(kind, yield* target(listener))
          const answers = yield* start(sendOn(socket))
          yield* until("lines taken", () => taken.length > 50)
          const before = taken.length
          const report = yield* listener.close()
          assert.deepStrictEqual([report.outcome, report.connections.drained], ["Drained", 1])
          // far from its deadline of 20 s
          assert.isBelow(report.duration, idleGrace + 3000)
          assert.isAtLeast(taken.length, before)
          assert.deepStrictEqual((yield* Fiber.join(answers)).trim().split("\n"), taken)
        }))
    }
  }
)
