/** The transports over real sockets, to be checked by the laws. */
import type { Transport } from "@effect-listener/core"
import { NodeTcp, NodeTls, NodeUnix } from "@effect-listener/node"
import * as BadClients from "@effect-listener/testing/BadClients"
import type * as TransportLaws from "@effect-listener/testing/TransportLaws"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as DiagnosticsChannel from "node:diagnostics_channel"
import * as Fs from "node:fs"
import type * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { selfSigned } from "../../../node/test/support/certificates.ts"

const clients = (target: BadClients.Target): Pick<TransportLaws.Subject, "connect" | "fill"> => ({
  connect: BadClients.connect(target),
  fill: (clients) => BadClients.crowd(target, clients)
})

/**
 * A port on which nothing listens, below those that the system gives to clients: a client of this machine can connect to its
 * own port while nothing listens there.
 */
const freePort = (transport: (port: number) => Transport.Transport): Effect.Effect<number> =>
  Effect.suspend(() => {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    return Effect.matchEffect(Effect.scoped(transport(port).bind), {
      onSuccess: () => Effect.succeed(port),
      onFailure: () => freePort(transport)
    })
  })

/**
 * How many of the sockets that this process has accepted at the port it still holds. The tables of /proc would say so,
 * too, and take half a second where the tests before have left 70,000 connections in TIME_WAIT.
 */
const heldOfPort = (port: number): Effect.Effect<Pick<TransportLaws.Subject, "held">, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const open = new Set<Net.Socket>()
        const accepted = (message: unknown): void => {
          const { socket } = message as { readonly socket: Net.Socket }
          if (socket.localPort !== port) return
          open.add(socket)
          socket.once("close", () => open.delete(socket))
        }
        DiagnosticsChannel.subscribe("net.server.socket", accepted)
        return { accepted, open }
      }),
      ({ accepted }) => Effect.sync(() => DiagnosticsChannel.unsubscribe("net.server.socket", accepted))
    ),
    ({ open }) => ({ held: Effect.sync(() => open.size) })
  )

export const tcp: TransportLaws.MakeSubject = Effect.gen(function*() {
  const transport = (port: number) => NodeTcp.transport({ host: "127.0.0.1", port })
  const port = yield* freePort(transport)
  return { transport: transport(port), ...clients({ port }), ...yield* heldOfPort(port) }
})

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "laws-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

export const unix: TransportLaws.MakeSubject = Effect.map(folder, (folder) => {
  const path = Path.join(folder, "s")
  return { transport: NodeUnix.transport({ path }), ...clients({ path }), resets: false }
})

const pair = selfSigned()

export const tls: TransportLaws.MakeSubject = Effect.gen(function*() {
  const transport = (port: number) => NodeTls.transport({ host: "127.0.0.1", port, ...pair })
  const port = yield* freePort(transport)
  return { transport: transport(port), ...clients({ port, tls: {} }), ...yield* heldOfPort(port) }
})
