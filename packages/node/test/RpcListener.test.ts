import { ListenerError, RpcListener } from "@effect-listener/core"
import { NodeSocketServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, type Duration, Effect, Exit, Fiber, Layer, Schedule, Stream } from "effect"
import { NetAddress } from "effect/net"
import { RpcSerialization, RpcServer } from "effect/rpc"
import { SocketServer } from "effect/socket"
import * as Net from "node:net"
import { quiet, start } from "./support/listening.ts"
import { Calls, type Client, client, effectClient, encodings, repeated, serve, type Server } from "./support/rpc.ts"
import { hammer } from "./support/rpcCallingThread.ts"

const fast = Schedule.spaced("20 millis")

/** Waits until the client has a connection. */
const greet = (client: Client) => client.work({ id: -1, millis: 0 })

/** Waits until nothing is executed on a server. */
const nothingInFlight = ({ listener }: Server) =>
  Effect.repeat(listener.connections, { until: (open) => open.every(({ exchanges }) => exchanges.length === 0) })

/** A server of a few lines. */
const listen = (onConnection: (socket: Net.Socket) => void) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Net.Server>((resume) => {
        const server = Net.createServer(onConnection)
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => server.close())
    ),
    // it listens on a port of this host
    (server) => (server.address() as Net.AddressInfo).port
  )

/** The last word of a server that still executes these. */
const goodbye = (executing: ReadonlyArray<number>) => ({
  _tag: "Request",
  id: "",
  tag: "@effect-listener/core/RpcListener/Goodbye",
  payload: { executing },
  headers: [],
  isNotification: true
})

const defect = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isDieReason)?.defect : undefined

describe.each(encodings)("RpcListener over TCP, $name", ({ layer: encoding }) => {
  it.live("50 calls of 600 ms and a stream of 40 in flight at a close are all delivered, none executed twice", () =>
    Effect.gen(function*() {
      const server = yield* serve("a", { encoding })
      const calls = yield* effectClient(server.port, encoding)
      yield* greet(calls)
      const stream = yield* start(Stream.runCollect(calls.count({ to: 40, millis: 15 })))
      const working = yield* start(Effect.forEach(
        Array.from({ length: 50 }, (_, id) => id),
        (id) => calls.work({ id, millis: 600 }),
        { concurrency: "unbounded" }
      ))
      yield* server.until(51)
      const report = yield* quiet(server.listener.close())
      assert.strictEqual(report.outcome, "Drained")
      assert.deepStrictEqual(yield* Fiber.join(working), Array.from({ length: 50 }, () => "a"))
      assert.deepStrictEqual(yield* Fiber.join(stream), Array.from({ length: 40 }, (_, i) => i + 1))
      assert.strictEqual(repeated(server.executed), 0)
    }))

  it.live("a call sent during a drain is refused unexecuted: a defect for Effect's client", () =>
    Effect.gen(function*() {
      const server = yield* serve("a", { encoding })
      const calls = yield* effectClient(server.port, encoding)
      const working = yield* start(calls.work({ id: 1, millis: 600 }))
      yield* server.until(1)
      const closing = yield* start(quiet(server.listener.close()))
      let sent = 1
      const late = yield* Effect.repeat(Effect.exit(Effect.suspend(() => calls.work({ id: ++sent, millis: 0 }))), {
        until: Exit.isFailure
      })
      assert.isTrue(RpcListener.isCallRefused(defect(late)), String(late))
      assert.strictEqual(yield* Fiber.join(working), "a")
      assert.strictEqual((yield* Fiber.join(closing)).refused, 1)
      // all but the last
      assert.deepStrictEqual(server.executed, Array.from({ length: sent - 1 }, (_, i) => i + 1))
    }))

  it.live("a call sent during a drain is answered by the other server, at once, and stays where it is executed", () =>
    Effect.gen(function*() {
      const a = yield* serve("a", { encoding })
      const b = yield* serve("b", { encoding })
      const calls = yield* client([a.port, b.port], { encoding })
      const working = yield* start(calls.work({ id: 1, millis: 600 }))
      yield* a.until(1)
      const closing = yield* start(quiet(a.listener.close()))
      let sent = 1
      const late = Effect.suspend(() => calls.work({ id: ++sent, millis: 0 }))
      yield* Effect.repeat(late, { until: (name) => name === "b" })
      assert.isUndefined(working.pollUnsafe())
      assert.strictEqual(yield* late, "b")
      assert.strictEqual(yield* Fiber.join(working), "a")
      assert.strictEqual((yield* Fiber.join(closing)).outcome, "Drained")
      assert.deepStrictEqual([...a.executed, ...b.executed], Array.from({ length: sent }, (_, i) => i + 1))
    }))
})

describe("RpcListener.layerProtocolSocketServer", () => {
  it.live("clients that wait for nothing are ended at once, and do not cost the deadline", () =>
    Effect.gen(function*() {
      const server = yield* serve("a", { drain: { deadline: "30 seconds" } })
      const idle = yield* Effect.forEach(Array.from({ length: 20 }), () => effectClient(server.port))
      yield* Effect.forEach(idle, greet, { concurrency: "unbounded" })
      const busy = yield* effectClient(server.port)
      const working = yield* start(busy.work({ id: 1, millis: 2000 }))
      yield* server.until(21)
      const closing = yield* start(quiet(server.listener.close()))
      yield* Effect.repeat(server.listener.connections, { until: (open) => open.length <= 1 })
      // the idle ones have gone before the busy one is done
      assert.isUndefined(working.pollUnsafe())
      assert.strictEqual(yield* Fiber.join(working), "a")
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.outcome, "Drained")
    }))

  it.live("a client that asks again and again, whatever it is told, does not cost the deadline", () =>
    Effect.gen(function*() {
      const server = yield* serve("a", { drain: { deadline: "5 seconds" } })
      yield* hammer(server.port)
      // it has found its pace
      yield* server.until(1000)
      const report = yield* quiet(server.listener.close())
      assert.strictEqual(report.outcome, "Drained")
      assert.isAbove(report.refused, 0)
    }))

  it.live("a call that outlasts the deadline is cut, and named", () =>
    Effect.gen(function*() {
      const server = yield* serve("a")
      const calls = yield* effectClient(server.port)
      const working = yield* start(Effect.exit(calls.work({ id: 1, millis: 60_000 })))
      yield* server.until(1)
      const error = yield* Effect.flip(quiet(server.listener.close({ deadline: "100 millis" })))
      assert.instanceOf(error, ListenerError.OperationTimedOut)
      assert.deepStrictEqual(error.report?.cut[0]?.exchanges.map(({ label }) => label), ["rpc work"])
      assert.isTrue(Exit.isFailure(yield* Fiber.join(working)))
    }))
})

describe("RpcListener.layerProtocolSocketServer on a socket server that is no listener", () => {
  it.live("is Effect's own", () =>
    Effect.gen(function*() {
      const layer = RpcServer.layer(Calls).pipe(
        Layer.provide(Calls.toLayer({ work: () => Effect.succeed("own"), count: () => Stream.make(1, 2) })),
        Layer.provide(RpcListener.layerProtocolSocketServer),
        Layer.provideMerge(NodeSocketServer.layer({ port: 0, host: "127.0.0.1" })),
        Layer.provide(RpcSerialization.layerNdjson)
      )
      const { address } = Context.get(yield* Layer.build(Layer.fresh(layer)), SocketServer.SocketServer)
      const calls = yield* client([NetAddress.isInetAddress(address) ? address.port : 0])
      assert.strictEqual(yield* calls.work({ id: 1, millis: 0 }), "own")
      assert.deepStrictEqual(yield* Stream.runCollect(calls.count({ to: 2, millis: 0 })), [1, 2])
    }))
})

describe("RpcListener.layerClientProtocol", () => {
  it.effect("a time of its pings that cannot be used is InvalidArgument, and nothing is dialled", () =>
    Effect.gen(function*() {
      const times = [NaN, { seconds: NaN }, -1, 0, "soon"] as ReadonlyArray<Duration.Input>
      for (const option of ["pingInterval", "pingTimeout"] as const) {
        for (const time of times) {
          const error = yield* Effect.flip(RpcListener.makeClientProtocol({
            servers: [Effect.die("dialled")],
            [option]: time
          }))
          assert.strictEqual(error._tag, "InvalidArgument")
          assert.strictEqual(error.parameter, option)
        }
      }
    }).pipe(Effect.scoped, Effect.provide(RpcSerialization.layerNdjson)))

  it.live("leaves in the lame duck, while calls are still executed", () =>
    Effect.gen(function*() {
      const a = yield* serve("a")
      const b = yield* serve("b")
      const calls = yield* client([a.port, b.port])
      assert.strictEqual(yield* greet(calls), "a")
      const closing = yield* start(quiet(a.listener.close({ lameDuck: "2 seconds" })))
      const answers = yield* Effect.repeat(calls.work({ id: 1, millis: 0 }), { until: (name) => name === "b" })
      assert.strictEqual(answers, "b")
      assert.isUndefined(closing.pollUnsafe())
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.refused, 0)
      // it had left by itself
      assert.strictEqual(report.connections.total, 1)
      assert.strictEqual(report.connections.endedByPeer, 1)
    }))

  it.live("stays with the only server there is through its lame duck", () =>
    Effect.gen(function*() {
      const a = yield* serve("a")
      const calls = yield* client([a.port])
      yield* greet(calls)
      const closing = yield* start(quiet(a.listener.close({ lameDuck: "500 millis" })))
      let answered = 0
      yield* Effect.repeat(Effect.exit(calls.work({ id: 0, millis: 1 })), {
        until: (exit) => {
          if (Exit.isSuccess(exit)) answered++
          return Exit.isFailure(exit)
        }
      })
      const report = yield* Fiber.join(closing)
      assert.strictEqual(report.outcome, "Drained")
      // the greeting, and each call that was answered
      assert.strictEqual(a.executed.length, answered + 1)
      assert.isAbove(answered, 10)
    }))

  it.live("fails with SocketOpenError when no server can be reached, and is back when one can", () =>
    Effect.gen(function*() {
      const a = yield* serve("a")
      const b = yield* serve("b")
      const calls = yield* client([a.port, b.port], { retryPolicy: fast })
      yield* greet(calls)
      yield* quiet(Effect.all([a.listener.close(), b.listener.close()], { concurrency: "unbounded" }))
      const error = yield* Effect.flip(calls.work({ id: 1, millis: 0 }))
      assert.strictEqual(error.reason._tag, "SocketOpenError")
      const again = yield* serve("again", { port: b.port })
      const name = yield* Effect.eventually(calls.work({ id: 2, millis: 0 }))
      assert.strictEqual(name, "again")
      assert.deepStrictEqual(again.executed, [2])
    }))

  it.live("a call that was never written waits for a server, when it is told to, and is executed there once", () =>
    Effect.gen(function*() {
      const a = yield* serve("a")
      const calls = yield* client([a.port], { retryPolicy: fast, retryTransientErrors: true })
      yield* greet(calls)
      yield* quiet(a.listener.close())
      const waiting = yield* start(calls.work({ id: 1, millis: 0 }))
      const again = yield* serve("again", { port: a.port })
      assert.strictEqual(yield* Fiber.join(waiting), "again")
      assert.deepStrictEqual(again.executed, [1])
    }))

  it.live("goes to another address when a connection breaks, and does not repeat a call that may have been executed", () =>
    Effect.gen(function*() {
      const a = yield* serve("a")
      const b = yield* serve("b")
      const calls = yield* client([a.port, b.port])
      const lost = yield* start(Effect.flip(calls.work({ id: 1, millis: 60_000 })))
      yield* a.until(1)
      yield* a.listener.abort
      assert.notStrictEqual((yield* Fiber.join(lost)).reason._tag, "SocketOpenError")
      assert.strictEqual(yield* calls.work({ id: 2, millis: 0 }), "b")
      assert.deepStrictEqual([a.executed, b.executed], [[1], [2]])
    }))

  it.live("repeats a call of which the server says in its last word that it never read it", () =>
    Effect.gen(function*() {
      const word = `${JSON.stringify(goodbye([]))}\n`
      const port = yield* listen((socket) => socket.once("readable", () => socket.end(word)))
      const b = yield* serve("b")
      const calls = yield* client([port, b.port])
      const answers = yield* Effect.all([calls.work({ id: 1, millis: 0 }), calls.work({ id: 2, millis: 0 })], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(answers, ["b", "b"])
      assert.deepStrictEqual(b.executed, [1, 2])
    }))

  it.live("a call that a server executes to its last word, and does not answer, is lost and not repeated", () =>
    Effect.gen(function*() {
      const port = yield* listen((socket) =>
        socket.once("data", (data) => {
          const { id } = JSON.parse(String(data))
          socket.end(`${JSON.stringify(goodbye([id]))}\n`)
        })
      )
      const b = yield* serve("b")
      const calls = yield* client([port, b.port])
      const error = yield* Effect.flip(calls.work({ id: 1, millis: 0 }))
      assert.strictEqual(error.reason._tag, "SocketCloseError")
      assert.strictEqual(yield* calls.work({ id: 2, millis: 0 }), "b")
    }))

  it.live("gives up a server that has fallen silent", () =>
    Effect.gen(function*() {
      const port = yield* listen((socket) => socket.pause())
      const b = yield* serve("b")
      const calls = yield* client([port, b.port], { pingInterval: "100 millis" })
      const error = yield* Effect.flip(calls.work({ id: 1, millis: 0 }))
      assert.strictEqual(error.reason._tag, "SocketReadError")
      assert.strictEqual(yield* calls.work({ id: 2, millis: 0 }), "b")
    }))

  it.live("an interrupted call is interrupted on its server, and never made again", () =>
    Effect.gen(function*() {
      const a = yield* serve("a")
      const b = yield* serve("b")
      const calls = yield* client([a.port, b.port])
      const working = yield* start(calls.work({ id: 1, millis: 60_000 }))
      yield* a.until(1)
      yield* Fiber.interrupt(working)
      yield* nothingInFlight(a)
      const report = yield* quiet(a.listener.close({ deadline: "10 seconds" }))
      assert.strictEqual(report.outcome, "Drained")
      assert.strictEqual(yield* calls.work({ id: 2, millis: 0 }), "b")
      assert.deepStrictEqual([a.executed, b.executed], [[1], [2]])
    }))

  it.live("a stream that is given up stops on its server", () =>
    Effect.gen(function*() {
      const a = yield* serve("a")
      const calls = yield* client([a.port])
      const taken = yield* calls.count({ to: 1_000_000, millis: 1 }).pipe(Stream.take(3), Stream.runCollect)
      assert.deepStrictEqual(taken, [1, 2, 3])
      yield* nothingInFlight(a)
      assert.strictEqual((yield* quiet(a.listener.close({ deadline: "10 seconds" }))).outcome, "Drained")
    }))
})
