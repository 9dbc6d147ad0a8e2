/** Opens a listener on a Node from which something was taken: `node withoutPrivate.ts <what> <module>`. */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Http from "node:http"
import * as Tls from "node:tls"
import { selfSigned } from "../support/certificates.ts"

const [missing, module] = process.argv.slice(2)

/** What is assigned to it is forgotten. */
const forget = (prototype: object, name: string): void => {
  Object.defineProperty(prototype, name, { get: () => undefined, set: () => {} })
}

if (missing === "_parent") forget(Tls.TLSSocket.prototype, "_parent")
if (missing === "_last") forget(Http.OutgoingMessage.prototype, "_last")
if (missing === "listening") Http.Server.prototype.listenerCount = () => 0

/** Effect's own error of a server has the listener's for a cause. */
const causeOf = (error: unknown): unknown =>
  typeof error === "object" && error !== null && "cause" in error && error.cause !== undefined ? error.cause : error

const at = { host: "127.0.0.1", port: 0 }
const { Listener } = await import("@effect-listener/core")
const { NodeHttp, NodeTls } = await import("@effect-listener/node")
const open: Effect.Effect<unknown, unknown> = module === "NodeTls"
  ? Effect.scoped(Listener.listen(NodeTls.transport({ ...at, ...selfSigned() })))
  : Effect.scoped(NodeHttp.make(at))
const outcome = await Effect.runPromise(
  Effect.provide(
    Effect.match(open, { onFailure: causeOf, onSuccess: () => ({ _tag: "opened" }) }),
    Logger.layer([])
  )
)
console.log(JSON.stringify({ event: "outcome", ...Object(outcome) }))
process.exit()
