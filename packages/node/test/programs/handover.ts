/**
 * A server that answers with its process id, over `PROTOCOL`, and is handed over
 * at SIGUSR2; over HTTP `/hold` waits for the file `RELEASE`. `NEXT` is a file with the options of the next upgrade, in JSON;
 * `sick` there makes its check fail. It prints a JSON line as it begins to accept,
 * when it has handed over, and when it has closed with how many it has let in, each with its pid.
 */
import * as Listener from "@effect-listener/core/Listener"
import type { ListenError } from "@effect-listener/core/ListenerError"
import * as ListenerMetrics from "@effect-listener/core/ListenerMetrics"
import * as ListenerRegistry from "@effect-listener/core/ListenerRegistry"
import * as RpcListener from "@effect-listener/core/RpcListener"
import type { Transport } from "@effect-listener/core/Transport"
import * as NodeHandover from "@effect-listener/node/NodeHandover"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeUnix from "@effect-listener/node/NodeUnix"
import * as NodeWebSocket from "@effect-listener/node/NodeWebSocket"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as NetAddress from "effect/net/NetAddress"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Option from "effect/Option"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import { total } from "../../src/internal/inspector/workerMetrics.ts"
import { Calls } from "../support/rpc.ts"

const env = process.env
const { pid } = process
const port = Number(env["PORT"] ?? 0)
const host = "127.0.0.1"
const drain = { deadline: "10 seconds" } as const

const print = (event: object) => Effect.sync(() => Fs.writeSync(1, `${JSON.stringify({ pid, ...event })}\n`))

const announce = (listener: Listener.Listener) =>
  Effect.gen(function*() {
    yield* NodeHandover.accepting
    const address = yield* Effect.orDie(listener.address)
    yield* print({
      event: "open",
      generation: yield* NodeHandover.generation,
      port: NetAddress.isInetAddress(address) ? address.port : undefined
    })
    const report = yield* listener.closed
    const accepted = total(yield* PrometheusMetrics.format(), ListenerMetrics.connectionsAccepted.id)
    yield* print({ event: "closed", accepted, report })
  })

/** Answers each line with the process id. */
const bytes = (transport: Transport): Effect.Effect<unknown, ListenError> =>
  Effect.scoped(Effect.gen(function*() {
    const listener = yield* Listener.listen(transport, { drain })
    yield* Effect.forkDetach(announce(listener), { startImmediately: true })
    yield* Effect.orDie(Listener.serve(listener, (connection) =>
      Effect.gen(function*() {
        const { pull } = yield* connection.socket.reader
        const { write } = yield* connection.socket.writer
        return yield* Effect.forever(Effect.andThen(pull, write(`${pid}\n`)))
      }), { idle: "pull" }))
  }))

const announceFrom = (services: Context.Context<Listener.Listener>) =>
  Effect.forkDetach(announce(Context.get(services, Listener.Listener)), { startImmediately: true })

/** Says that it is there, and goes on when the file `RELEASE` is. */
const held = Effect.gen(function*() {
  yield* print({ event: "held" })
  while (!Fs.existsSync(env["RELEASE"]!)) yield* Effect.sleep(20)
})

const routes = Layer.mergeAll(
  HttpRouter.add("GET", "/pid", HttpServerResponse.text(String(pid))),
  HttpRouter.add("GET", "/hold", Effect.as(held, HttpServerResponse.text(String(pid)))),
  NodeWebSocket.route("/ws", (socket) =>
    Effect.gen(function*() {
      const { pull } = yield* socket.reader
      const { write } = yield* socket.writer
      return yield* Effect.forever(Effect.andThen(pull, write(String(pid))))
    }))
)

const http = (options: NodeHttp.ServerOptions) =>
  Layer.launch(
    HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide(NodeHttp.layer({ drain, ...options }).pipe(Layer.tap(announceFrom)))
    )
  )

const rpc = Layer.launch(
  RpcServer.layer(Calls).pipe(
    Layer.provide(Calls.toLayer({
      work: ({ millis }) => Effect.as(Effect.sleep(millis), String(pid)),
      count: () => Effect.die("not here")
    })),
    Layer.provide(RpcListener.layerProtocolSocketServer),
    Layer.provide(NodeTcp.layerSocketServer({ port, host, drain }).pipe(Layer.tap(announceFrom))),
    Layer.provide(RpcSerialization.layerNdjson)
  )
)

const program = (): Effect.Effect<unknown, unknown> => {
  switch (env["PROTOCOL"]) {
    case "tcp":
      return bytes(NodeTcp.transport({ port, host }))
    case "unix":
      return http({ path: env["SOCKET"] })
    case "tls":
      return http({
        port,
        host,
        tls: { key: Fs.readFileSync(env["TLS_KEY"]!, "utf8"), cert: Fs.readFileSync(env["TLS_CERT"]!, "utf8") }
      })
    case "rpc":
      return rpc
    case "two":
      return Effect.all([http({ port, host }), bytes(NodeUnix.transport({ path: env["SOCKET"]! }))], {
        concurrency: "unbounded"
      })
    default:
      return http({ port, host })
  }
}

/** What the next upgrade is started with: read anew each time. */
const next = Effect.sync(() => {
  const file = env["NEXT"]
  const { sick, ...options } = file !== undefined && Fs.existsSync(file)
    ? JSON.parse(Fs.readFileSync(file, "utf8")) as { readonly sick?: boolean } & NodeHandover.UpgradeOptions
    : {}
  return sick === true ? { ...options, verify: Effect.fail("it is sick") } : options
})

/** `MEMBER`: what a member of the registry does that is asked for its listeners. */
const members: Record<string, Effect.Effect<never>> = {
  never: Effect.never,
  dies: Effect.die(new Error("it is broken"))
}

const join = Effect.flatMap(ListenerRegistry.CurrentRegistry, (registry) =>
  Effect.sync(() => {
    const listeners = members[env["MEMBER"] ?? ""]
    if (listeners === undefined) return
    Option.getOrThrow(registry).add({
      name: "strange",
      shutdown: () => Effect.succeed([]),
      progress: Stream.empty,
      listeners
    })
  }))

NodeMain.runMain(Effect.provideService(Effect.andThen(join, program()), Logger.LogToStderr, true), {
  handover: { next, handedOver: (report) => print({ event: "handed-over", report }) }
})
