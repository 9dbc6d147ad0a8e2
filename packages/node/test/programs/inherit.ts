/**
 * Listens as `LISTENERS` says, an array of `{ kind, …options }` in JSON, and
 * echoes one read of each connection. For each it prints a JSON line: `open` with
 * the address, or `failed` with the error; then `sockets`, and what a child
 * sees of the variables.
 */
import * as DatagramListener from "@effect-listener/core/DatagramListener"
import * as Listener from "@effect-listener/core/Listener"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeInherit from "@effect-listener/node/NodeInherit"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeTls from "@effect-listener/node/NodeTls"
import * as NodeUdp from "@effect-listener/node/NodeUdp"
import * as NodeUnix from "@effect-listener/node/NodeUnix"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import type * as Socket from "effect/socket/Socket"
import * as SocketServer from "effect/socket/SocketServer"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import { selfSigned } from "../support/certificates.ts"

const print = (event: object) => Effect.sync(() => Fs.writeSync(1, `${JSON.stringify(event)}\n`))

const echo = (socket: Socket.Socket) =>
  Effect.scoped(Effect.gen(function*() {
    const { pull } = yield* socket.reader
    const { writeAll } = yield* socket.writer
    yield* writeAll(yield* pull)
  }))

const listen = Effect.fnUntraced(function*({ kind, ...options }: { readonly kind: string }) {
  // the test gives what the transport of that kind takes
  const given = options as never
  if (kind === "http") {
    yield* NodeHttp.make(given)
    yield* print({ event: "open", kind })
    return
  }
  if (kind === "socketServer") {
    const context = yield* Layer.build(NodeTcp.layerSocketServer(given))
    const { address } = Context.get(context, SocketServer.SocketServer)
    yield* print({ event: "open", kind, address: NetAddress.formatSocketAddress(address) })
    yield* Effect.forkChild(Context.get(context, SocketServer.SocketServer).run(echo))
    return
  }
  if (kind === "udp") {
    const listener = yield* DatagramListener.listen(NodeUdp.transport(given))
    yield* print({ event: "open", kind, address: NetAddress.formatSocketAddress(yield* listener.address) })
    yield* Effect.forkChild(DatagramListener.serve(listener, (datagram, reply) => reply(datagram.payload)))
    return
  }
  const transport = kind === "unix"
    ? NodeUnix.transport(given)
    : kind === "tls"
    ? NodeTls.transport(Object.assign(options, selfSigned()) as never)
    : NodeTcp.transport(given)
  const listener = yield* Listener.listen(transport)
  yield* print({ event: "open", kind, address: NetAddress.formatSocketAddress(yield* listener.address) })
  yield* Effect.forkChild(Listener.serve(listener, ({ socket }) => echo(socket), { idle: "pull" }))
})

const program = Effect.gen(function*() {
  const listeners: ReadonlyArray<{ readonly kind: string }> = JSON.parse(process.env["LISTENERS"] ?? "[]")
  for (const options of listeners) {
    yield* Effect.catch(listen(options), (error) => {
      // NodeHttp wraps it
      const { cause } = error as { readonly cause?: object }
      return print({ event: "failed", ...(error._tag === "ServeError" ? cause : error) })
    })
  }
  const sockets = yield* Effect.result(NodeInherit.sockets)
  yield* print(
    Result.isSuccess(sockets)
      ? { event: "sockets", success: sockets.success }
      : { event: "sockets", failure: sockets.failure }
  )
  const seen = spawnSync("sh", ["-c", "env | grep -c -e LISTEN_ -e EFFECT_LISTENER_"], { encoding: "utf8" })
  yield* print({ event: "child", variables: Number(seen.stdout) })
  return yield* Effect.never
})

NodeMain.runMain(Effect.provideService(Effect.scoped(program), Logger.LogToStderr, true))
