import { Effect } from "effect"
import { HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"

const greeting = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
  const name = new URL(request.url, "http://localhost").searchParams.get("name") ?? "world"
  // stands for a database: what is in flight when the service is stopped is still answered
  yield* Effect.sleep("50 millis")
  return HttpServerResponse.text(`hello ${name}`)
})

/** What the service answers. */
export const routes = HttpRouter.add("GET", "/hello", greeting)
