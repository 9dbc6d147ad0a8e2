/**
 * A worker of `workers.ts`: it answers every request with its process id, over
 * what `KIND` says, and misbehaves as `BEHAVIOUR` says.
 */
import type { Connection } from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerRegistry from "@effect-listener/core/ListenerRegistry"
import * as RpcListener from "@effect-listener/core/RpcListener"
import type { Transport } from "@effect-listener/core/Transport"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeTls from "@effect-listener/node/NodeTls"
import * as NodeUnix from "@effect-listener/node/NodeUnix"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Timers from "node:timers/promises"
import { Counted } from "../support/rpcRestarts.ts"
import type { Behaviour, Kind } from "../support/workers.ts"

// what the program that started this one has set
const kind = process.env["KIND"] as Kind
const behaviour = process.env["BEHAVIOUR"] as Behaviour
const { CERT = "", KEY = "", UNIX_PATH: path = "" } = process.env

if (behaviour === "exit") process.exit(3)
// loads for as long as it is let
while (behaviour === "load" && !Fs.existsSync(process.env["LOADED"] ?? "")) await Timers.setTimeout(20)
if (behaviour === "hang") await new Promise(() => setInterval(() => {}, 1000))

const host = "127.0.0.1"
// on a busy machine a client may take longer than the usual grace for what it has begun
const drain = { idleGrace: "2 seconds" } as const
const identity = KEY === "" ? undefined : { key: Fs.readFileSync(KEY, "utf8"), cert: Fs.readFileSync(CERT, "utf8") }
const answer = String(process.pid)

/** A line is a request; `never` is answered, and goes on for ever. */
const lines = Effect.fnUntraced(function*(connection: Connection) {
  const pull = yield* Socket.readerString(connection.socket)
  const { write } = yield* connection.socket.writer
  let rest = ""
  while (true) {
    for (const text of yield* pull) {
      const whole = (rest + text).split("\n")
      rest = whole.pop() ?? ""
      for (const line of whole) {
        const work = write(`${answer}\n`)
        yield* connection.exchange(line, line === "never" ? Effect.andThen(work, Effect.never) : work)
      }
    }
  }
})

const webSocket = Effect.gen(function*() {
  const socket = yield* Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ upgrade }) => upgrade)
  const { pull } = yield* socket.reader
  const { write } = yield* socket.writer
  return yield* Effect.forever(Effect.flatMap(pull, (messages) => Effect.forEach(messages, () => write(answer))))
}).pipe(Effect.catchTag("SocketError", () => Effect.succeed(HttpServerResponse.empty())))

const http = HttpRouter.serve(
  Layer.merge(
    HttpRouter.add("GET", "/", HttpServerResponse.text(answer)),
    HttpRouter.add("GET", "/ws", webSocket)
  ),
  { disableLogger: true, disableListenLog: true }
).pipe(Layer.provide(NodeHttp.layer({ host, port: 0, inherit: "service", tls: identity, drain })))

const rpc = RpcServer.layer(Counted).pipe(
  Layer.provide(Counted.toLayer({ work: ({ millis }) => Effect.as(Effect.sleep(millis), process.pid) })),
  Layer.provide(RpcListener.layerProtocolSocketServer),
  Layer.provide(Listener.layerSocketServer(NodeTcp.transport({ host, port: 0, inherit: "service" }), { drain })),
  Layer.provide(RpcSerialization.layerNdjson)
)

const served = (transport: Transport) => Layer.launch(Listener.layerServe(transport, lines, { idle: "pull", drain }))

const programs: Record<Kind, Effect.Effect<never, unknown>> = {
  http: Layer.launch(http),
  https: Layer.launch(http),
  http2: Layer.launch(http),
  webSocket: Layer.launch(http),
  tcp: served(NodeTcp.transport({ host, port: 0, inherit: "service" })),
  tls: served(NodeTls.transport({ host, port: 0, inherit: "service", ...identity ?? { key: "", cert: "" } })),
  unix: served(NodeUnix.transport({ path, inherit: "service" })),
  rpc: Layer.launch(rpc)
}

const breaks = Effect.flatMap(ListenerRegistry.CurrentRegistry, (registry) =>
  Effect.sync(() => {
    if (behaviour !== "broken") return
    const dies = (): never => {
      throw new Error("it is broken")
    }
    Metric.registerUnsafe(Metric.gauge("broken"), Context.empty(), { get: dies, update: () => {}, modify: () => {} })
    Option.getOrThrow(registry).add({
      name: "broken",
      shutdown: () => Effect.succeed([]),
      progress: Stream.empty,
      listeners: Effect.sync(dies)
    })
    Option.getOrThrow(registry).add({
      name: "silent",
      shutdown: () => Effect.succeed([]),
      progress: Stream.empty,
      listeners: Effect.never
    })
  }))

NodeMain.runMain(Effect.provideService(Effect.andThen(breaks, programs[kind]), Logger.LogToStderr, true))
