import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Inspection } from "../ListenerInspector.ts"
import * as NodeHttp from "../NodeHttp.ts"

/**
 * An inspection now and at every interval, as server-sent events, until the
 * connection that asked is draining: then a last one, and the end.
 */
export const events = (
  look: Effect.Effect<Inspection>,
  interval: Duration.Input
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest> =>
  Effect.map(NodeHttp.connection, (connection) => {
    const draining = Option.match(connection, { onNone: () => Effect.never, onSome: ({ draining }) => draining })
    return HttpServerResponse.stream(
      Stream.tick(interval).pipe(
        Stream.interruptWhen(draining),
        Stream.concat(Stream.succeed(undefined)),
        Stream.mapEffect(() => Effect.map(look, event)),
        Stream.encodeText
      ),
      { contentType: "text/event-stream" }
    )
  })

const event = (seen: Inspection): string =>
  Sse.encoder.write({ _tag: "Event", event: "message", id: undefined, data: JSON.stringify(seen) })
