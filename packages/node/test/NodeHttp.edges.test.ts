/** HTTP where peers, limits and broken things meet it. */
import { Listener } from "@effect-listener/core/Listener"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeWebSocket from "@effect-listener/node/NodeWebSocket"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { HttpClient } from "effect/http/HttpClient"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServer } from "effect/http/HttpServer"
import { ServeError } from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import type * as Socket from "effect/socket/Socket"
import * as SocketServer from "effect/socket/SocketServer"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Https from "node:https"
import { selfSigned } from "./support/certificates.ts"
import * as Http2Frames from "./support/hostile/http2.ts"
import * as Hostile from "./support/hostile/peer.ts"
import * as WebSocketFrames from "./support/hostile/webSocket.ts"
import * as Http2Client from "./support/http2Client.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import * as HttpServing from "./support/httpServing.ts"
import { portOf, quiet, start, until } from "./support/listening.ts"
import * as WebSocketClient from "./support/webSocketClient.ts"

const pair = selfSigned()
const ok = HttpServerResponse.text("ok")
const body = Effect.flatMap(
  HttpServerRequest.HttpServerRequest,
  (request) => Effect.map(request.text, (text) => HttpServerResponse.text(text))
)
const url = Effect.map(HttpServerRequest.HttpServerRequest, (request) => request.url)

/** Answers when it is let, and counts what it has executed and what has ended. */
const makeHeld = Effect.sync(() => {
  const gate = Deferred.makeUnsafe<void>()
  const seen = { executed: 0, ended: 0 }
  return {
    seen,
    release: Deferred.succeed(gate, undefined),
    app: Effect.suspend(() => {
      seen.executed++
      return Effect.as(Effect.interruptible(Deferred.await(gate)), ok)
    }).pipe(Effect.ensuring(Effect.sync(() => {
      seen.ended++
    })))
  }
})

describe("pipelined requests", () => {
  it.live.each([{ tls: false }, { tls: true }])(
    "64 are executed side by side, the others in their order, TLS $tls",
    ({ tls }) =>
      Effect.gen(function*() {
        const held = yield* makeHeld
        const { listener, port } = yield* HttpServing.app(held.app, tls ? { tls: selfSigned(), http2: false } : {})
        const peer = yield* HttpPeer.connect(port, { tls })
        for (let i = 0; i < 10; i++) yield* peer.send(HttpPeer.get("/").repeat(100))
        yield* until("64 are executed", () => held.seen.executed === 64)
        const before = Effect.runSync(listener.connections)[0]!.bytesIn
        // it is read no further
        for (let i = 0; i < 20; i++) yield* peer.send(HttpPeer.get("/").repeat(100))
        yield* Effect.sleep(100)
        assert.strictEqual(held.seen.executed, 64)
        assert.isBelow(Effect.runSync(listener.connections)[0]!.bytesIn - before, 80_000)
        yield* held.release
        yield* until("all are answered", () => peer.responses() === 3000)
        assert.strictEqual(held.seen.executed, 3000)
      }).pipe(quiet)
  )

  it.live("so many as `maxPipelined` says", () =>
    Effect.gen(function*() {
      const held = yield* makeHeld
      const { port } = yield* HttpServing.app(held.app, { maxPipelined: 2 })
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(HttpPeer.get("/").repeat(5))
      yield* until("two are executed", () => held.seen.executed === 2)
      yield* held.release
      yield* until("all are answered", () => peer.responses() === 5)
    }).pipe(quiet))

  it.live("end with their client also while the connection is not read", () =>
    Effect.gen(function*() {
      const held = yield* makeHeld
      const { port } = yield* HttpServing.app(held.app)
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(HttpPeer.get("/").repeat(2000))
      yield* until("64 are executed", () => held.seen.executed === 64)
      yield* peer.reset
      yield* until("they have ended", () => held.seen.ended === 64)
      assert.strictEqual(held.seen.executed, 64)
    }).pipe(quiet))

  it.live("all get their answers when the first says that it is the last", () =>
    Effect.gen(function*() {
      const last = HttpServerResponse.text("last", { headers: { connection: "close" } })
      const app = Effect.flatMap(
        url,
        (path) => path === "/last" ? Effect.as(Effect.sleep(20), last) : Effect.as(Effect.sleep(40), ok)
      )
      const { port } = yield* HttpServing.app(app)
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(HttpPeer.get("/last") + HttpPeer.get("/") + HttpPeer.get("/"))
      const all = [yield* peer.response, yield* peer.response, yield* peer.response]
      assert.deepStrictEqual(all.map(({ body, headers }) => [body, headers["connection"]]), [
        ["last", "keep-alive"],
        ["ok", "keep-alive"],
        ["ok", "close"]
      ])
      assert.strictEqual(yield* peer.ending, "FIN")
    }).pipe(quiet))

  it.live("are answered before what is no HTTP, and nothing after that is executed", () =>
    Effect.gen(function*() {
      let executed = 0
      const { port } = yield* HttpServing.app(
        Effect.sync(() => executed++).pipe(Effect.andThen(Effect.sleep(50)), Effect.as(ok))
      )
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(HttpPeer.get("/").repeat(2) + "nonsense\r\n\r\n" + HttpPeer.get("/"))
      const statuses = [(yield* peer.response).status, (yield* peer.response).status]
      yield* peer.ending
      assert.deepStrictEqual([statuses, (yield* peer.response).status, executed], [[200, 200], 400, 2])
    }).pipe(quiet))

  it.live("after one without a host are not executed", () =>
    Effect.gen(function*() {
      let executed = 0
      const { port } = yield* HttpServing.app(Effect.sync(() => (executed++, ok)))
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(HttpPeer.get("/") + "GET / HTTP/1.1\r\n\r\n" + HttpPeer.get("/"))
      const statuses = [(yield* peer.response).status, (yield* peer.response).status]
      yield* peer.ending
      assert.deepStrictEqual([statuses, executed, peer.responses()], [[200, 400], 1, 2])
    }).pipe(quiet))
})

describe("a body that waits for a word", () => {
  it.live.each([0, 20])("and has come whole keeps the connection, read after %s ms", (pause) =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.app(Effect.orDie(Effect.andThen(Effect.sleep(pause), body)))
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc".repeat(3))
      const all = yield* Effect.forEach([1, 2, 3], () => peer.response)
      assert.deepStrictEqual(
        all.map(({ body, headers }) => [body, headers["connection"]]),
        Array(3).fill(["abc", "keep-alive"])
      )
    }).pipe(quiet))

  it.live("and is not read ends the connection", () =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.app(Effect.succeed(ok))
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
      assert.strictEqual((yield* peer.response).headers["connection"], "close")
      assert.strictEqual(yield* peer.ending, "FIN")
    }).pipe(quiet))
})

describe("an answer whose end only the end of the connection tells", () => {
  const broken = (end: Stream.Stream<Uint8Array, Error>) =>
    Effect.succeed(
      HttpServerResponse.stream(
        Stream.concat(
          Stream.make(Buffer.from("part")),
          Stream.drain(Stream.fromEffect(Effect.sleep(50))).pipe(Stream.concat(end))
        )
      )
    )

  it.live.each([
    { how: "fails", end: Stream.fail(new Error("as asked")) },
    { how: "dies", end: Stream.die(new Error("as asked")) }
  ])("is reset when its source $how", ({ end }) =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.app(broken(end))
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send("GET / HTTP/1.0\r\n\r\n")
      assert.strictEqual(yield* peer.ending, "ECONNRESET")
    }).pipe(quiet))

  it.live("ends in a FIN when it is whole", () =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.app(broken(Stream.make(Buffer.from("rest"))))
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send("GET / HTTP/1.0\r\n\r\n")
      assert.strictEqual(yield* peer.ending, "FIN")
      assert.strictEqual((yield* peer.response).body, "partrest")
    }).pipe(quiet))

  it.live("is reset when its client has ended its side", () =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.app(broken(Stream.never))
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send("GET / HTTP/1.0\r\n\r\n")
      yield* peer.head
      yield* until("a part is there", () => peer.socket.bytesRead > 100)
      peer.socket.end()
      assert.strictEqual(yield* peer.ending, "ECONNRESET")
    }).pipe(quiet))
})

describe("what Node answers by itself", () => {
  it.live.each<readonly [string, string]>([
    ["431", `GET / HTTP/1.1\r\nHost: x\r\n${`x: ${"y".repeat(1000)}\r\n`.repeat(2000)}\r\n`],
    ["400", "nonsense\r\n".repeat(200_000)],
    ["400", `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${"x".repeat(2 << 20)}`]
  ])("reaches a client that is still sending: %s", ([status, bytes]) =>
    Effect.gen(function*() {
      const { listener, port } = yield* HttpServing.app(Effect.orDie(body))
      for (let i = 0; i < 5; i++) {
        const peer = yield* HttpPeer.connect(port)
        yield* peer.pause
        yield* peer.send(bytes)
        yield* until("it has been answered", () =>
          Effect.runSync(listener.connections).some(({ bytesOut, remote }) =>
            remote.endsWith(`:${peer.socket.localPort}`) && bytesOut > 0
          ))
        yield* peer.resume
        yield* peer.ending
        assert.strictEqual(String((yield* peer.response).status), status)
      }
    }).pipe(quiet))
})

describe("limits", () => {
  it.live.each([{ how: "drips", part: "x" }, { how: "stalls", part: "" }])(
    "`request` below `head` ends an upload that $how",
    ({ part }) =>
      Effect.gen(function*() {
        const { port } = yield* HttpServing.app(Effect.orDie(body), { timeouts: { request: "300 millis" } })
        const peer = yield* HttpPeer.connect(port)
        yield* peer.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nhello")
        yield* Effect.forkChild(Effect.forever(Effect.andThen(Effect.sleep(50), peer.send(part))))
        assert.strictEqual((yield* peer.response).status, 408)
        assert.strictEqual(yield* peer.ending, "FIN")
      }).pipe(Effect.scoped, quiet)
  )

  it.live.each(["http1", "http2"] as const)(
    "`request` does not end one that has arrived whole: %s",
    (version) =>
      Effect.gen(function*() {
        const { port } = yield* HttpServing.app(Effect.as(Effect.sleep("1500 millis"), ok), {
          timeouts: { request: "300 millis" }
        })
        const get = version === "http1"
          ? Effect.flatMap(HttpPeer.connect(port), (peer) => peer.get("/"))
          : Effect.flatMap(Http2Client.connect(port), (client) => client.get("/"))
        assert.strictEqual((yield* get).status, 200)
      }).pipe(Effect.scoped, quiet)
  )

  it.live.each(
    [
      ["firstByte", "", HttpPeer.get("/")],
      ["head", "GET / HTTP/1.1\r\n", "Host: x\r\n\r\n"],
      ["request", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na", "b"],
      ["inactivity", HttpPeer.get("/"), HttpPeer.get("/")]
    ] as const
  )("`%s` is judged when what came in time is read", ([name, first, then]) =>
    Effect.gen(function*() {
      // Node waits for a second more than it is told
      const limit = name === "inactivity" ? 1000 : 2000
      const { listener, port } = yield* HttpServing.app(Effect.orDie(body), { timeouts: { [name]: limit } })
      const peer = yield* HttpPeer.connect(port)
      if (first !== "") yield* peer.sendAll(first)
      if (name === "inactivity") yield* peer.response
      yield* until("that is read", () => Effect.runSync(listener.connections)[0]?.bytesIn === first.length)
      // the kernel has it before the process stands still past the limit, whose timer comes next
      setImmediate(() => {
        peer.socket.write(then)
        const standsUntil = performance.now() + 2500
        while (performance.now() < standsUntil);
      })
      assert.strictEqual((yield* peer.response).status, 200)
    }).pipe(quiet))
})

describe("HTTP/2", () => {
  it.live("says how many streams a session may have: 250, or what it is told", () =>
    Effect.gen(function*() {
      const settings = (options: Partial<NodeHttp.ServerOptions>) =>
        Effect.gen(function*() {
          const { port } = yield* HttpServing.app(Effect.succeed(ok), options)
          const client = yield* Http2Client.connect(port)
          return client.session.remoteSettings.maxConcurrentStreams
        })
      assert.strictEqual(yield* settings({}), 250)
      assert.strictEqual(yield* settings({ http2: { settings: { initialWindowSize: 100_000 } } }), 250)
      assert.strictEqual(yield* settings({ http2: { settings: { maxConcurrentStreams: 7 } } }), 7)
    }).pipe(quiet))

  it.live("an answer that is cut by the deadline is an error for its client, and takes no longer", () =>
    Effect.gen(function*() {
      const stream = Stream.concat(Stream.make(Buffer.from("part")), Stream.never)
      const { listener, port } = yield* HttpServing.app(Effect.succeed(HttpServerResponse.stream(stream)))
      const client = yield* Http2Client.connect(port)
      const answers = yield* start(
        Effect.all(Array.from({ length: 20 }, () => Effect.exit(client.get("/"))), { concurrency: "unbounded" })
      )
      yield* until("they have begun", () => Effect.runSync(listener.connections)[0]?.exchanges.length === 20)
      const closed = yield* Effect.flip(listener.close({ deadline: 300 }))
      assert.strictEqual(closed._tag, "OperationTimedOut")
      for (const exit of yield* Fiber.join(answers)) {
        assert.isTrue(Exit.isFailure(exit))
        assert.include(String(Cause.squash(Exit.isFailure(exit) ? exit.cause : Cause.empty)), "code 2")
      }
    }).pipe(quiet))

  it.live("an early answer in a lame duck ends before its stream is reset", () =>
    Effect.gen(function*() {
      const { listener, port } = yield* HttpServing.app(Effect.succeed(HttpServerResponse.text("no", { status: 413 })))
      yield* start(listener.close({ lameDuck: "30 seconds", deadline: "5 seconds" }))
      yield* until("the lame duck has begun", () => !Effect.runSync(listener.readiness))
      const peer = yield* Hostile.connect(port, Http2Frames.begin)
      yield* peer.until((text) => text.length >= 9)
      const part = Http2Frames.frame(0, 0, 1, Buffer.alloc(16_000))
      for (const frame of [Http2Frames.post(1), part, part]) peer.socket.write(frame)
      const frames = () => Http2Frames.framesOf(peer.bytes()).filter(({ stream, type }) => stream === 1 && type !== 8)
      yield* until("it is reset", () => frames().some(({ type }) => type === 3))
      const [reset, end] = [
        frames().findIndex(({ type }) => type === 3),
        frames().findIndex(({ flags, type }) => type < 2 && (flags & 1) === 1)
      ]
      assert.isAtLeast(end, 0)
      assert.isBelow(end, reset)
    }).pipe(Effect.scoped, quiet))
})

describe("a server of one's own", () => {
  const app = HttpRouter.serve(HttpRouter.add("GET", "/", ok), { disableLogger: true, disableListenLog: true })
  const address = { host: "127.0.0.1", port: 0 }
  /** The port of one. */
  const life = (server: () => Http.Server | Http2.Http2Server) =>
    Effect.map(
      Layer.build(Layer.provideMerge(app, NodeHttp.layer(server, address))),
      (services) => portOf(Context.get(services, HttpServer).address)
    )

  it.live("has as many lives as it is given, and is left as it was", () =>
    Effect.gen(function*() {
      const server = Http.createServer()
      const listeners = () => server.eventNames().map((event) => [String(event), server.listenerCount(event)])
      const hostRequired = (): unknown => Reflect.get(server, "requireHostHeader")
      const before = [listeners(), hostRequired()]
      for (let i = 0; i < 3; i++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const peer = yield* HttpPeer.connect(yield* life(() => server))
          assert.strictEqual((yield* peer.get("/")).body, "ok")
        }))
        assert.deepStrictEqual([listeners(), hostRequired()], before)
      }
    }).pipe(quiet))

  it.live("has one life at a time", () =>
    Effect.gen(function*() {
      const server = Http.createServer()
      yield* life(() => server)
      const second = yield* Effect.flip(life(() => server))
      assert.instanceOf(second, ServeError)
      assert.deepInclude(second.cause, { _tag: "InvalidArgument", parameter: "createServer" })
    }).pipe(quiet))

  it.live.each([
    ["an error", new Error("no key"), "no key"],
    ["what has no text", Object.create(null), "{}"]
  ])("fails the bind when making it throws %s", ([, thrown, detail]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(life(() => {
        throw thrown
      }))
      assert.instanceOf(error, ServeError)
      assert.deepInclude(error.cause, { _tag: "InvalidArgument", parameter: "createServer", detail })
    }).pipe(quiet))

  it.live("drops what its `maxConnections` does not let in, as it is at the time", () =>
    Effect.gen(function*() {
      const server = Http.createServer()
      let drops = 0
      server.on("drop", (data) => {
        drops++
        assert.strictEqual(data?.remoteAddress, "127.0.0.1")
      })
      server.maxConnections = 1
      const port = yield* life(() => server)
      const first = yield* HttpPeer.connect(port)
      assert.strictEqual((yield* first.get("/")).body, "ok")
      const second = yield* HttpPeer.connect(port)
      yield* second.ending
      assert.deepStrictEqual([drops, second.responses()], [1, 0])
      server.maxConnections = 2
      const third = yield* HttpPeer.connect(port)
      assert.strictEqual((yield* third.get("/")).body, "ok")
    }).pipe(quiet))

  it.live("decides itself what is no HTTP, where it listens for that", () =>
    Effect.gen(function*() {
      const server = Http.createServer()
      server.on("clientError", (_error, socket) =>
        socket.end("HTTP/1.1 418 Short and stout\r\nConnection: close\r\n\r\n"))
      const peer = yield* HttpPeer.connect(
        yield* life(() =>
          server
        )
      )
      yield* peer.send("nonsense\r\n\r\n")
      yield* peer.ending
      assert.strictEqual((yield* peer.response).status, 418)
    }).pipe(quiet))

  it.live.each(
    [
      ["http1", { http1: { maxHeaderSize: -1 } }],
      ["http2", { http2: { maxSessionInvalidFrames: -1 } }],
      ["http2.settings", { http2: { settings: { maxFrameSize: 1 } } }],
      ["maxPipelined", { maxPipelined: 0 }],
      ["timeouts.head", { timeouts: { head: 0 } }]
    ] as const
  )("fails with what cannot be used, if it is made here: %s", ([parameter, options]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(NodeHttp.layer({ ...address, ...options }))))
      assert.instanceOf(error, ServeError)
      const { cause } = error as { readonly cause: { readonly _tag: string; readonly parameter: string } }
      assert.strictEqual(cause._tag, "InvalidArgument")
      assert.include(cause.parameter, parameter)
    }).pipe(quiet))

  it.live("has a head limit within that of its request", () =>
    Effect.gen(function*() {
      const { port } = yield* HttpServing.app(Effect.succeed(ok), { http1: { requestTimeout: 9000 } })
      const peer = yield* HttpPeer.connect(port)
      assert.strictEqual((yield* peer.get("/")).status, 200)
    }).pipe(quiet))
})

describe("layerTest", () => {
  it.effect("is as fast as its client where the clock stands still", () =>
    Effect.gen(function*() {
      const took = yield* Effect.promise(async () => {
        const before = performance.now()
        const served = HttpRouter.serve(HttpRouter.add("GET", "/", ok), { disableLogger: true, disableListenLog: true })
        const test = Effect.gen(function*() {
          yield* Layer.build(served)
          const response = yield* (yield* HttpClient).get("/")
          assert.strictEqual(yield* response.text, "ok")
        })
        await Effect.runPromise(
          test.pipe(Effect.scoped, Effect.provide(NodeHttp.layerTest), Effect.provide(TestClock.layer()), quiet)
        )
        return performance.now() - before
      })
      assert.isBelow(took, 2000)
    }))
})

describe("a WebSocket by `upgrade`", () => {
  const webSocket = (handler: (socket: Socket.Socket) => Effect.Effect<unknown, Socket.SocketError, never>) =>
    HttpRouter.add(
      "GET",
      "/ws",
      Effect.gen(function*() {
        const socket = yield* (yield* HttpServerRequest.HttpServerRequest).upgrade
        yield* handler(socket)
        return HttpServerResponse.empty()
      }).pipe(Effect.catchTag("SocketError", () => Effect.succeed(HttpServerResponse.empty())))
    )
  const open = (port: number) => WebSocketClient.connect(`ws://127.0.0.1:${port}/ws`)

  it.live("holds back a handler whose client does not read", () =>
    Effect.gen(function*() {
      let written = 0
      const { listener, port } = yield* HttpServing.routes(webSocket((socket) =>
        Effect.gen(function*() {
          yield* socket.reader
          const { write } = yield* socket.writer
          const chunk = new Uint8Array(1 << 16)
          return yield* Effect.forever(Effect.andThen(write(chunk), Effect.sync(() => written++)))
        }).pipe(Effect.scoped)
      ))
      const peer = yield* Hostile.connect(port, WebSocketFrames.handshake, { deaf: true })
      let before = -1
      yield* until("it is held back", () => {
        const same = written === before
        before = written
        return same && written > 0
      })
      assert.isBelow(written, 1024)
      peer.socket.destroy()
      yield* until("it is over", () => Effect.runSync(listener.connections).length === 0)
    }).pipe(quiet))

  it.live.each([0, 1])(
    "ends a handler that only writes with its client, and not what it has taken: %s messages",
    (messages) =>
      Effect.gen(function*() {
        const seen = { begun: 0, ended: 0 }
        const { listener, port } = yield* HttpServing.routes(
          webSocket((socket) =>
            Effect.gen(function*() {
              const { pull } = yield* socket.reader
              for (let i = 0; i < messages; i++) yield* pull
              seen.begun++
              return yield* Effect.never
            }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => seen.ended++)))
          ),
          { drain: { deadline: 100 } }
        )
        const client = yield* open(port)
        for (let i = 0; i < messages; i++) yield* client.send("subscribe")
        yield* until("the handler waits", () => seen.begun === 1)
        client.socket.close(1000)
        assert.strictEqual((yield* client.closed).code, 1000)
        const ended = () => seen.ended === 1 && Effect.runSync(listener.connections).length === 0
        if (messages === 0) return yield* until("the handler has ended", ended)
        // what it has taken may take its time
        yield* Effect.sleep(50)
        assert.strictEqual(seen.ended, 0)
      }).pipe(Effect.scoped, quiet)
  )
})

describe("a SocketServer of WebSockets", () => {
  it.live("shakes hands before it runs, and gives its handler what came meanwhile", () =>
    Effect.gen(function*() {
      const layer = NodeWebSocket.layerSocketServer({ host: "127.0.0.1", port: 0, idle: "pull" })
      const services = yield* Layer.build(layer)
      const server = Context.get(services, SocketServer.SocketServer)
      const { port } = yield* Effect.map(Context.get(services, Listener).address, (address) =>
        address as { readonly port: number })
      const [client, leaving] = [
        yield* WebSocketClient.connect(`ws://127.0.0.1:${port}`),
        yield* WebSocketClient.connect(`ws://127.0.0.1:${port}`)
      ]
      yield* client.send("early")
      leaving.socket.terminate()
      const run = yield* start(server.run(Effect.fnUntraced(function*(socket) {
        const { pull } = yield* socket.reader
        const { writeAll } = yield* socket.writer
        return yield* Effect.forever(Effect.flatMap(pull, writeAll))
      }, Effect.scoped)))
      assert.strictEqual(yield* client.message, "early")
      yield* Fiber.interrupt(run)
      const late = yield* WebSocketClient.connect(`ws://127.0.0.1:${port}`)
      yield* Effect.forkChild(Context.get(services, Listener).close())
      assert.strictEqual((yield* late.closed).code, 1001)
    }).pipe(Effect.scoped, quiet))
})

describe("a server of one's own that its application closes", () => {
  it.live.each(
    [
      ["http", () => Http.createServer()],
      ["https", () => Https.createServer(pair)],
      ["HTTP/2", () => Http2.createSecureServer({ ...pair, allowHTTP1: true })]
    ] as const
  )("drains: %s", ([kind, createServer]) =>
    Effect.gen(function*() {
      const held = yield* makeHeld
      const server: Http.Server | Http2.Http2SecureServer = createServer()
      const { listener, port } = yield* HttpServing.given(() => server, held.app)
      const tls = kind !== "http"
      const busy = yield* HttpPeer.connect(port, { tls })
      yield* busy.send(HttpPeer.get("/"))
      yield* until("it is executed", () => held.seen.executed === 1)
      const closed = yield* start(Effect.callback<Error | undefined>((resume) => {
        server.close((error) => resume(Effect.succeed(error)))
      }))
      yield* listener.progress.pipe(Stream.takeUntil(({ stage }) => stage === "Draining"), Stream.runDrain)
      yield* held.release
      const { body, headers } = yield* busy.response
      assert.deepStrictEqual([body, headers["connection"]], ["ok", "close"])
      const report = yield* listener.closed
      assert.deepInclude(report, { reason: "server closed by the process", outcome: "Drained" })
      busy.socket.end()
      // when no connection is left, as Node's does
      assert.isUndefined(yield* Fiber.join(closed))
    }).pipe(quiet))
})
