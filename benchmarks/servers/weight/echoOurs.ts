import { Listener } from "@effect-listener/core"
import { NodeMain, NodeTcp } from "@effect-listener/node"
import { Effect, Layer } from "effect"
import { Socket } from "effect/socket"

const Echo = Listener.layerServe(
  NodeTcp.transport({ port: 0 }),
  Effect.fnUntraced(function*(connection) {
    const pull = yield* Socket.readerString(connection.socket)
    const { write } = yield* connection.socket.writer
    while (true) {
      for (const text of yield* pull) yield* connection.exchange("echo", write(text))
    }
  }),
  { idle: "pull", drain: { deadline: "10 seconds" } }
)

NodeMain.runMain(Layer.launch(Echo))
