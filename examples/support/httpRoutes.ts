/**
 * The routes of the HTTP examples: small ones to look at, and awkward ones to
 * close a server on.
 */
import * as Listener from "@effect-listener/core/Listener"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const Count = Schema.NumberFromString.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(0))

/** Whole numbers of the query, or a 400. */
const query = <const Names extends ReadonlyArray<string>, E, R>(
  names: Names,
  answer: (
    numbers: { readonly [Name in Names[number]]: number }
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) =>
  HttpServerRequest.schemaSearchParams(
    Schema.Struct(Object.fromEntries(names.map((name) => [name, Count])))
  ).pipe(
    Effect.matchEffect({
      onFailure: () =>
        Effect.succeed(HttpServerResponse.text(`expected whole numbers: ${names.join(", ")}`, { status: 400 })),
      // the schema has exactly these names
      onSuccess: (numbers) => answer(numbers as { readonly [Name in Names[number]]: number })
    })
  )

const ok = HttpServerResponse.text("ok")

/** Answers late. */
const slow = query(["ms"], ({ ms }) => Effect.as(Effect.sleep(ms), HttpServerResponse.text("done")))

/** One body of n bytes. */
const bytes = query(["n"], ({ n }) => Effect.sync(() => HttpServerResponse.uint8Array(new Uint8Array(n).fill(120))))

/** A body in chunks, each after a while. */
const stream = query(["chunks", "ms"], ({ chunks, ms }) =>
  Effect.succeed(HttpServerResponse.stream(
    Stream.range(1, chunks).pipe(
      Stream.mapEffect((chunk) => Effect.as(Effect.sleep(ms), `chunk ${chunk}\n`)),
      Stream.encodeText
    ),
    { contentType: "text/plain" }
  )))

/** Holds the event loop: nothing else happens in this process meanwhile, and stderr says so before. */
const block = query(["ms"], ({ ms }) =>
  Effect.sync(() => {
    process.stderr.write(`blocking for ${ms} ms\n`)
    const end = performance.now() + ms
    while (performance.now() < end);
    return HttpServerResponse.text("blocked")
  }))

/** Reads a body and counts it. */
const echo = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  const length = yield* Stream.runFold(request.stream, () => 0, (sum, chunk) => sum + chunk.length)
  return HttpServerResponse.text(String(length))
})

/** Answers before it has read anything. */
const reject = HttpServerResponse.text("too large", { status: 413 })

/** A WebSocket that says what it hears. */
const webSocket = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  const socket = yield* request.upgrade
  const { pull } = yield* socket.reader
  const { writeAll } = yield* socket.writer
  return yield* Effect.forever(Effect.flatMap(pull, writeAll))
}).pipe(Effect.catchTag("SocketError", () => Effect.succeed(HttpServerResponse.empty())))

/** Whether new work should be sent here: no longer, once a close has begun. */
const readyz = Effect.map(
  Effect.flatMap(Listener.Listener, (listener) => listener.readiness),
  (ready) => ready ? ok : HttpServerResponse.text("closing", { status: 503 })
)

export const routes = Layer.mergeAll(
  HttpRouter.add("GET", "/", ok),
  HttpRouter.add("GET", "/slow", slow),
  HttpRouter.add("GET", "/bytes", bytes),
  HttpRouter.add("GET", "/stream", stream),
  HttpRouter.add("GET", "/never", Effect.never),
  HttpRouter.add("GET", "/block", block),
  HttpRouter.add("POST", "/echo", echo),
  HttpRouter.add("POST", "/reject", reject),
  HttpRouter.add("GET", "/ws", webSocket),
  HttpRouter.add("GET", "/livez", ok),
  HttpRouter.add("GET", "/readyz", readyz)
)
