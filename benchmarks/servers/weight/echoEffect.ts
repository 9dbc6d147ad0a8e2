import { NodeRuntime, NodeSocketServer } from "@effect/platform-node"
import { Effect } from "effect"
import { Socket } from "effect/socket"

const program = Effect.gen(function*() {
  const server = yield* NodeSocketServer.make({ port: 0 })
  return yield* server.run(Effect.fnUntraced(function*(socket) {
    const pull = yield* Socket.readerString(socket)
    const { write } = yield* socket.writer
    while (true) {
      for (const text of yield* pull) yield* write(text)
    }
  }))
})

NodeRuntime.runMain(Effect.scoped(program))
