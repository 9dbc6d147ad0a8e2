/**
 * A TCP server that echoes lines, and restarts without losing one.
 *
 * `sleep N` is answered `slept N` after N ms. Each line is an exchange, from its
 * first byte to its answer, so that a close waits for it.
 *
 *     PORT=8080 node examples/tcp-echo.ts
 *     PORT=8443 TLS_KEY=key.pem TLS_CERT=cert.pem node examples/tcp-echo.ts
 */
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerError from "@effect-listener/core/ListenerError"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeTls from "@effect-listener/node/NodeTls"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { announce } from "./support/announce.ts"
import { echoLines } from "./support/echoLines.ts"
import * as Env from "./support/env.ts"
import { tls } from "./support/tls.ts"

const program = Effect.gen(function*() {
  const { host, port } = yield* Env.endpoint
  const identity = yield* tls
  const transport = identity === undefined
    ? NodeTcp.transport({ host, port })
    : NodeTls.transport({ host, port, ...identity })
  const listener = yield* Listener.listen(transport, yield* Env.listenerOptions).pipe(
    ListenerError.withTrail(
      `while listening on HOST ${host}, PORT ${port}${identity === undefined ? "" : ", with TLS_KEY and TLS_CERT"}`
    )
  )
  yield* announce(listener)
  // between two lines the handler waits in its pull: then its connection is idle, and a close ends it at once
  yield* Listener.serve(listener, echoLines, { idle: "pull" })
})

// stdout is for the JSON lines
NodeMain.runMain(Effect.provideService(Effect.scoped(program), Logger.LogToStderr, true))
