/**
 * What hostile clients of HTTP send: each row of the tables that the tests of
 * NodeHttp have, floods, and the ways to hold a connection.
 */
import type * as BadClients from "@effect-listener/testing/BadClients"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { hold, shapes } from "../../packages/node/test/support/hostile/holding.ts"
import * as Http1 from "../../packages/node/test/support/hostile/http1.ts"
import * as Http2 from "../../packages/node/test/support/hostile/http2.ts"
import * as Hostile from "../../packages/node/test/support/hostile/peer.ts"
import * as WebSocket from "../../packages/node/test/support/hostile/webSocket.ts"

export type HostileClient = (target: BadClients.Target) => Effect.Effect<unknown, never, Scope.Scope>

/** As many frames of a flood as a client sends before it waits for its end. */
const floodLength = 3000

const portOf = (target: BadClients.Target): number => "port" in target ? target.port : 0

const connect = (target: BadClients.Target, bytes: string | Uint8Array) =>
  Hostile.connect(portOf(target), bytes, { tls: "tls" in target })

const sends = (bytes: string | Uint8Array): HostileClient => (target) =>
  Effect.flatMap(connect(target, bytes), ({ ended }) => ended)

const floods = (frames: Http2.Flood[1]): HostileClient => (target) =>
  Effect.gen(function*() {
    const { ended, over, socket } = yield* connect(target, Http2.begin)
    for (let index = 0; index < floodLength && !over(); index++) {
      socket.write(frames(index))
      if (index % 100 === 99) yield* Effect.sleep(1)
    }
    yield* ended
  })

const holds = (shape: (typeof shapes)[number]): HostileClient => (target) =>
  Effect.flatMap(hold(shape, { clear: portOf(target), tls: portOf(target) }), ({ ended }) => ended)

export const hostile: ReadonlyArray<HostileClient> = [
  ...[...Object.values(Http1.tables), Http1.tooManyHeaders].flatMap((rows) => rows.map(([, bytes]) => sends(bytes))),
  ...Http2.malformed.map(([, bytes]) => sends(bytes)),
  ...Http2.floods.map(([, frames]) => floods(frames)),
  ...WebSocket.frames.map(([, bytes]) => sends(Buffer.concat([Buffer.from(WebSocket.handshake), bytes]))),
  ...shapes.map(holds)
]
