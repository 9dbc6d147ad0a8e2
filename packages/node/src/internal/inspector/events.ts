import type { Connection } from "@effect-listener/core/Connection"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Inspection } from "../../ListenerInspector.ts"
import * as NodeHttp from "../../NodeHttp.ts"
import { shared } from "./sharedLook.ts"

/** How long a viewer may take for its last event. */
const lastEventWithin = "1 second"

/** How many viewers there may be at once; a look is theirs together, its bytes are each one's own. */
const maxViewers = 64

/**
 * An inspection now and at every interval, as server-sent events, until the
 * connection that asked is draining: then a last one, and the end. All viewers
 * share one look an interval. Nothing is looked at for a viewer that does not
 * read, and a close does not wait for it: there is nothing in the stream that
 * would be missed.
 */
export const events = (
  look: Effect.Effect<Inspection>,
  interval: number
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest | Scope.Scope> => {
  const now = Effect.map(look, event)
  const current = shared(now, interval / 2)
  const began = performance.now()
  // the same moments for all viewers
  const nextMoment = Effect.suspend(() => Effect.sleep(interval - (performance.now() - began) % interval))
  let viewers = 0
  return Effect.gen(function*() {
    if (viewers >= maxViewers) return tooMany
    yield* Effect.acquireRelease(Effect.sync(() => viewers++), () => Effect.sync(() => viewers--))
    const connection = yield* NodeHttp.connection
    const draining = Option.match(connection, { onNone: () => Effect.never, onSome: ({ draining }) => draining })
    // the scope of a request ends with its answer
    yield* Effect.forkScoped(Effect.andThen(draining, Effect.delay(drop(connection), lastEventWithin)))
    const later = Stream.fromEffectRepeat(Effect.andThen(nextMoment, current))
    return HttpServerResponse.stream(
      Stream.fromEffect(current).pipe(
        Stream.concat(later),
        Stream.interruptWhen(draining),
        Stream.concat(Stream.fromEffect(now)),
        Stream.encodeText
      ),
      { contentType: "text/event-stream" }
    )
  })
}

const drop = (connection: Option.Option<Connection>): Effect.Effect<void> =>
  Option.match(connection, { onNone: () => Effect.void, onSome: ({ transport }) => transport.destroy })

const tooMany = HttpServerResponse.text(`there are ${maxViewers} viewers already\n`, {
  status: 503,
  headers: { "retry-after": "10" }
})

const event = (seen: Inspection): string =>
  Sse.encoder.write({ _tag: "Event", event: "message", id: undefined, data: JSON.stringify(seen) })
