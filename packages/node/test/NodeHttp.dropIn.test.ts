import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServer } from "effect/http/HttpServer"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Path from "node:path"
import * as Zlib from "node:zlib"
import { selfSigned } from "./support/certificates.ts"
import * as Http2Client from "./support/http2Client.ts"
import { behaviour } from "./support/httpApplication.ts"
import * as HttpPeer from "./support/httpPeer.ts"
import { folder, portOf, quiet } from "./support/listening.ts"
import * as Process from "./support/process.ts"
import * as WebSocketClient from "./support/webSocketClient.ts"

const options = { port: 0, host: "127.0.0.1" }

type Server = typeof effects

const effects = NodeHttpServer.layer(Http.createServer, options)

/** What must behave as Effect's own. */
const ours: Record<string, Server> = {
  "a server that is given": NodeHttp.layer(Http.createServer, options),
  "a server that is made": NodeHttp.layer(options),
  "a server that is made, without HTTP/2": NodeHttp.layer({ ...options, http2: false })
}

/** What a client sees: everything but the time. */
type Transcript = unknown

const seen = ({ body, length, lines, trailers }: HttpPeer.Response): Transcript => ({
  // names in any case and order are the same
  lines: lines.map((line) => line.replace(/^[\w-]+:/, (name) => name.toLowerCase())).filter((line) =>
    !line.startsWith("date:")
  ).sort(),
  body: length > 10_000 ? length : body,
  trailers
})

const asks = (text: string, responses = 1, peerOptions?: HttpPeer.Options) => (port: number) =>
  Effect.gen(function*() {
    const peer = yield* HttpPeer.connect(port, peerOptions)
    yield* peer.send(text)
    const all: Array<Transcript> = []
    while (all.length < responses) all.push(seen(yield* peer.response))
    return all
  })

/** The same, and how the connection ends. */
const asksToTheEnd = (text: string, responses = 1) => (port: number) =>
  Effect.gen(function*() {
    const peer = yield* HttpPeer.connect(port)
    yield* peer.send(text)
    const all: Array<Transcript> = []
    while (all.length < responses) all.push(seen(yield* peer.response))
    return [...all, yield* peer.rest]
  })

const post = (path: string, body: string, headers = "") =>
  `POST ${path} HTTP/1.1\r\nHost: test\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`

const parts = [
  "--edge\r\nContent-Disposition: form-data; name=\"field\"\r\n\r\nvalue\r\n",
  "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nin a file\r\n",
  "--edge--\r\n"
].join("")

const cases: Record<string, (port: number) => Effect.Effect<Transcript, Error, Scope.Scope>> = {
  text: asks(HttpPeer.get("/text")),
  html: asks(HttpPeer.get("/html")),
  json: asks(HttpPeer.get("/json")),
  "a path parameter": asks(HttpPeer.get("/user/42?x=1")),
  "a route that is not there": asks(HttpPeer.get("/nowhere")),
  "another method": asks("DELETE /text HTTP/1.1\r\nHost: test\r\n\r\n"),
  "204": asks(HttpPeer.get("/empty")),
  "205": asks(HttpPeer.get("/205")),
  "304": asks(HttpPeer.get("/304")),
  "a redirect": asks(HttpPeer.get("/redirect")),
  cookies: asks(HttpPeer.get("/cookies")),
  "a status of one's own": asks(HttpPeer.get("/status")),
  "a defect": asks(HttpPeer.get("/defect")),
  "a stream": asks(HttpPeer.get("/stream")),
  "a stream that breaks": (port) =>
    Effect.gen(function*() {
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(HttpPeer.get("/broken"))
      return [(yield* peer.head).status, (yield* peer.rest).partial]
    }),
  "a large body": asks(HttpPeer.get("/large")),
  "HEAD of a text": asks("HEAD /text HTTP/1.1\r\nHost: test\r\n\r\n", 1, { headOnly: true }),
  "HEAD of a stream": asks("HEAD /stream HTTP/1.1\r\nHost: test\r\n\r\n", 1, { headOnly: true }),
  "HEAD of a large body": asks("HEAD /large HTTP/1.1\r\nHost: test\r\n\r\n", 1, { headOnly: true }),
  "several on one connection": asks(HttpPeer.get("/text") + HttpPeer.get("/json") + HttpPeer.get("/empty"), 3),
  "a body": asks(post("/echo?q=1", "hello", "Content-Type: text/plain\r\nX-Name: n\r\nCookie: a=1; b=2\r\n")),
  "a chunked body": asks(
    "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
  ),
  "a body that is not read, and then another request": asks(
    post("/ignore", "x".repeat(1000)) + HttpPeer.get("/text"),
    2
  ),
  "100-continue": (port) =>
    Effect.gen(function*() {
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
      const interim = yield* peer.response
      yield* peer.send("hi")
      return [interim.lines, seen(yield* peer.response)]
    }),
  "100-continue, answered before": asksToTheEnd(
    "POST /ignore HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
  ),
  "a form of several parts": asks(post("/multipart", parts, "Content-Type: multipart/form-data; boundary=edge\r\n")),
  "a form that is none": asks(post("/multipart", "{}", "Content-Type: application/json\r\n")),
  "Connection: close, asked for": asksToTheEnd(HttpPeer.get("/text", "Connection: close\r\n")),
  "Connection: close, answered": asksToTheEnd(HttpPeer.get("/close")),
  "HTTP/1.0": asksToTheEnd("GET /text HTTP/1.0\r\n\r\n"),
  "HTTP/1.0 with keep-alive": asks("GET /text HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
  "no host": asksToTheEnd("GET /text HTTP/1.1\r\n\r\n"),
  "an absolute target": asks("GET http://other.example/echo HTTP/1.1\r\nHost: test\r\n\r\n"),
  "what is no HTTP": asksToTheEnd("hello there\r\n\r\n"),
  "a WebSocket": (port) =>
    Effect.gen(function*() {
      const client = yield* WebSocketClient.connect(`ws://127.0.0.1:${port}/ws`)
      yield* client.send("hello")
      const first = yield* client.message
      client.socket.close(1000)
      return [first, yield* client.closed]
    }),
  "the head of a WebSocket": (port) =>
    Effect.gen(function*() {
      const peer = yield* HttpPeer.connect(port)
      yield* peer.send(WebSocketClient.upgrade("/ws"))
      return seen(yield* peer.response)
    }),
  ...Object.fromEntries((["end", "destroy", "resetAndDestroy"] as const).map((leave) => [
    `a client that leaves by ${leave}`,
    (port: number) =>
      Effect.gen(function*() {
        const [leaving, watching] = [yield* HttpPeer.connect(port), yield* HttpPeer.connect(port)]
        yield* leaving.sendAll(HttpPeer.get("/wait"))
        yield* watching.get("/text")
        leaving.socket[leave]()
        let body = "0"
        while (body === "0") body = (yield* Effect.andThen(Effect.sleep(5), watching.get("/interrupted"))).body
        return body
      })
  ])),
  "a compressed answer": (port) =>
    Effect.promise(() =>
      new Promise((resolve) => {
        Http.get({ port, host: "127.0.0.1", path: "/long", headers: { "accept-encoding": "gzip" } }, (response) => {
          const chunks: Array<Buffer> = []
          response.on("data", (chunk: Buffer) => chunks.push(chunk))
          response.on("end", () => {
            const { date: _, ...headers } = response.headers
            resolve([headers, Zlib.gunzipSync(Buffer.concat(chunks)).toString()])
          })
        })
      })
    ),
  "a file": asks(HttpPeer.get("/static/a.txt")),
  "a file, as it is in the cache": (port) =>
    Effect.gen(function*() {
      const peer = yield* HttpPeer.connect(port)
      const { headers } = yield* peer.get("/static/a.txt")
      yield* peer.send(HttpPeer.get("/static/a.txt", `If-None-Match: ${headers["etag"]}\r\n`))
      return seen(yield* peer.response)
    }),
  "a part of a file": asks(HttpPeer.get("/static/a.txt", "Range: bytes=2-4\r\n")),
  "a file that is not there": asks(HttpPeer.get("/static/b.txt")),
  "CORS, asked before": asks(
    "OPTIONS /json HTTP/1.1\r\nHost: test\r\nOrigin: https://here.example\r\nAccess-Control-Request-Method: GET\r\n\r\n"
  ),
  CORS: asks(HttpPeer.get("/json", "Origin: https://here.example\r\n"))
}

/** One directory of files for all servers: their times are part of what is seen. */
const served = (server: Server, directory: string) =>
  Effect.gen(function*() {
    const app = HttpRouter.serve(behaviour(directory), { disableLogger: true, disableListenLog: true })
    const services = yield* Layer.build(Layer.provideMerge(app, server))
    return portOf(Context.get(services, HttpServer).address)
  })

const files = Effect.tap(
  folder(),
  (directory) => Effect.sync(() => Fs.writeFileSync(Path.join(directory, "a.txt"), "0123456789"))
)

/** Defects that are asked for need no log. */
const silent = Effect.provideService(References.MinimumLogLevel, "None")

describe("behaves as NodeHttpServer.layer", () => {
  describe.each(Object.entries(ours))("%s", (_which, server) => {
    it.live.each(Object.entries(cases))("%s", ([, exchange]) =>
      Effect.gen(function*() {
        const directory = yield* files
        const [theirPort, ourPort] = [yield* served(effects, directory), yield* served(server, directory)]
        assert.deepStrictEqual(yield* exchange(ourPort), yield* exchange(theirPort))
      }).pipe(silent))
  })

  it.live.each(["/text", "/json", "/empty", "/304", "/stream", "/large", "/nowhere", "/cookies", "/defect"])(
    "over HTTP/2: %s",
    (path) =>
      Effect.gen(function*() {
        const pair = selfSigned()
        const make = () => Http2.createSecureServer({ ...pair, allowHTTP1: true })
        const directory = yield* files
        const answer = (server: Server) =>
          Effect.gen(function*() {
            const client = yield* Http2Client.connect(yield* served(server, directory), { tls: true })
            const { headers, ...rest } = yield* client.get(path)
            const { date: _, ...others } = headers
            return { ...rest, headers: { ...others } }
          })
        const theirs = yield* answer(NodeHttpServer.layer(make, options))
        assert.deepStrictEqual(yield* answer(NodeHttp.layer(make, options)), theirs)
        assert.deepStrictEqual(yield* answer(NodeHttp.layer({ ...options, tls: pair })), theirs)
      }).pipe(silent)
  )
})

describe("differs from NodeHttpServer.layer, because it is meant to", () => {
  const both = { theirs: effects, ours: NodeHttp.layer(Http.createServer, options) }

  it.live.each([
    HttpPeer.get("/text", "Connection: Upgrade\r\nUpgrade: chat\r\n"),
    HttpPeer.get("/text", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
    post("/echo", "hello", "Connection: Upgrade\r\nUpgrade: chat\r\n"),
    WebSocketClient.upgrade("/echo").replace("GET", "POST"),
    WebSocketClient.upgrade("/text").replace("HTTP/1.1", "HTTP/1.0").replace("\r\n", "\r\nConnection: keep-alive\r\n"),
    WebSocketClient.upgrade("/echo").replace("\r\n", "\r\nContent-Length: 2\r\n") + "hi"
  ])("an offer of an upgrade that is not taken is as if it were not there: %j", (request) =>
    Effect.gen(function*() {
      const directory = yield* files
      const peer = yield* HttpPeer.connect(yield* served(both.ours, directory))
      for (let i = 0; i < 3; i++) {
        yield* peer.send(request)
        const { headers, status } = yield* peer.response
        assert.deepStrictEqual([status, headers["connection"]], [200, "keep-alive"])
      }
    }).pipe(silent))

  it.live("a WebSocket that is refused is told that its connection ends", () =>
    Effect.gen(function*() {
      const directory = yield* files
      const connection = (server: Server) =>
        Effect.gen(function*() {
          const peer = yield* HttpPeer.connect(yield* served(server, directory))
          yield* peer.send(WebSocketClient.upgrade("/nowhere"))
          const { headers, status } = yield* peer.response
          return [status, headers["connection"], yield* peer.ending]
        })
      assert.deepStrictEqual(yield* connection(both.theirs), [404, "keep-alive", "FIN"])
      assert.deepStrictEqual(yield* connection(both.ours), [404, "close", "FIN"])
    }).pipe(silent))

  it.live("an early answer reaches a client that uploads for a second and reads afterwards", () =>
    Effect.gen(function*() {
      const directory = yield* files
      const answer = (server: Server) =>
        Effect.gen(function*() {
          const peer = yield* HttpPeer.connect(yield* served(server, directory))
          yield* peer.pause
          yield* peer.send("POST /ignore HTTP/1.1\r\nHost: test\r\nContent-Length: 8388608\r\n\r\n")
          const part = Buffer.alloc(1 << 19)
          const sent = yield* Effect.result(Effect.forEach(
            Array.from({ length: 16 }),
            () => Effect.andThen(peer.sendAll(part), Effect.sleep(70)),
            { discard: true }
          ))
          yield* peer.resume
          const response = yield* Effect.result(peer.response)
          return sent._tag === "Success" && response._tag === "Success"
        })
      assert.deepStrictEqual([yield* answer(both.theirs), yield* answer(both.ours)], [false, true])
    }).pipe(silent))

  it.live("a request in flight when its scope closes is told that it was the last", () =>
    Effect.gen(function*() {
      const answer = (server: Server) =>
        Effect.gen(function*() {
          const [begun, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const held = Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(gate))
          const route = HttpRouter.add("GET", "/", Effect.as(held, HttpServerResponse.text("held")))
          const app = HttpRouter.serve(route, { disableLogger: true, disableListenLog: true })
          const scope = yield* Scope.make()
          const services = yield* Scope.provide(Layer.build(Layer.provideMerge(app, server)), scope)
          const port = portOf(Context.get(services, HttpServer).address)
          const peer = yield* HttpPeer.connect(port)
          yield* peer.send(HttpPeer.get("/"))
          yield* Deferred.await(begun)
          yield* Effect.forkScoped(Scope.close(scope, Exit.void))
          // nothing else tells of either that its close has begun
          yield* Effect.repeat(Effect.exit(Effect.scoped(HttpPeer.connect(port))), { until: Exit.isFailure })
          yield* Deferred.succeed(gate, undefined)
          return (yield* peer.response).headers["connection"]
        })
      assert.deepStrictEqual([yield* answer(both.theirs), yield* answer(both.ours)], ["keep-alive", "close"])
    }).pipe(silent))
})

describe("takes its place with only the import changed", () => {
  // each of these lines is an error of the compiler when a program would not compile any more
  const asTheirs: Pick<typeof NodeHttpServer, "layer" | "layerConfig" | "layerServer" | "layerTest" | "make"> = NodeHttp

  it.live.each([["NodeHttpServer", NodeHttpServer], ["NodeHttp", asTheirs]] as const)(
    "layerTest of %s",
    ([, { layerTest }]) =>
      Effect.gen(function*() {
        const route = HttpRouter.add("GET", "/", HttpServerResponse.text("hello"))
        yield* Layer.build(HttpRouter.serve(route, { disableLogger: true, disableListenLog: true }))
        const response = yield* HttpClient.get("/")
        assert.strictEqual(yield* response.text, "hello")
      }).pipe(Effect.provide(layerTest), quiet)
  )

  it.live.each([["NodeHttpServer", NodeHttpServer], ["NodeHttp", asTheirs]] as const)(
    "layerConfig of %s",
    ([, { layerConfig }]) =>
      Effect.gen(function*() {
        const server = layerConfig(Http.createServer, {
          port: Config.Int("HTTP_PORT"),
          host: Config.String("HTTP_HOST"),
          gracefulShutdownTimeout: Config.Duration("GRACE").pipe(Config.withDefault(undefined))
        })
        const app = HttpRouter.serve(HttpRouter.add("GET", "/", HttpServerResponse.text("hello")), {
          disableLogger: true,
          disableListenLog: true
        })
        const services = yield* Layer.build(Layer.provideMerge(app, server))
        assert.strictEqual(
          (yield* (yield* HttpPeer.connect(portOf(Context.get(services, HttpServer).address))).get("/")).body,
          "hello"
        )
      }).pipe(
        Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ HTTP_PORT: "0", HTTP_HOST: "127.0.0.1" }))),
        quiet
      )
  )

  it.live.each(["@effect/platform-node/NodeHttpServer", "@effect-listener/node/NodeHttp"])(
    "a program that imports %s",
    (module) =>
      Effect.gen(function*() {
        const program = new URL("./programs/dropIn.ts", import.meta.url)
        const text = Fs.readFileSync(program, "utf8")
        const before = "@effect/platform-node/NodeHttpServer"
        assert.strictEqual(text.split(before).length, 2)
        const copy = new URL(
          `./programs/dropIn.${module.includes("listener") ? "ours" : "theirs"}.generated.ts`,
          import.meta.url
        )
        yield* Effect.acquireRelease(
          Effect.sync(() => Fs.writeFileSync(copy, text.replace(before, module))),
          () => Effect.sync(() => Fs.rmSync(copy))
        )
        const server = yield* Process.start(copy)
        const peer = yield* HttpPeer.connect(yield* server.port)
        assert.strictEqual((yield* peer.get("/")).body, "hello")
        yield* server.signal("SIGTERM")
        assert.strictEqual((yield* server.exit).code, 130)
      }).pipe(quiet)
  )
})
