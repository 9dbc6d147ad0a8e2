/**
 * A TCP server that echoes lines, and restarts without losing one.
 *
 * `sleep N` is answered `slept N` after N ms. Each line is an exchange, from its
 * first byte to its answer, so that a close waits for it.
 *
 *     PORT=8080 node examples/tcp-echo.ts
 *     PORT=8443 TLS_KEY=key.pem TLS_CERT=cert.pem node examples/tcp-echo.ts
 */
import type { Connection } from "@effect-listener/core/Connection"
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerError from "@effect-listener/core/ListenerError"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeTls from "@effect-listener/node/NodeTls"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Socket from "effect/socket/Socket"
import { announce } from "./support/announce.ts"
import * as Env from "./support/env.ts"
import { tls } from "./support/tls.ts"

const newline = 10

const echo = Effect.fnUntraced(function*(connection: Connection) {
  const pull = yield* Socket.readerBytes(connection.socket)
  const { write } = yield* connection.socket.writer
  let pieces: Array<Uint8Array> = []
  let endExchange: (() => void) | undefined
  while (true) {
    for (const bytes of yield* pull) {
      for (let start = 0, end = 0; start < bytes.length; start = end) {
        // begun at the first byte: half a line that has arrived is waited for, too
        endExchange ??= connection.beginExchange("line")
        const at = bytes.indexOf(newline, start)
        end = at < 0 ? bytes.length : at + 1
        pieces.push(bytes.subarray(start, end))
        if (at < 0) break
        const line = Buffer.concat(pieces)
        pieces = []
        yield* write(yield* answer(line))
        endExchange()
        endExchange = undefined
      }
    }
  }
})

const answer = (line: Buffer): Effect.Effect<Uint8Array | string> => {
  const millis = /^sleep (\d+)\r?\n$/.exec(line.toString())?.[1]
  return millis === undefined ? Effect.succeed(line) : Effect.as(Effect.sleep(Number(millis)), `slept ${millis}\n`)
}

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
  yield* Listener.serve(listener, echo, { idle: "pull" })
})

// stdout is for the JSON lines
NodeMain.runMain(Effect.provideService(Effect.scoped(program), Logger.LogToStderr, true))
