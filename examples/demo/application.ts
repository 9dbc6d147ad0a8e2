/** What the demo replaces: it takes a little while for an answer. */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"

const answer = Effect.as(Effect.sleep("20 millis"), HttpServerResponse.text("hello"))

export const application = HttpRouter.serve(HttpRouter.add("GET", "/", answer), {
  disableLogger: true,
  disableListenLog: true
})
