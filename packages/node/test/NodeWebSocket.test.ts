import * as Connection from "@effect-listener/core/Connection"
import { Listener } from "@effect-listener/core/Listener"
import * as NodeWebSocket from "@effect-listener/node/NodeWebSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Socket from "effect/socket/Socket"
import * as SocketServer from "effect/socket/SocketServer"
import { selfSigned } from "./support/certificates.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import * as HttpServing from "./support/httpServing.ts"
import { many, quiet, start, tagOf, until, untilStage } from "./support/listening.ts"
import * as WebSocketClient from "./support/webSocketClient.ts"

const connections = ({ listener }: HttpServing.Serving) => Effect.runSync(listener.connections)

/** Echoes; a message that begins with "held" waits for this. */
const makeEcho = (gate: Effect.Effect<void>) =>
  Effect.fnUntraced(function*(socket: Socket.Socket) {
    const pull = yield* Socket.readerString(socket)
    const { write } = yield* socket.writer
    while (true) {
      for (const message of yield* pull) {
        if (message.startsWith("held")) yield* gate
        yield* write(message)
      }
    }
  })

const echo = makeEcho(Effect.void)

/** The same by Effect's own upgrade, on a route below a prefix: its request is a modified one. */
const byEffect = (handler: typeof echo) =>
  HttpRouter.add(
    "GET",
    "/effect",
    Effect.gen(function*() {
      const request = yield* HttpServerRequest.HttpServerRequest
      return yield* Effect.scoped(handler(yield* request.modify({ url: "/elsewhere" }).upgrade))
    }).pipe(Effect.catchTag("SocketError", () => Effect.succeed(HttpServerResponse.empty())))
  )

const ours = (handler: typeof echo) => NodeWebSocket.route("/ours", handler)

describe.each(
  [["/effect", false], ["/ours", false], ["/effect", true], ["/ours", true]] as const
)("a WebSocket of %s, TLS %s, in a drain", (path, tls) => {
  const serveBy = (handler: typeof echo) =>
    HttpServing.routes(Layer.merge(byEffect(handler), ours(handler)), tls ? { tls: selfSigned() } : {})
  const serve = serveBy(echo)
  const connect = ({ port }: HttpServing.Serving) =>
    WebSocketClient.connect(`${tls ? "wss" : "ws"}://127.0.0.1:${port}${path}`)

  it.live("is told 1001 when it is idle, and its connection is still the same one", () =>
    Effect.gen(function*() {
      const serving = yield* serve
      const client = yield* connect(serving)
      yield* client.send("hello")
      assert.strictEqual(yield* client.message, "hello")
      assert.deepStrictEqual(
        connections(serving).map(({ exchanges, phase, protocol }) => [phase, protocol, exchanges]),
        [["Upgraded", "websocket", []]]
      )
      const report = yield* serving.listener.close()
      assert.deepStrictEqual(yield* client.closed, { code: 1001, messages: [] })
      assert.deepInclude(report.connections, { total: 1, idle: 1 })
      assert.isBelow(report.duration, 2000)
    }).pipe(quiet))

  it.live("has its message answered first", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const serving = yield* serveBy(makeEcho(Deferred.await(gate)))
      const client = yield* connect(serving)
      yield* client.send("held")
      yield* until("it is being handled", () => connections(serving)[0]?.exchanges[0]?.label === `GET ${path}`)
      const closing = yield* start(serving.listener.close())
      yield* untilStage(serving.listener, "Draining")
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* client.closed, { code: 1001, messages: ["held"] })
      assert.deepInclude((yield* Fiber.join(closing)).connections, { total: 1, drained: 1 })
    }).pipe(quiet))

  it.live("is not heard any more after its goodbye", () =>
    Effect.gen(function*() {
      const serving = yield* serve
      const peer = yield* HttpPeer.connect(serving.port, { tls })
      yield* peer.send(WebSocketClient.upgrade(path))
      yield* peer.head
      const before = peer.socket.bytesRead
      const closing = yield* start(serving.listener.close())
      yield* until("the goodbye has come", () => peer.socket.bytesRead > before)
      // "hi", and then the answer to the goodbye: 1001
      yield* peer.send(Buffer.from("81820000000068698882000000" + "0003e9", "hex"))
      assert.strictEqual(yield* peer.ending, "FIN")
      const { connections, refused } = yield* Fiber.join(closing)
      assert.deepStrictEqual([connections.idle, refused], [1, 1])
      assert.strictEqual(peer.socket.bytesRead, before + 4 + "going away".length)
    }).pipe(quiet))

  it.live("that never answers its goodbye is cut after two seconds, however many there are", () =>
    Effect.gen(function*() {
      const serving = yield* serve
      const silent = yield* many(20, HttpPeer.connect(serving.port, { tls }))
      for (const peer of silent) {
        yield* peer.send(WebSocketClient.upgrade(path))
        assert.strictEqual((yield* peer.head).status, 101)
      }
      const { connections, duration, outcome } = yield* serving.listener.close()
      assert.strictEqual(outcome, "Drained")
      assert.deepInclude(connections, { total: 20, idle: 20 })
      assert.isAtLeast(duration, 1990)
      assert.isBelow(duration, 4000)
    }).pipe(quiet))
})

describe("a WebSocket", () => {
  const at = ({ port }: HttpServing.Serving, path = "/") => `ws://127.0.0.1:${port}${path}`
  const serve = (
    handler: (socket: Socket.Socket) => Effect.Effect<unknown, Socket.SocketError, never>,
    options?: NodeWebSocket.Options
  ) => HttpServing.routes(NodeWebSocket.route("/", handler, options))

  it.live("with a message that is too long is closed with 1009, and others go on", () =>
    Effect.gen(function*() {
      const serving = yield* serve((socket) => Effect.scoped(echo(socket)), { maxMessageSize: 1000 })
      const [long, short] = [yield* WebSocketClient.connect(at(serving)), yield* WebSocketClient.connect(at(serving))]
      yield* long.send("x".repeat(1001))
      yield* short.send("x".repeat(1000))
      assert.strictEqual((yield* long.closed).code, 1009)
      assert.strictEqual((yield* short.message).length, 1000)
    }).pipe(quiet))

  it.live("whose handler does not read is not read", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const serving = yield* serve((socket) =>
        Effect.scoped(Effect.gen(function*() {
          const { pull } = yield* socket.reader
          yield* Deferred.await(gate)
          return yield* Effect.forever(pull)
        }))
      )
      const client = yield* WebSocketClient.connect(at(serving))
      const part = Buffer.alloc(64 * 1024)
      for (let sent = 0; sent < 512; sent++) client.socket.send(part)
      yield* until("nothing moves any more", () => client.socket.bufferedAmount > 8 << 20)
      yield* Effect.sleep(200)
      assert.isBelow(connections(serving)[0]!.bytesIn, 16 << 20)
      yield* Deferred.succeed(gate, undefined)
      yield* until("all is read", () => connections(serving)[0]!.bytesIn > 32 << 20)
    }).pipe(quiet))

  it.live("whose handler does not read answers a goodbye all the same, and drops what has come", () =>
    Effect.gen(function*() {
      const serving = yield* serve((socket) => Effect.scoped(Effect.andThen(socket.reader, Effect.never)))
      const client = yield* WebSocketClient.connect(at(serving))
      for (let sent = 0; sent < 32; sent++) client.socket.send(Buffer.alloc(64 * 1024))
      yield* until("nothing is read any more", () => client.socket.bufferedAmount === 0)
      const { connections, duration } = yield* serving.listener.close()
      assert.strictEqual((yield* client.closed).code, 1001)
      assert.deepInclude(connections, { total: 1, idle: 1 })
      assert.isBelow(duration, 2000)
    }).pipe(quiet))

  it.live("whose client does not read is not written to", () =>
    Effect.gen(function*() {
      let written = 0
      const part = new Uint8Array(64 * 1024)
      const serving = yield* serve((socket) =>
        Effect.scoped(Effect.gen(function*() {
          yield* socket.reader
          const { write } = yield* socket.writer
          for (; written < 512; written++) yield* write(part)
        }))
      )
      const client = yield* WebSocketClient.connect(at(serving))
      client.socket.pause()
      yield* Effect.sleep(300)
      assert.isBelow(written, 400)
      client.socket.resume()
      yield* until("all is written", () => written === 512)
      assert.strictEqual((yield* client.closed).messages.length, 512)
    }).pipe(quiet))

  it.live("is pinged, and cut when it does not answer", () =>
    Effect.gen(function*() {
      const serving = yield* serve((socket) => Effect.scoped(echo(socket)), { ping: 150 })
      const alive = yield* WebSocketClient.connect(at(serving))
      const dead = yield* WebSocketClient.connect(at(serving), { autoPong: false })
      assert.strictEqual((yield* dead.closed).code, 1006)
      yield* Effect.sleep(300)
      yield* alive.send("still here")
      assert.strictEqual(yield* alive.message, "still here")
    }).pipe(quiet))

  it.live("is closed with 1000 when its handler ends, and with 1011 when it fails", () =>
    Effect.gen(function*() {
      const serving = yield* serve((socket) =>
        Effect.scoped(Effect.gen(function*() {
          const pull = yield* Socket.readerString(socket)
          if ((yield* pull)[0] === "fail") return yield* Effect.die("as asked")
        }))
      )
      for (const [message, code] of [["end", 1000], ["fail", 1011]] as const) {
        const client = yield* WebSocketClient.connect(at(serving))
        yield* client.send(message)
        assert.strictEqual((yield* client.closed).code, code)
      }
    }).pipe(quiet))

  it.live("needs an upgrade, a server of NodeHttp, and options that can be", () =>
    Effect.gen(function*() {
      const serving = yield* serve((socket) => Effect.scoped(echo(socket)))
      const peer = yield* HttpPeer.connect(serving.port)
      assert.strictEqual((yield* peer.get("/")).status, 400)
      const other = HttpServerRequest.fromWeb(new Request("http://test/"))
      const error = yield* Effect.flip(
        Effect.provideService(NodeWebSocket.upgrade(), HttpServerRequest.HttpServerRequest, other)
      )
      assert.strictEqual(error.reason._tag, "InternalError")
      const bad = yield* serve((socket) => Effect.scoped(echo(socket)), { maxMessageSize: 0 })
      assert.strictEqual((yield* Effect.flip(WebSocketClient.connect(at(bad)))).message, "500")
    }).pipe(quiet))
})

describe("a SocketServer of WebSockets", () => {
  const serve = <E>(
    handler: (socket: Socket.Socket) => Effect.Effect<unknown, E, NodeSocketServer.IncomingMessage>,
    options: Partial<NodeWebSocket.SocketServerOptions> = {}
  ) =>
    Effect.gen(function*() {
      const services = yield* Layer.build(
        NodeWebSocket.layerSocketServer({ host: "127.0.0.1", port: 0, ...options })
      )
      const server = Context.get(services, SocketServer.SocketServer)
      const { address } = server
      // the server brings what it promises
      const run = server.run(handler) as Effect.Effect<never, SocketServer.SocketServerError>
      const running = yield* Effect.forkScoped(run, { startImmediately: true })
      return {
        listener: Context.get(services, Listener),
        port: NetAddress.isInetAddress(address) ? address.port : 0,
        running
      }
    })
  const url = (port: number, path = "/") => `ws://127.0.0.1:${port}${path}`

  it.live("serves with everything a handler is promised", () =>
    Effect.gen(function*() {
      const { listener, port } = yield* serve((socket) =>
        Effect.gen(function*() {
          const { url } = yield* NodeSocketServer.IncomingMessage
          const connection = yield* Connection.CurrentConnection
          const { write } = yield* socket.writer
          yield* socket.reader
          yield* write(`${url} ${Option.isSome(connection)}`)
        }).pipe(Effect.scoped)
      )
      const client = yield* WebSocketClient.connect(url(port, "/who?x=1"))
      assert.deepStrictEqual(yield* client.closed, { code: 1000, messages: ["/who?x=1 true"] })
      assert.strictEqual((yield* listener.close()).outcome, "Drained")
    }).pipe(quiet))

  it.live.each(["handler", "pull"] as const)("idle %s: what a drain waits for", (idle) =>
    Effect.gen(function*() {
      const handler = (socket: Socket.Socket) =>
        Effect.gen(function*() {
          const connection = Option.getOrThrow(yield* Connection.CurrentConnection)
          yield* Effect.raceFirst(
            echo(socket),
            Effect.andThen(connection.draining, Effect.sleep(idle === "handler" ? 500 : 60_000))
          )
        }).pipe(Effect.scoped)
      const { listener, port } = yield* serve(handler, { idle })
      const client = yield* WebSocketClient.connect(url(port))
      yield* client.send("hello")
      assert.strictEqual(yield* client.message, "hello")
      const report = yield* listener.close()
      assert.strictEqual((yield* client.closed).code, idle === "handler" ? 1000 : 1001)
      assert.deepInclude(report.connections, idle === "handler" ? { drained: 1 } : { idle: 1 })
    }).pipe(quiet))

  it.live("ends those that wait for a run with 1001, as soon as they answer, and drops what they have sent", () =>
    Effect.gen(function*() {
      const { listener, port, running } = yield* serve((socket) => Effect.scoped(echo(socket)))
      yield* Fiber.interrupt(running)
      const client = yield* WebSocketClient.connect(url(port))
      const [{ bytesIn }] = yield* Effect.map(listener.connections, (all) => [all[0]!] as const)
      yield* client.send("is there anybody")
      const { connections, duration, refused } = yield* listener.close()
      assert.deepStrictEqual(yield* client.closed, { code: 1001, messages: [] })
      assert.deepInclude(connections, { total: 1, idle: 1 })
      assert.isAbove(bytesIn, 0)
      assert.strictEqual(refused, 1)
      // what one that does not answer has
      assert.isBelow(duration, 2000)
    }).pipe(quiet))

  it.live("ends one whose handler has never read as soon as the client answers", () =>
    Effect.gen(function*() {
      const { port } = yield* serve(() => Effect.void)
      const began = performance.now()
      const client = yield* WebSocketClient.connect(url(port))
      yield* client.send("is there anybody")
      assert.strictEqual((yield* client.closed).code, 1000)
      // what `ws` gives one that does not answer is half a minute
      assert.isBelow(performance.now() - began, 10_000)
    }).pipe(quiet))

  it.live("answers what is no upgrade, and another path, as it should", () =>
    Effect.gen(function*() {
      const { port } = yield* serve((socket) => Effect.scoped(echo(socket)), { webSocketPath: "/chat" })
      const peer = yield* HttpPeer.connect(port)
      assert.strictEqual((yield* peer.get("/chat")).status, 426)
      assert.strictEqual((yield* Effect.flip(WebSocketClient.connect(url(port, "/other")))).message, "404")
      yield* WebSocketClient.connect(url(port, "/chat?room=1"))
    }).pipe(quiet))

  it.live("fails its run when the listener is aborted, and its layer when an option cannot be", () =>
    Effect.gen(function*() {
      const { listener, running } = yield* serve((socket) => Effect.scoped(echo(socket)))
      yield* listener.abort
      assert.strictEqual(yield* tagOf(Fiber.join(running)), "SocketServerError")
      const layer = NodeWebSocket.layerSocketServer({ port: 0, maxMessageSize: -1 })
      assert.strictEqual(yield* tagOf(Layer.build(layer)), "SocketServerError")
    }).pipe(quiet))
})
