/** TLS listeners for tests, and what they log. */
import type { Connection } from "@effect-listener/core/Connection"
import type { ConnectionInfo } from "@effect-listener/core/DrainReport"
import * as Listener from "@effect-listener/core/Listener"
import type { ListenError } from "@effect-listener/core/ListenerError"
import * as NodeTls from "@effect-listener/node/NodeTls"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import { selfSigned } from "./certificates.ts"
import { echo } from "./handlers.ts"

/** What listeners show that do not care. */
export const pair = selfSigned()

export interface Options extends Listener.ListenerOptions, Listener.ServeOptions {
  readonly tls?: Partial<NodeTls.TransportOptions> | undefined
  readonly handler?: ((connection: Connection) => Effect.Effect<unknown, unknown, Scope.Scope>) | undefined
}

export interface Served {
  readonly listener: Listener.Listener
  readonly transport: NodeTls.TlsTransport
  /** What was logged, without what a listener says when it is open and when it has drained. */
  readonly log: Array<string>
}

/** The connections as they are now, for conditions to wait for. */
export const connectionsOf = (listener: Listener.Listener): ReadonlyArray<ConnectionInfo> =>
  Effect.runSync(listener.connections)

/** A listener on a free port of this host that echoes lines, one exchange each, or does what `handler` does. */
export const serveTls = (options: Options = {}): Effect.Effect<Served, ListenError, Scope.Scope> =>
  Effect.gen(function*() {
    const log: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      const text = [message].flat().map(String).join(": ")
      if (!/ is open at | drained in /.test(text)) log.push(`${logLevel} ${text}`)
    })
    const transport = NodeTls.transport({ host: "127.0.0.1", port: 0, ...pair, ...options.tls })
    const listener = yield* Listener.listen(transport, options).pipe(Effect.provide(Logger.layer([logger])))
    yield* Effect.forkScoped(
      Listener.serve(listener, options.handler ?? echo, { idle: "pull", ...options }).pipe(
        Effect.provide(Logger.layer([logger]))
      ),
      { startImmediately: true }
    )
    return { listener, transport, log }
  })
