import type { Connection } from "@effect-listener/core/Connection"
import type { CloseOptions } from "@effect-listener/core/Drain"
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerError from "@effect-listener/core/ListenerError"
import type { Transport } from "@effect-listener/core/Transport"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeUnix from "@effect-listener/node/NodeUnix"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { makeHolder, makeHolderWith } from "./support/handlers.ts"
import { connect, kinds, listen, many, quiet, start, tagOf, unix, untilStage } from "./support/listening.ts"
import * as NetClient from "./support/netClient.ts"
import { turns } from "./support/resources.ts"

/** Fails the test when anything is thrown where no Effect could have it. */
const nothingUncaught: Effect.Effect<void, never, Scope.Scope> = Effect.asVoid(Effect.acquireRelease(
  Effect.sync(() => {
    const uncaught: Array<unknown> = []
    const collect = (error: unknown) => uncaught.push(error)
    process.on("uncaughtExceptionMonitor", collect)
    process.on("unhandledRejection", collect)
    return { uncaught, collect }
  }),
  ({ collect, uncaught }) =>
    Effect.gen(function*() {
      yield* turns(3)
      process.off("uncaughtExceptionMonitor", collect)
      process.off("unhandledRejection", collect)
      assert.deepStrictEqual(uncaught, [])
    })
))

/** A listener on this transport does not open, and stays what it was; the parameter that is to blame. */
const blamed = Effect.fnUntraced(function*(transport: Transport, options?: Listener.ListenerOptions) {
  const listener = yield* quiet(Listener.make(transport, options))
  const error = yield* Effect.flip(listener.open)
  assert.instanceOf(error, ListenerError.InvalidArgument)
  assert.strictEqual(yield* listener.state, "Created")
  return error.parameter
})

const tcp = (options: Partial<NodeTcp.TransportOptions>) =>
  NodeTcp.transport({ host: "127.0.0.1", port: 0, ...options })

/** What only JavaScript can pass. */
const untyped = <A>(value: unknown): A => value as A

describe("open", () => {
  const arguments_: ReadonlyArray<readonly [parameter: string, value: unknown, transport: Transport]> = [
    ...[-1, 65_536, 1.5, NaN, Infinity, untyped<number>("80"), untyped<number>(null)].map((port) =>
      ["port", port, tcp({ port })] as const
    ),
    ...["", "a\0b", untyped<string>(7)].map((host) => ["host", host, tcp({ host })] as const),
    ...[0, -1, 1.5, NaN, 2 ** 31].map((backlog) => ["backlog", backlog, tcp({ backlog })] as const),
    ...["", "a\0b", `/tmp/${"x".repeat(200)}`].map((path) => ["path", path, NodeUnix.transport({ path })] as const),
    ...[-1, 0o1000, 1.5, NaN].map((mode) => ["mode", mode, NodeUnix.transport({ path: "/tmp/never", mode })] as const)
  ]

  it.live.each(arguments_.map(([parameter, value, transport]) => ({
    parameter,
    shown: JSON.stringify(value) === "null" ? String(value) : JSON.stringify(value).slice(0, 20),
    transport
  })))("$parameter $shown is an InvalidArgument", ({ parameter, transport }) =>
    Effect.gen(function*() {
      yield* nothingUncaught
      assert.strictEqual(yield* blamed(transport), parameter)
    }))

  it.live("a host that does not exist is an AddressNotAvailable", () =>
    Effect.gen(function*() {
      yield* nothingUncaught
      const listener = yield* quiet(Listener.make(tcp({ host: "no-such-host.invalid" })))
      assert.strictEqual(yield* tagOf(listener.open), "AddressNotAvailable")
      assert.strictEqual(yield* listener.state, "Created")
    }))
})

const durations = [
  { what: "negative", duration: -1 },
  { what: "a negative string", duration: "-1 seconds" },
  { what: "NaN", duration: NaN },
  { what: "an unreadable string", duration: untyped<Duration.Input>("soon") }
] satisfies ReadonlyArray<{ readonly what: string; readonly duration: Duration.Input }>

describe.each(durations)("a duration that is $what", ({ duration }) => {
  const drains: ReadonlyArray<readonly [parameter: string, options: CloseOptions]> = [
    ["deadline", { deadline: duration }],
    ["lameDuck", { lameDuck: duration }],
    ["lameDuck.quiet", { lameDuck: { min: 0, quiet: duration, max: 1 } }],
    ["idleGrace", { idleGrace: duration }],
    ["abortGrace", { abortGrace: duration }],
    ["linger.idle", { linger: { idle: duration } }],
    ["linger.total", { linger: { total: duration } }]
  ]
  const timeouts = ["open", "handshake", "firstByte", "inactivity"]

  it.live("is an InvalidArgument of open, in every option of a listener and in keepAlive", () =>
    Effect.gen(function*() {
      yield* nothingUncaught
      for (const [parameter, drain] of drains) {
        assert.strictEqual(yield* blamed(tcp({}), { drain }), `drain.${parameter}`)
      }
      for (const name of timeouts) {
        assert.strictEqual(yield* blamed(tcp({}), { timeouts: { [name]: duration } }), `timeouts.${name}`)
      }
      assert.strictEqual(yield* blamed(tcp({ keepAlive: duration })), "keepAlive")
    }))

  it.live("is an InvalidArgument of close, which changes nothing", () =>
    Effect.gen(function*() {
      yield* nothingUncaught
      const listener = yield* listen(unix)
      for (const [parameter, options] of drains) {
        const error = yield* Effect.flip(listener.close(options))
        assert.instanceOf(error, ListenerError.InvalidArgument)
        assert.strictEqual(error.parameter, parameter)
        assert.strictEqual(yield* listener.state, "Open")
      }
      yield* connect(listener)
    }))
})

/** Ends without a word, with a reset where there is one. */
const reset = ({ socket }: NetClient.NetClient): void => {
  if (socket.localPort === undefined) socket.destroy()
  else socket.resetAndDestroy()
}

/** Leaves when the first bytes have come. */
const onData = (client: NetClient.NetClient, leave: () => void) => {
  client.socket.write("export\n")
  client.socket.once("data", leave)
}

const peers: ReadonlyArray<{ readonly how: string; readonly act: (client: NetClient.NetClient) => void }> = [
  { how: "resets as soon as it is connected", act: reset },
  { how: "leaves as soon as it is connected", act: ({ socket }) => socket.destroy() },
  {
    how: "resets after half a message",
    act: (client) => client.socket.write("ha", () => reset(client))
  },
  { how: "ends after half a message", act: ({ socket }) => socket.end("ha") },
  { how: "resets in the middle of its answer", act: (client) => onData(client, () => reset(client)) },
  { how: "leaves in the middle of its answer", act: (client) => onData(client, () => client.socket.destroy()) }
]

const body = "x".repeat(16 * 1024 * 1024)

describe.each(kinds)("a peer, $name", (kind) => {
  it.live.each(peers)("that $how ends its handler with a SocketError, and nothing else", ({ act }) => {
    const errors: Array<unknown> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel === "Error" || logLevel === "Fatal") errors.push(message)
    })
    return Effect.gen(function*() {
      yield* nothingUncaught
      const exits = yield* Queue.unbounded<Exit.Exit<unknown, unknown>>()
      const listener = yield* listen(kind)
      const { handler } = yield* makeHolderWith((line) => Effect.succeed(line === "export" ? body : line))
      const recorded = (connection: Connection) =>
        Effect.onExit(handler(connection), (exit) => Queue.offer(exits, exit))
      yield* start(Listener.serve(listener, recorded, { idle: "pull" }))
      const good = yield* connect(listener)
      assert.strictEqual(yield* NetClient.ask(good, "before"), "before")
      for (let i = 0; i < 10; i++) act(yield* connect(listener))
      for (const exit of yield* Queue.takeN(exits, 10)) {
        assert(Exit.isFailure(exit))
        assert.isTrue(
          exit.cause.reasons.every((reason) => Cause.isFailReason(reason) && Socket.isSocketError(reason.error)),
          Cause.pretty(exit.cause)
        )
      }
      assert.strictEqual(yield* NetClient.ask(good, "after"), "after")
      assert.strictEqual(yield* listener.state, "Open")
      const report = yield* listener.close()
      assert.strictEqual(report.outcome, "Drained")
      assert.deepStrictEqual(errors, [])
    }).pipe(Effect.provide(Logger.layer([logger])))
  })

  it.live("that has left before it is accepted is handed over, and its first pull fails with a SocketError", () =>
    Effect.gen(function*() {
      yield* nothingUncaught
      const listener = yield* listen(kind)
      for (const leave of [reset, ({ socket }: NetClient.NetClient) => socket.destroy()]) {
        const client = yield* connect(listener)
        leave(client)
        yield* client.ending
        const error = yield* Effect.scoped(Effect.gen(function*() {
          const { socket } = yield* listener.accept
          const { pull } = yield* socket.reader
          return yield* Effect.flip(pull)
        }))
        assert.isTrue(Socket.isSocketError(error))
      }
      assert.strictEqual(yield* listener.state, "Open")
    }))

  it.live("that resets while it is drained is counted endedByPeer, and holds up nothing", () =>
    Effect.gen(function*() {
      yield* nothingUncaught
      const listener = yield* listen(kind, { drain: { deadline: "10 minutes" } })
      const { handler, held, release } = yield* makeHolder
      yield* start(Listener.serve(listener, handler, { idle: "pull" }))
      const good = yield* connect(listener)
      const bad = yield* many(10, connect(listener))
      for (const client of [good, ...bad]) yield* client.send("hold\n")
      yield* held(11)
      const closing = yield* start(listener.close())
      yield* untilStage(listener, "Draining")
      for (const client of bad) reset(client)
      for (const client of bad) yield* client.ending
      yield* turns(5)
      yield* release
      const report = yield* Fiber.join(closing)
      const { drained, endedByPeer, total } = report.connections
      assert.deepStrictEqual({ drained, endedByPeer, total }, { drained: 1, endedByPeer: 10, total: 11 })
      assert.deepStrictEqual(yield* good.rest, { lines: ["released hold"], ending: "FIN" })
    }))
})
