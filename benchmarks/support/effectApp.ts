/** What Effect's HTTP servers run in every program that is measured. */
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import { announce } from "./childServer.ts"

/** Two bytes. */
export const answer = Effect.succeed(HttpServerResponse.text("ok"))

/** Tells the harness where a server listens. */
export const announced = <A, E, R>(
  server: Layer.Layer<A | HttpServer.HttpServer, E, R>
): Layer.Layer<A | HttpServer.HttpServer, E, R> =>
  Layer.provideMerge(
    Layer.effectDiscard(Effect.map(HttpServer.HttpServer, ({ address }) => {
      if (NetAddress.isInetAddress(address)) announce(address.port)
    })),
    server
  )
