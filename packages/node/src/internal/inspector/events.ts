import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Inspection } from "../../ListenerInspector.ts"
import * as NodeHttp from "../../NodeHttp.ts"

/** How long a viewer may take for its last event. */
const patience = "1 second"

/**
 * An inspection now and at every interval, as server-sent events, until the
 * connection that asked is draining: then a last one, and the end. Nothing is
 * looked at for a viewer that does not read, and a close does not wait for it:
 * there is nothing in the stream that would be missed.
 */
export const events = (
  look: Effect.Effect<Inspection>,
  interval: Duration.Input
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest | Scope.Scope> =>
  Effect.gen(function*() {
    const connection = yield* NodeHttp.connection
    const draining = Option.match(connection, { onNone: () => Effect.never, onSome: ({ draining }) => draining })
    // the scope of a request ends with its answer
    const drop = Effect.delay(
      Option.match(connection, { onNone: () => Effect.void, onSome: ({ transport }) => transport.destroy }),
      patience
    )
    yield* Effect.forkScoped(Effect.andThen(draining, drop))
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
