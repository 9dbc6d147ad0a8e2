import * as Connection from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Metric from "effect/Metric"
import * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as AsyncHooks from "node:async_hooks"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { selfSigned } from "./support/certificates.ts"
import { type Costs, counting } from "./support/countedCosts.ts"
import * as HttpServing from "./support/httpServing.ts"
import { many, quiet, start, target, until, untilStage } from "./support/listening.ts"
import * as NetClient from "./support/netClient.ts"

const tcp = NodeTcp.transport({ host: "127.0.0.1", port: 0 })

/** A handler that answers once, and ends. */
const answers = quiet(Effect.gen(function*() {
  const listener = yield* Listener.listen(tcp)
  const serving = Listener.serve(listener, ({ socket }) =>
    Effect.gen(function*() {
      const { pull } = yield* socket.reader
      const { write } = yield* socket.writer
      yield* pull
      yield* write("bye")
    }), { idle: "pull" })
  yield* start(serving)
  return { listener, to: yield* target(listener) }
}))

/** `count` clients, one after another, in callbacks: an Effect would be counted. */
const oneByOne = (count: number, connect: () => Net.Socket): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const visit = (left: number): void => {
      if (left === 0) return resume(Effect.void)
      connect().resume().on("close", () => visit(left - 1))
    }
    visit(count)
  })

const visits = (to: Net.NetConnectOpts, count: number): Effect.Effect<void> =>
  oneByOne(count, () => {
    const socket = Net.connect(to, () => socket.write("hello"))
    return socket.on("error", () => {})
  })

/** With one request each. A handshake that fails is an error that is not caught. */
const secureVisits = (port: number, count: number): Effect.Effect<void> =>
  oneByOne(count, () => {
    const socket = Tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    })
    return socket
  })

/** `count` requests on one connection, one after another. */
const requests = (port: number, count: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    let left = count
    let text = ""
    const ask = () => socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    const socket = Net.connect({ port, host: "127.0.0.1" }, ask)
    socket.on("data", (chunk) => {
      text += chunk.toString()
      if (!text.endsWith("\r\n\r\nok")) return
      text = ""
      if (--left > 0) ask()
      else socket.end()
    })
    socket.on("close", () => resume(Effect.void))
  })

/** The rest is bounded, and this is none. */
type Bounds = Omit<Costs, "fractions">

const per = (count: number, { fibers, fractions, listeners, steps, timers }: Costs): Costs => ({
  fibers: fibers / count,
  listeners: listeners / count,
  timers: timers / count,
  fractions,
  steps: steps / count
})

/** With what is done now and then, whatever is counted. */
const besides = ({ fibers, listeners, steps, timers }: Costs): Bounds => ({
  fibers: fibers + 0.1,
  listeners: listeners + 0.1,
  timers: timers + 0.1,
  steps: steps + 0.1
})

/** At most this, however fast the machine is. */
const within = (costs: Costs, bounds: Bounds): void => {
  assert.strictEqual(costs.fractions, 0, "timers of a fraction of a millisecond")
  for (const what of ["fibers", "listeners", "timers", "steps"] as const) {
    assert.isAtMost(costs[what], bounds[what], `${what}: ${JSON.stringify(costs)}`)
  }
}

describe("what is done for one connection", () => {
  it.live("that is accepted, served and closed", () =>
    Effect.scoped(Effect.gen(function*() {
      const { counted, of } = yield* counting
      const { to } = yield* counted(answers)
      yield* visits(to, 20)
      // those that linger share a timer, of which there is one in 100 ms at most
      within(per(100, yield* of(visits(to, 100))), { fibers: 1.1, listeners: 4.1, timers: 0.5, steps: 2.5 })
    })))

  it.live("that shakes hands for a request", () =>
    Effect.scoped(Effect.gen(function*() {
      const { counted, of } = yield* counting
      const app = Effect.succeed(HttpServerResponse.text("ok"))
      const { port } = yield* quiet(counted(HttpServing.app(app, { tls: selfSigned() })))
      yield* secureVisits(port, 20)
      const costs = per(100, yield* of(secureVisits(port, 100)))
      // one fiber for the handshake and one for the request
      assert.isAtMost(costs.fibers, 2.1)
      // for the first byte: that of the handshake's time-out is made once, and those that linger share one
      assert.isAtMost(costs.timers, 1.5)
    })))

  it.live("is the same with 100 and with 1,000 others open", () =>
    Effect.scoped(Effect.gen(function*() {
      const { counted, leastOf } = yield* counting
      const { listener, to } = yield* counted(answers)
      const withOpen = Effect.fnUntraced(function*(open: number) {
        yield* many(open, NetClient.connect(to))
        yield* until(`${open} open`, () => Effect.runSync(listener.dryRun).idle === open)
        return per(50, yield* leastOf(visits(to, 50)))
      }, Effect.scoped)
      const [few, more] = [yield* withOpen(100), yield* withOpen(1000)]
      // a client that comes right after another is handed over in a step of its own, and how many do depends on the machine
      within(more, { ...besides(few), steps: few.steps + 1.1 })
    })))

  it.live("leaves nothing behind", () =>
    Effect.scoped(Effect.gen(function*() {
      const { counted, kept } = yield* counting
      const { to } = yield* counted(answers)
      yield* visits(to, 200)
      // the last ones may still be held by what the engine has not dropped
      yield* until("collected", () => kept() <= 5)
    })))
})

describe("what is done for one message", () => {
  /** `count` messages on one connection, each after the answer to the one before it. */
  const messages = (to: Net.NetConnectOpts, count: number): Effect.Effect<void> =>
    oneByOne(1, () => {
      let left = count
      const socket = Net.connect(to, () => socket.write("hello"))
      return socket.on("data", () => {
        if (--left > 0) socket.write("hello")
        else socket.end()
      })
    })

  /** How often fibers were suspended: each time, Effect keeps its caller's context in a resource. */
  const suspensions = Effect.gen(function*() {
    let count = 0
    const hook = AsyncHooks.createHook({
      init: (_id, type) => {
        if (type === "effect/Fiber") count++
      }
    })
    yield* Effect.acquireRelease(Effect.sync(() => hook.enable()), () => Effect.sync(() => hook.disable()))
    return <E>(effect: Effect.Effect<unknown, E>) =>
      Effect.suspend(() => {
        count = 0
        return Effect.map(effect, () => count)
      })
  })

  const handlers = {
    "runForEach, a write": Effect.fnUntraced(function*(connection: Connection.Connection) {
      const { write } = yield* connection.socket.writer
      return yield* Connection.runForEach(connection, write)
    }),
    "runForEach, an effect": Effect.fnUntraced(function*(connection: Connection.Connection) {
      const { write } = yield* connection.socket.writer
      return yield* Connection.runForEach(connection, (chunk) => Effect.asVoid(write(chunk)))
    }),
    pull: Effect.fnUntraced(function*({ socket }: Connection.Connection) {
      const { pull } = yield* socket.reader
      const { writeAll } = yield* socket.writer
      while (true) yield* writeAll(yield* pull)
    })
  }

  it.live.each(
    [
      { how: "runForEach, a write", fibers: 0, suspended: 0 },
      { how: "runForEach, an effect", fibers: 1, suspended: 0 },
      { how: "pull", fibers: 0, suspended: 1 }
    ] as const
  )(
    "by $how: $fibers fibers, suspended $suspended times",
    ({ fibers, how, suspended }) =>
      Effect.scoped(Effect.gen(function*() {
        const { counted, leastOf } = yield* counting
        const to = yield* counted(quiet(Effect.gen(function*() {
          const listener = yield* Listener.listen(tcp)
          yield* start(Listener.serve(listener, handlers[how], { idle: "pull" }))
          return yield* target(listener)
        })))
        const suspensionsOf = yield* suspensions
        yield* messages(to, 20)
        const few = yield* leastOf(messages(to, 100))
        const many = yield* leastOf(messages(to, 300))
        // what a connection costs is in both
        assert.isAtMost(Math.abs((many.fibers - few.fibers) / 200 - fibers), 0.05)
        for (const what of ["listeners", "timers", "steps"] as const) assert.strictEqual(many[what], few[what], what)
        const [once, thrice] = [yield* suspensionsOf(messages(to, 100)), yield* suspensionsOf(messages(to, 300))]
        assert.isAtMost(Math.abs((thrice - once) / 200 - suspended), 0.05)
      }))
  )
})

describe("what is done for one request", () => {
  const app = Effect.succeed(HttpServerResponse.text("ok"))

  const of100 = <E>(serve: Effect.Effect<number, E, Scope.Scope>) =>
    Effect.scoped(Effect.gen(function*() {
      const { counted, of } = yield* counting
      const port = yield* quiet(counted(serve))
      yield* requests(port, 20)
      return per(100, yield* of(requests(port, 100)))
    }))

  it.live("is what Effect's own server does, but for some once a connection", () =>
    Effect.gen(function*() {
      const theirs = yield* of100(Effect.gen(function*() {
        // with the option that our servers have
        const createServer = () => Http.createServer({ optimizeEmptyRequests: true })
        const server = yield* NodeHttpServer.make(createServer, { host: "127.0.0.1", port: 0 })
        yield* server.serve(app)
        return NetAddress.isInetAddress(server.address) ? server.address.port : 0
      }))
      const ours = yield* of100(Effect.map(HttpServing.app(app), ({ port }) => port))
      within(ours, besides(theirs))
    }))
})

describe("what an idle HTTP connection keeps", () => {
  it.live("is its socket, and neither its last request nor the answer", () =>
    Effect.scoped(Effect.gen(function*() {
      const { kept } = yield* counting
      const app = Effect.succeed(HttpServerResponse.text("ok"))
      const { port } = yield* quiet(HttpServing.app(app, { timeouts: { inactivity: "1 minute" } }))
      const clients = yield* many(20, NetClient.connect({ port, host: "127.0.0.1" }))
      for (const client of clients) {
        yield* client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert.match(yield* client.line, /^HTTP\/1.1 200 OK/)
      }
      // the last ones may still be held by what the engine has not dropped
      yield* until("collected", () => kept() <= 20 + 5)
    })))
})

describe("what is asked of a listener", () => {
  it.live("goes over each connection once, or over none", () =>
    Effect.scoped(Effect.gen(function*() {
      const { counted, leastOf } = yield* counting
      const asked = Effect.fnUntraced(function*(open: number) {
        const { listener, to } = yield* counted(answers)
        yield* many(open, NetClient.connect(to))
        yield* until(`${open} open`, () => Effect.runSync(listener.dryRun).idle === open)
        const asked = {
          connections: (yield* leastOf(listener.connections)).steps / open,
          dryRun: (yield* leastOf(listener.dryRun)).steps / open,
          metrics: (yield* leastOf(Metric.snapshot)).steps
        }
        // nothing is idle for an hour: the close waits, and tells of its progress
        yield* start(listener.close({ idleGrace: "1 hour", deadline: "1 hour" }))
        yield* untilStage(listener, "Draining")
        const progress = (yield* leastOf(Stream.runHead(listener.progress))).steps
        yield* listener.abort
        return { ...asked, progress }
      }, Effect.scoped)
      const [few, more] = [yield* asked(100), yield* asked(1000)]
      // a call or two of iterators that end
      assert.closeTo(few.connections, 1, 0.1)
      assert.closeTo(few.dryRun, 1, 0.1)
      assert.isAtMost(more.connections, few.connections)
      assert.isAtMost(more.dryRun, few.dryRun)
      assert.isAtMost(more.metrics, few.metrics)
      assert.isAtMost(more.progress, few.progress)
      assert.isAtMost(more.progress, 20)
    })))
})

describe("what is done to end an idle HTTP connection", () => {
  it.live("has no fiber, no listener and no timer of its own", () =>
    Effect.scoped(Effect.gen(function*() {
      const { counted, of } = yield* counting
      const app = Effect.succeed(HttpServerResponse.text("ok"))
      const open = 100
      const { listener, port } = yield* counted(quiet(HttpServing.app(app)))
      for (const client of yield* many(open, NetClient.connect({ port, host: "127.0.0.1" }))) {
        yield* client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert.match(yield* client.line, /^HTTP\/1.1 200 OK/)
      }
      const costs = per(open, yield* of(listener.close({ idleGrace: 0 })))
      within(costs, { fibers: 0.2, listeners: 0, timers: 0.2, steps: 6 })
    })))

  it.live("adds no member to its socket: what has been compiled is for the members it has", () =>
    Effect.scoped(Effect.gen(function*() {
      const sockets: Array<Net.Socket> = []
      const createServer = () => Http.createServer().on("connection", (socket) => sockets.push(socket))
      const { listener, port } = yield* quiet(
        HttpServing.given(createServer, Effect.succeed(HttpServerResponse.text("ok")))
      )
      const client = yield* NetClient.connect({ port, host: "127.0.0.1" })
      yield* client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      assert.match(yield* client.line, /^HTTP\/1.1 200 OK/)
      const [socket] = sockets
      const members = Reflect.ownKeys(socket!)
      const afterGoodbye = yield* Effect.all([
        Effect.callback<ReadonlyArray<string | symbol>>((resume) => {
          socket!.once("finish", () => resume(Effect.sync(() => Reflect.ownKeys(socket!))))
        }),
        listener.close({ idleGrace: 0 })
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual(afterGoodbye[0], members)
    })))
})
