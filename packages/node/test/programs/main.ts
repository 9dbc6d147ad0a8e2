/**
 * The programs that the tests of `NodeMain` run as processes, by name:
 * `node main.ts <name> [options as JSON]`. Each prints an `open` line with the
 * port of its listener, and an `exit` line with what is left of its signal
 * handlers.
 */
import type { Connection } from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerHost from "@effect-listener/core/ListenerHost"
import * as ListenerRegistry from "@effect-listener/core/ListenerRegistry"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import { inspect } from "node:util"
import { isMainThread, Worker } from "node:worker_threads"

const host = "127.0.0.1"

interface Options extends NodeMain.RunMainOptions {
  /** Milliseconds, of `serveHeld`. */
  readonly hold?: number
  /** Of `tcpAt` and its like. */
  readonly port?: number
  readonly drain?: Listener.ListenerOptions["drain"]
}

const [name = "", json = "{}"] = process.argv.slice(2)
const options: Options = JSON.parse(json)

const print = (event: string, more: object = {}) => Console.log(JSON.stringify({ event, ...more }))

/** Answers `sleep N` after N ms and echoes the rest, an exchange a line; `fail` fails the program. */
const handler = (failed: Deferred.Deferred<never, Error>) =>
  Effect.fnUntraced(function*(connection: Connection) {
    const pull = yield* Socket.readerString(connection.socket)
    const { write } = yield* connection.socket.writer
    while (true) {
      for (const line of (yield* pull).join("").split("\n")) {
        if (line === "") continue
        if (line === "fail") yield* Deferred.fail(failed, new Error("the program failed"))
        if (line === "throw") {
          setTimeout(() => {
            throw new Error("thrown")
          })
        }
        if (line === "throw strange") {
          setTimeout(() => {
            throw {
              get [inspect.custom](): never {
                throw new Error("it is not shown")
              }
            }
          })
        }
        if (line === "reject") void Promise.reject(new Error("rejected"))
        const finalizer = /^finalize (\d+)/.exec(line)?.[1]
        if (finalizer !== undefined) {
          return yield* connection.exchange(
            line,
            Effect.onInterrupt(Effect.never, () => Effect.sleep(Number(finalizer)))
          )
        }
        const millis = Number(/^sleep (\d+)/.exec(line)?.[1] ?? 0)
        yield* connection.exchange(line, Effect.andThen(Effect.sleep(millis), write(`${line}\n`)))
      }
    }
  })

const announce = (listener: Listener.Listener) =>
  Effect.flatMap(
    listener.address,
    (address) => print("open", { port: NetAddress.isInetAddress(address) ? address.port : undefined })
  )

const listen = Effect.gen(function*() {
  const listener = yield* Listener.listen(NodeTcp.transport({ host: "127.0.0.1", port: 0 }), { drain: options.drain })
  yield* Effect.addFinalizer(() => print("listener released"))
  yield* announce(listener)
  return listener
})

/** Serves, and says when what was built on the listener is released. */
const serve = Effect.gen(function*() {
  const failed = yield* Deferred.make<never, Error>()
  const listener = yield* listen
  yield* Effect.addFinalizer(() => Effect.flatMap(listener.state, (state) => print("dependent released", { state })))
  return yield* Effect.raceFirst(Listener.serve(listener, handler(failed), { idle: "pull" }), Deferred.await(failed))
})

/** A member whose close does something a listener's never would, as may what it says of its listeners. */
const member = (
  name: string,
  shutdown: () => Effect.Effect<never>,
  listeners?: ListenerRegistry.Member["listeners"]
) =>
  Effect.flatMap(ListenerRegistry.CurrentRegistry, (registry) =>
    Effect.sync(() => {
      if (Option.isSome(registry)) registry.value.add({ name, shutdown, progress: Stream.empty, listeners })
    }))

const broken = Effect.sync((): never => {
  throw new Error("it is broken")
})

/** Members that cannot say what is in flight, beside a listener, and a close that does not end. */
const silentMembers = Effect.gen(function*() {
  yield* member("stuck", () => Effect.never, Effect.never)
  yield* member("dying", () => Effect.never, broken)
  const failed = yield* Deferred.make<never, Error>()
  const listener = yield* listen
  yield* member("half", () => Effect.never, Effect.succeed([{ name: "half", listener, connections: broken }]))
  return yield* Effect.andThen(Listener.serve(listener, handler(failed), { idle: "pull" }), Effect.never)
})

/** Holds the process for so long as soon as its listener closes. */
const heldAtClose = Effect.gen(function*() {
  const listener = yield* listen
  yield* Effect.forkDetach(Effect.flatMap(listener.closed, (report) => print("closed", { report })), {
    startImmediately: true
  })
  const failed = yield* Deferred.make<never, Error>()
  yield* Effect.forkScoped(Stream.runForEach(listener.changes, (state) =>
    state === "Closing"
      ? Effect.andThen(
        print("closing"),
        Effect.sync(() => {
          for (const end = performance.now() + (options.hold ?? 1500); performance.now() < end;);
        })
      )
      : Effect.void))
  return yield* Listener.serve(listener, handler(failed), { idle: "pull" })
})

class OwnCode extends Data.TaggedError("OwnCode") {
  override readonly [Runtime.errorExitCode] = 7
}

const programs: Record<string, Effect.Effect<unknown, unknown, never>> = {
  serve: Effect.scoped(serve),
  // does not end when its listener is closed: runMain interrupts it
  serveOn: Effect.scoped(Effect.andThen(serve, Effect.never)),
  launch: Layer.launch(
    Listener.layerServe(
      NodeTcp.transport({ host: "127.0.0.1", port: 0 }),
      (connection) =>
        Effect.gen(function*() {
          const { pull } = yield* connection.socket.reader
          const { write } = yield* connection.socket.writer
          while (true) {
            yield* pull
            yield* connection.exchange("work", Effect.delay(write("done\n"), 500))
          }
        }),
      { idle: "pull" }
    ).pipe(
      Layer.tap((context) => announce(Context.get(context, Listener.Listener))),
      Layer.provideMerge(Layer.effectDiscard(Effect.addFinalizer(() => print("service released"))))
    )
  ),
  // its listener never comes to be open
  opening: Effect.scoped(Listener.listen({ name: "slow", bind: Effect.andThen(print("opening"), Effect.never) })),
  twoListeners: Effect.scoped(Effect.all([serve, serve], { concurrency: "unbounded" })),
  acceptLoop: Effect.scoped(
    Effect.flatMap(
      listen,
      (listener) =>
        Effect.forever(
          Effect.scoped(Effect.flatMap(listener.accept, ({ socket }) =>
            Effect.flatMap(socket.writer, ({ write }) =>
              write("hello\n"))))
        )
    )
  ),
  endsByItself: Effect.scoped(Effect.andThen(listen, print("done"))),
  noListener: Effect.andThen(print("open"), Effect.never),
  fails: Effect.andThen(listen, Effect.fail(new Error("boom"))).pipe(Effect.scoped),
  ownCode: Effect.andThen(listen, Effect.fail(new OwnCode())).pipe(Effect.scoped),
  interrupted: Effect.andThen(print("open"), Effect.interrupt),
  stuckFinalizer: Effect.scoped(Effect.gen(function*() {
    yield* Effect.addFinalizer(() => Effect.andThen(print("finalizing"), Effect.never))
    return yield* serve
  })),
  serveHeld: Effect.scoped(heldAtClose),
  // as the examples do it: what the close did is printed as soon as it is over
  announcesClosed: Effect.scoped(Effect.gen(function*() {
    const failed = yield* Deferred.make<never, Error>()
    const listener = yield* listen
    yield* Effect.forkDetach(Effect.flatMap(listener.closed, (report) => print("closed", { report })), {
      startImmediately: true
    })
    return yield* Listener.serve(listener, handler(failed), { idle: "pull" })
  })),
  // more than a pipe holds, before anything else
  chatty: Effect.andThen(
    Effect.sync(() => process.stderr.write(`${"x".repeat(1 << 20)}\n`)),
    Effect.scoped(serve)
  ),
  tcpAt: Effect.scoped(Effect.suspend(() => Listener.listen(NodeTcp.transport({ host, port: options.port ?? 0 })))),
  httpAt: Layer.launch(
    HttpRouter.serve(HttpRouter.add("GET", "/", HttpServerResponse.text("hello"))).pipe(
      Layer.provide(NodeHttp.layer({ host, port: options.port ?? 0 }))
    )
  ),
  rpcAt: Layer.launch(NodeTcp.layerSocketServer({ host, port: options.port ?? 0 })),
  hostAt: Layer.launch(
    ListenerHost.provide(
      Listener.layerServe(NodeTcp.transport({ host, port: options.port ?? 0 }), () => Effect.void)
    )
  ),
  namedFinalizer: Effect.scoped(Effect.gen(function*() {
    yield* Effect.addFinalizer(Effect.fn("Pool.close")(() => Effect.never))
    return yield* serve
  })),
  neverStarts: Effect.uninterruptible(Effect.andThen(print("open"), Effect.never)),
  stuckClose: Effect.andThen(Effect.andThen(member("stuck", () => Effect.never), print("open")), Effect.never),
  silentMembers: Effect.scoped(silentMembers),
  teardownThrows: Effect.scoped(serve),
  teardownNeverEnds: Effect.scoped(serve),
  brokenClose: Effect.andThen(
    member("broken", () => Effect.die(new Error("no close today"))),
    Effect.scoped(serve)
  ),
  failingFinalizer: Effect.scoped(Effect.gen(function*() {
    yield* Effect.addFinalizer(() => Effect.die(new Error("the finalizer failed")))
    return yield* serve
  })),
  stays: Effect.scoped(Effect.gen(function*() {
    // closes by itself with a deadline that cuts its clients
    const listener = yield* listen
    const failed = yield* Deferred.make<never, Error>()
    yield* Effect.forkScoped(Listener.serve(listener, handler(failed)), { startImmediately: true })
    yield* Effect.flip(Deferred.await(failed))
  }))
}

process.on("exit", () => {
  console.log(JSON.stringify({
    event: "exit",
    handlers: ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "uncaughtException"]
      .reduce((sum, event) => sum + process.listenerCount(event), 0)
  }))
})

const teardowns: Record<string, Runtime.Teardown> = {
  teardownThrows: () => {
    throw new Error("it is torn")
  },
  teardownNeverEnds: () => {}
}

const run = (program: Effect.Effect<unknown, unknown>): void =>
  NodeMain.runMain(
    Effect.provideService(program, Logger.LogToStderr, true),
    { ...options, teardown: teardowns[name] ?? Runtime.defaultTeardown }
  )

const quietListener = Listener.listen(NodeTcp.transport({ host: "127.0.0.1", port: 0 }), { name: "quiet" })

if (name === "mains" || name === "mainsOneFails") {
  run(
    name === "mains"
      ? Effect.scoped(Effect.flatMap(quietListener, ({ closed }) => closed))
      : Effect.fail(new Error("boom"))
  )
  run(Effect.scoped(serve))
} else if (name === "inWorker" && isMainThread) {
  new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) })
} else run(name === "inWorker" ? Effect.scoped(serve) : programs[name] ?? Effect.die(new Error(`no program "${name}"`)))
