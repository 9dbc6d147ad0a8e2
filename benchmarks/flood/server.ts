/** A listener with a limit, whose handlers echo. */
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerMetrics from "@effect-listener/core/ListenerMetrics"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as NetAddress from "effect/net/NetAddress"
import * as Socket from "effect/socket/Socket"
import { answer } from "./child.ts"

export interface ServerState {
  /** Handlers that run, and the most that ever did at one time. */
  readonly handlers: number
  readonly mostHandlers: number
  readonly refused: number
  /** Bytes in use after a collection. */
  readonly memory: number
}

const limit = Number(process.argv[2])
let handlers = 0
let mostHandlers = 0

const echo = (socket: Socket.Socket) =>
  Effect.gen(function*() {
    mostHandlers = Math.max(mostHandlers, ++handlers)
    const pull = yield* Socket.readerBytes(socket)
    const { write } = yield* socket.writer
    while (true) {
      for (const bytes of yield* pull) yield* write(bytes)
    }
  }).pipe(Effect.ensuring(Effect.sync(() => handlers--)))

const program = Effect.gen(function*() {
  const listener = yield* Listener.listen(NodeTcp.transport({ host: "127.0.0.1", port: 0 }), {
    name: "flooded",
    admission: { maxConnections: limit },
    drain: { deadline: "5 seconds" }
  })
  yield* Effect.forkScoped(Listener.serve(listener, ({ socket }) => echo(socket), { idle: "pull" }))
  const address = yield* listener.address
  const context = yield* Effect.context<never>()
  const run = Effect.runPromiseWith(context)
  const refusedFor = (reason: string) =>
    Metric.value(Metric.withAttributes(ListenerMetrics.connectionsRefused, { listener: "flooded", reason }))
  answer((question: "state" | "close") =>
    question === "close"
      ? run(Effect.map(listener.close(), ({ connections, duration }) => ({ duration, connections })))
      : run(Effect.map(refusedFor("maxQueued"), ({ count }): ServerState => {
        globalThis.gc?.()
        return { handlers, mostHandlers, refused: count, memory: process.memoryUsage().heapUsed }
      }))
  )
  process.send!({ port: NetAddress.isInetAddress(address) ? address.port : 0 })
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(program))
