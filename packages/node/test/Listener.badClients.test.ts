/** Every kind of bad client at once, and a good one among them, when the listener closes. */
import type { Connection } from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import type { Transport } from "@effect-listener/core/Transport"
import * as NodeHttp from "@effect-listener/node/NodeHttp"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeTls from "@effect-listener/node/NodeTls"
import * as BadClients from "@effect-listener/testing/BadClients"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { selfSigned } from "./support/certificates.ts"

interface Server {
  readonly name: string
  readonly transport: Transport
  readonly secure: boolean
  readonly idle: "pull" | "exchange"
  /** A request for `bytes`. */
  readonly request: (bytes: number) => string
  readonly handler: Effect.Effect<
    (connection: Connection) => Effect.Effect<unknown, unknown, Scope.Scope>,
    never,
    Scope.Scope
  >
}

const empty = "\r\n\r\n"

/** Each line is answered by as many bytes as it says, and an empty line. */
const lines = {
  idle: "pull",
  request: (bytes: number) => `${bytes}\n`,
  handler: Effect.succeed(Effect.fnUntraced(function*(connection: Connection) {
    const pull = yield* Socket.readerString(connection.socket)
    const writer = yield* connection.socket.writer
    let text = ""
    while (true) {
      text += (yield* pull).join("")
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        const line = text.slice(0, end)
        text = text.slice(end + 1)
        const answer = [new Uint8Array(Number(line) || 0), empty] as const
        yield* connection.exchange(line, writer.writeAll(answer))
      }
    }
  }))
} as const

const http = {
  idle: "exchange",
  request: (bytes: number) => `GET /${bytes} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
  handler: NodeHttp.handler(Effect.map(
    HttpServerRequest.HttpServerRequest,
    ({ url }) => HttpServerResponse.uint8Array(new Uint8Array(Number(url.slice(1)) || 0))
  ))
} as const

const tcp = NodeTcp.transport({ host: "127.0.0.1", port: 0 })
const tls = NodeTls.transport({ host: "127.0.0.1", port: 0, ...selfSigned() })

const servers: ReadonlyArray<Server> = [
  { name: "lines over TCP", transport: tcp, secure: false, ...lines },
  { name: "lines over TLS", transport: tls, secure: true, ...lines },
  { name: "HTTP", transport: tcp, secure: false, ...http },
  { name: "HTTPS", transport: tls, secure: true, ...http }
]

/** More than all buffers hold. */
const large = 32 << 20

const drain = { deadline: 600, idleGrace: 0, abortGrace: 300, linger: { idle: 50 } }

/** What comes until the connection ends, and how it ended. */
const rest = (client: BadClients.Client) =>
  Effect.gen(function*() {
    let bytes = 0
    const count = Effect.map(client.read, (chunk) => {
      bytes += chunk.length
    })
    yield* Effect.ignore(Effect.forever(count))
    return { bytes, how: yield* client.ended }
  })

describe("closing among bad clients", () => {
  for (const { handler, idle, name, request, secure, transport } of servers) {
    it.live(name, () =>
      Effect.gen(function*() {
        const listener = yield* Listener.listen(transport, { drain })
        yield* Effect.forkScoped(Effect.ignore(Listener.serve(listener, yield* handler, { idle })))
        const address = yield* listener.address
        const port = address._tag === "UnixPathAddress" ? 0 : address.port
        const target = secure ? { port, tls: {} } : { port }
        const asking = (bytes: number) => ({ request: request(bytes) })
        const bad = yield* Effect.all([
          BadClients.preconnect(target),
          BadClients.halfHead(target, asking(1000)),
          BadClients.halfClientHello(target),
          BadClients.slowReader(target, asking(large)),
          BadClients.slowWriter(target, asking(1000)),
          BadClients.silentWebSocket(target),
          BadClients.vanished(target, asking(large)),
          BadClients.finThenWait(target, asking(1000)),
          BadClients.pipeliner(target, asking(1000)),
          BadClients.resetMidResponse(target, asking(1 << 20))
        ], { concurrency: "unbounded" })
        const good = yield* BadClients.connect(target)
        yield* good.write(request(5000))

        const begun = performance.now()
        const error = yield* Effect.flip(listener.close())
        assert.isBelow(performance.now() - begun, drain.deadline + drain.abortGrace + 2000)
        assert.strictEqual(error._tag, "OperationTimedOut")
        if (error._tag !== "OperationTimedOut" || error.report === undefined) return

        const { bytes, how } = yield* rest(good)
        assert.isAtLeast(bytes, 5000)
        assert.strictEqual(how, "Fin")
        // those alone that had not taken what they asked for
        const cut = error.report.cut.flatMap(({ exchanges }) => exchanges.map(({ label }) => label))
        assert.strictEqual(cut.length, 2, JSON.stringify(error.report.cut))
        assert.strictEqual(error.report.connections.cut, 2)
        const { total, ...reasons } = error.report.connections
        assert.strictEqual(Object.values(reasons).reduce((sum, count) => sum + count, 0), total)
        assert.deepStrictEqual(error.report.handlersLeftBehind, [])
        assert.deepStrictEqual(yield* listener.connections, [])
        // a client that reads learns of the end
        for (const client of bad) yield* client.ended
      }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))
  }
})
