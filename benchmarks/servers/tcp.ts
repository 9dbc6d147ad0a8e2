/**
 * TCP servers that do the same in several ways: `node tcp.ts <who> <what>`.
 *
 * `answer` reads once, answers with a small HTTP response and ends; `echo`
 * writes back what it reads; `sink` reads to the end and says then how much it
 * was; `source` is told how many bytes to send.
 */
import * as Connection from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Net from "node:net"
import { announce, answerAlso } from "../support/childServer.ts"

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

const sinkSocket = Effect.fnUntraced(function*(socket: Socket.Socket) {
  const { pull } = yield* socket.reader
  const { write } = yield* socket.writer
  let bytes = 0
  // a loop, as in `echo`: `Effect.forever` gives other fibers a turn after each piece
  const all = Effect.gen(function*() {
    while (true) for (const chunk of yield* pull) bytes += chunk.length
  })
  // the end of what the client sends
  yield* Effect.ignore(all)
  yield* write(String(bytes))
})

const piece = Buffer.alloc(64 * 1024, "x")

const sourceSocket = Effect.fnUntraced(function*(socket: Socket.Socket) {
  const { pull } = yield* socket.reader
  const { write } = yield* socket.writer
  const [wanted] = yield* pull
  for (let left = Number(Buffer.from(wanted).toString()); left > 0; left -= piece.length) {
    yield* write(left < piece.length ? piece.subarray(0, left) : piece)
  }
})

type What = "answer" | "echo" | "sink" | "source"

const effectHandlers = { answer: answerSocket, echo: echoSocket, sink: sinkSocket, source: sourceSocket }

/** `answerSocket` and `echoSocket`, with a generator function of its own for each connection. */
const generators = {
  answer: (socket: Socket.Socket) =>
    Effect.gen(function*() {
      const { pull } = yield* socket.reader
      const { write } = yield* socket.writer
      yield* pull
      yield* write(response)
    }),
  echo: (socket: Socket.Socket) =>
    Effect.gen(function*() {
      const { pull } = yield* socket.reader
      const { writeAll } = yield* socket.writer
      while (true) yield* writeAll(yield* pull)
    })
}

const generatorOf = (what: What) => {
  if (what === "answer" || what === "echo") return generators[what]
  throw new Error(`no generator for ${what}`)
}

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
  },
  sink: (socket) => {
    let bytes = 0
    socket.on("error", () => {})
    socket.on("data", (chunk) => {
      bytes += chunk.length
    })
    socket.on("end", () => socket.end(String(bytes)))
  },
  source: (socket) => {
    socket.on("error", () => {})
    socket.once("data", (wanted) => {
      let left = Number(wanted.toString())
      const send = (): void => {
        while (left > 0) {
          const size = Math.min(left, piece.length)
          left -= size
          if (!socket.write(piece.subarray(0, size))) return void socket.once("drain", send)
        }
        socket.end()
      }
      send()
    })
  }
}

/** Microseconds, the fastest of some: the others were disturbed. */
const timed = (work: Effect.Effect<unknown>) => async (): Promise<number> => {
  let fastest = Infinity
  for (let i = 0; i < 20; i++) {
    const start = performance.now()
    await Effect.runPromise(work)
    fastest = Math.min(fastest, performance.now() - start)
  }
  return fastest * 1000
}

const perConnection = (counted: Effect.Effect<number>) => async (): Promise<number> =>
  await timed(counted)() / Math.max(1, await Effect.runPromise(counted))

const portOf = (address: NetAddress.SocketAddress): number => {
  if (!NetAddress.isInetAddress(address)) throw new Error("no port")
  return address.port
}

const host = "127.0.0.1"

const listen = (server: Net.Server): void => {
  server.listen({ host, port: 0, backlog: 4096 }, () => {
    const address = server.address()
    if (address !== null && typeof address === "object") announce(address.port)
  })
}

const ended = new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1000 }) })

/** A socket whose handler always waits when something comes, because its client waits for the handler. */
const leastSocket = (socket: Net.Socket): Socket.Socket => {
  let wake: (pulled: Effect.Effect<[Uint8Array], Socket.SocketError>) => void = () => {}
  socket.on("error", () => {})
  socket.on("data", (chunk) => wake(Effect.succeed([chunk])))
  socket.on("end", () => wake(Effect.fail(ended)))
  const pull = Effect.callback<[Uint8Array], Socket.SocketError>((resume) => {
    wake = resume
  })
  const room = Effect.callback<void>((resume) => {
    socket.once("drain", () => resume(Effect.void))
  })
  const write = (chunk: Uint8Array | string | Socket.CloseEvent) =>
    Effect.suspend(() => Socket.isCloseEvent(chunk) || socket.write(chunk) ? Effect.void : room)
  return Socket.make({
    reader: Effect.succeed({ pull, upgrade: Socket.SocketUpgradeError.unsupported }),
    writer: Effect.succeed({ write, writeAll: ([chunk]) => write(chunk) })
  })
}

type Handler = (connection: Connection.Connection) => Effect.Effect<unknown, Socket.SocketError, Scope.Scope>

const pulling = (what: What): Handler => {
  const handler = effectHandlers[what]
  return (connection) => handler(connection.socket)
}

/** What `echoSocket` does. */
const echoEach: Handler = Effect.fnUntraced(function*(connection) {
  const { write } = yield* connection.socket.writer
  return yield* Connection.runForEach(connection, write)
})

/** What `sinkSocket` does. */
const sinkEach: Handler = Effect.fnUntraced(function*(connection) {
  const { write } = yield* connection.socket.writer
  let bytes = 0
  const all = Connection.runForEach(connection, (chunk) => {
    bytes += chunk.length
    return Effect.void
  })
  // the end of what the client sends
  yield* Effect.ignore(all)
  yield* write(String(bytes))
})

/** Those that are given what comes, by a call; the others pull. */
const given: { readonly [what in What]?: Handler } = { echo: echoEach, sink: sinkEach }

const serveOurs = (handler: Handler, options: Listener.ServeOptions = {}): void => {
  const program = Effect.gen(function*() {
    const listener = yield* Listener.listen(NodeTcp.transport({ host, port: 0, backlog: 4096 }))
    announce(portOf(yield* listener.address))
    answerAlso({
      listing: perConnection(Effect.map(listener.connections, (all) => all.length)),
      counting: perConnection(Effect.map(listener.dryRun, ({ active, idle, queued }) => active + idle + queued)),
      scrape: timed(Metric.snapshot)
    })
    yield* Listener.serve(listener, handler, options)
  })
  Effect.runFork(Effect.scoped(program))
}

const serveFiber = (what: What, handler: (socket: Socket.Socket) => ReturnType<Handler>): void => {
  const server = Net.createServer({ noDelay: true, allowHalfOpen: what === "sink" }, (socket) => {
    const handled = Effect.scoped(handler(leastSocket(socket)))
    Effect.runFork(Effect.ensuring(handled, Effect.sync(() => socket.end())))
  })
  listen(server)
}

const servers: Record<string, (what: What) => void> = {
  bare: (what) => {
    const server = Net.createServer({ noDelay: true, allowHalfOpen: what === "sink" }, bareHandlers[what])
    listen(server)
  },
  /** The least that a handler in Effect can cost: its fiber and its scope on bare `node:net`, and nothing that ends it or waits. */
  fiber: (what) => serveFiber(what, effectHandlers[what]),
  /** The same, with a generator function of its own for each connection. */
  fiberGenerator: (what) => serveFiber(what, generatorOf(what)),
  effect: (what) => {
    const program = Effect.gen(function*() {
      const server = yield* NodeSocketServer.make({ host, port: 0, noDelay: true, backlog: 4096, allowHalfOpen: true })
      announce(portOf(server.address))
      return yield* server.run((socket) => Effect.ignoreCause(Effect.scoped(effectHandlers[what](socket))))
    })
    Effect.runFork(Effect.scoped(program))
  },
  ours: (what) => serveOurs(given[what] ?? pulling(what), { idle: "pull" }),
  /** Ours, with a loop that pulls where `ours` is given each message. */
  pulling: (what) => serveOurs(pulling(what), { idle: "pull" }),
  /** Ours, with a scope of the handler's own, and no options. */
  scoped: (what) => serveOurs((connection) => Effect.scoped(effectHandlers[what](connection.socket))),
  /** Ours, with a generator function of its own for each connection, and no options. */
  generator: (what) => {
    const handler = generatorOf(what)
    serveOurs((connection) => handler(connection.socket))
  }
}

const [who, what] = process.argv.slice(2)
servers[who!]!(what as What)
