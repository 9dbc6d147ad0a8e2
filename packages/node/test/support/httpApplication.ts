/**
 * An application that uses what Effect's HTTP server offers, for servers that
 * must behave alike.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpStaticServer from "effect/http/HttpStaticServer"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const lines = (text: string): Stream.Stream<Uint8Array> => Stream.encodeText(Stream.fromIterable(text.split(/(?<=\n)/)))

const echo = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  const body = yield* request.text
  const { "content-type": type, "x-name": name } = request.headers
  return HttpServerResponse.jsonUnsafe({
    method: request.method,
    url: request.url,
    body,
    type,
    name,
    cookies: request.cookies
  })
})

const multipart = Effect.gen(function*() {
  const fileSystem = yield* FileSystem.FileSystem
  const persisted = yield* HttpServerRequest.schemaBodyMultipart(Schema.Any)
  const parts = yield* Effect.forEach(
    Object.entries(persisted as Record<string, unknown>),
    ([name, value]) =>
      Effect.gen(function*() {
        if (!Array.isArray(value)) return [name, value]
        const files = yield* Effect.forEach(
          value as ReadonlyArray<{ readonly name: string; readonly contentType: string; readonly path: string }>,
          ({ contentType, name, path }) =>
            Effect.map(fileSystem.readFileString(path), (text) => [name, contentType, text])
        )
        return [name, files]
      })
  )
  return HttpServerResponse.jsonUnsafe(parts)
})

const webSocket = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  const socket = yield* request.upgrade
  const { pull } = yield* socket.reader
  const { writeAll } = yield* socket.writer
  return yield* Effect.forever(Effect.flatMap(pull, writeAll))
}).pipe(Effect.catchTag("SocketError", () => Effect.succeed(HttpServerResponse.empty())))

/** One that waits for ever, and one that tells how many of those were interrupted. */
const waiting = Layer.unwrap(Effect.sync(() => {
  let interrupted = 0
  const wait = Effect.onInterrupt(Effect.never, () =>
    Effect.sync(() => {
      interrupted++
    }))
  return Layer.mergeAll(
    HttpRouter.add("GET", "/wait", wait),
    HttpRouter.add("GET", "/interrupted", Effect.sync(() => HttpServerResponse.text(String(interrupted))))
  )
}))

const routes = Layer.mergeAll(
  waiting,
  HttpRouter.add("GET", "/text", HttpServerResponse.text("hello", { headers: { "x-custom": "yes" } })),
  HttpRouter.add("GET", "/html", HttpServerResponse.text("<p>hello</p>", { contentType: "text/html" })),
  HttpRouter.add("GET", "/json", HttpServerResponse.jsonUnsafe({ a: 1, b: ["ü"] })),
  HttpRouter.add("GET", "/user/:id", Effect.map(HttpRouter.params, (params) => HttpServerResponse.jsonUnsafe(params))),
  HttpRouter.add("GET", "/empty", HttpServerResponse.empty()),
  HttpRouter.add("GET", "/304", HttpServerResponse.empty({ status: 304, headers: { etag: "\"x\"" } })),
  HttpRouter.add("GET", "/205", HttpServerResponse.empty({ status: 205 })),
  HttpRouter.add("GET", "/redirect", HttpServerResponse.redirect("/text")),
  HttpRouter.add(
    "GET",
    "/cookies",
    Effect.orDie(
      HttpServerResponse.text("cookies").pipe(
        HttpServerResponse.setCookie("a", "1", { httpOnly: true }),
        Effect.flatMap(HttpServerResponse.setCookie("b", "2", { path: "/x" }))
      )
    )
  ),
  HttpRouter.add("GET", "/close", HttpServerResponse.text("bye", { headers: { connection: "close" } })),
  HttpRouter.add("GET", "/defect", Effect.die(new Error("as asked"))),
  HttpRouter.add("GET", "/status", HttpServerResponse.text("tea", { status: 418, statusText: "Short and stout" })),
  HttpRouter.add(
    "GET",
    "/stream",
    HttpServerResponse.stream(lines("one\ntwo\nthree\n"), { contentType: "text/plain" })
  ),
  HttpRouter.add(
    "GET",
    "/broken",
    HttpServerResponse.stream(
      Stream.concat(
        lines("one\n"),
        Stream.fromEffect(Effect.andThen(Effect.sleep(20), Effect.fail(new Error("as asked"))))
      ),
      {
        contentType: "text/plain"
      }
    )
  ),
  HttpRouter.add("GET", "/large", HttpServerResponse.uint8Array(new Uint8Array(3 << 20).fill(120))),
  HttpRouter.add("GET", "/long", HttpServerResponse.text("compress me ".repeat(500))),
  HttpRouter.add("*", "/echo", echo),
  HttpRouter.add("POST", "/multipart", multipart),
  HttpRouter.add("POST", "/ignore", HttpServerResponse.text("ignored")),
  HttpRouter.add("GET", "/ws", webSocket)
)

/** The routes, and the files of a directory. */
export const behaviour = (directory: string) =>
  Layer.mergeAll(
    routes,
    HttpStaticServer.layer({ root: directory, prefix: "/static", cacheControl: "max-age=60" }),
    HttpRouter.middleware(HttpMiddleware.compression({ algorithms: ["gzip"] }), { global: true }),
    HttpRouter.cors({ allowedOrigins: ["https://here.example"] })
  )
