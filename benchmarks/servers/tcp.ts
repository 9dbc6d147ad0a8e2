/**
 * TCP servers that do the same in several ways: `node tcp.ts <who> <what>`.
 *
 * `answer` reads once, answers with a small HTTP response and ends; `echo`
 * writes back what it reads.
 */
import type { Connection } from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import type * as Socket from "effect/socket/Socket"
import * as Net from "node:net"
import { announce } from "../support/childServer.ts"

const response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

const answerSocket = Effect.fnUntraced(function*(socket: Socket.Socket) {
  const { pull } = yield* socket.reader
  const { write } = yield* socket.writer
  yield* pull
  yield* write(response)
})

const echoSocket = Effect.fnUntraced(function*(socket: Socket.Socket) {
  const { pull } = yield* socket.reader
  const { writeAll } = yield* socket.writer
  while (true) yield* writeAll(yield* pull)
})

type What = "answer" | "echo"

const effectHandlers = { answer: answerSocket, echo: echoSocket }

const bareHandlers: Record<What, (socket: Net.Socket) => void> = {
  answer: (socket) => {
    socket.on("error", () => {})
    socket.once("data", () => socket.end(response))
  },
  echo: (socket) => {
    socket.on("error", () => {})
    socket.on("data", (chunk) => {
      if (!socket.write(chunk)) {
        socket.pause()
        socket.once("drain", () => socket.resume())
      }
    })
  }
}

const portOf = (address: NetAddress.SocketAddress): number => {
  if (!NetAddress.isInetAddress(address)) throw new Error("no port")
  return address.port
}

const host = "127.0.0.1"

const servers: Record<string, (what: What) => void> = {
  bare: (what) => {
    const server = Net.createServer({ noDelay: true }, bareHandlers[what])
    server.listen({ host, port: 0, backlog: 4096 }, () => {
      const address = server.address()
      if (address !== null && typeof address === "object") announce(address.port)
    })
  },
  /** The least an Effect a connection can cost: a fiber, and nothing that ends or waits. */
  effect: (what) => {
    const program = Effect.gen(function*() {
      const server = yield* NodeSocketServer.make({ host, port: 0, noDelay: true, backlog: 4096 })
      announce(portOf(server.address))
      return yield* server.run((socket) => Effect.ignoreCause(Effect.scoped(effectHandlers[what](socket))))
    })
    Effect.runFork(Effect.scoped(program))
  },
  ours: (what) => {
    const program = Effect.gen(function*() {
      const listener = yield* Listener.listen(NodeTcp.transport({ host, port: 0, backlog: 4096 }))
      announce(portOf(yield* listener.address))
      const handler = effectHandlers[what]
      yield* Listener.serve(listener, (connection: Connection) => handler(connection.socket), { idle: "pull" })
    })
    Effect.runFork(Effect.scoped(program))
  }
}

const [who, what] = process.argv.slice(2)
servers[who!]!(what as What)
