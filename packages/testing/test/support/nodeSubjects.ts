/** The transports over real sockets, to be checked by the laws. */
import type { Transport } from "@effect-listener/core"
import { NodeTcp, NodeTls, NodeUnix } from "@effect-listener/node"
import * as BadClients from "@effect-listener/testing/BadClients"
import type * as TransportLaws from "@effect-listener/testing/TransportLaws"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { selfSigned } from "../../../node/test/support/certificates.ts"

const clients = (target: BadClients.Target): Pick<TransportLaws.Subject, "connect" | "fill"> => ({
  connect: BadClients.connect(target),
  fill: (clients) => BadClients.crowd(target, clients)
})

/**
 * A port nobody listens on, below those that the system gives to clients: a client of this machine can connect to its
 * own port while nobody listens there.
 */
const freePort = (transport: (port: number) => Transport.Transport): Effect.Effect<number> =>
  Effect.suspend(() => {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    return Effect.matchEffect(Effect.scoped(transport(port).bind), {
      onSuccess: () => Effect.succeed(port),
      onFailure: () => freePort(transport)
    })
  })

/** How many sockets of the port this process holds, the listening one excepted; where there is no /proc, unknown. */
const heldOfPort = (port: number): Pick<TransportLaws.Subject, "held"> => {
  const table = "/proc/self/net/tcp"
  if (!Fs.existsSync(table)) return {}
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`
  return {
    held: Effect.sync(() =>
      Fs.readFileSync(table, "utf8").trim().split("\n").slice(1).filter((row) => {
        const [, address, , state, , , , , , inode] = row.trim().split(/\s+/)
        return address?.endsWith(local) === true && state !== listening && inode !== closed
      }).length
    )
  }
}
const listening = "0A"
/** The inode of a socket that no process holds any more. */
const closed = "0"

export const tcp: TransportLaws.MakeSubject = Effect.gen(function*() {
  const transport = (port: number) => NodeTcp.transport({ host: "127.0.0.1", port })
  const port = yield* freePort(transport)
  return { transport: transport(port), ...clients({ port }), ...heldOfPort(port) }
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
  return { transport: transport(port), ...clients({ port, tls: {} }), ...heldOfPort(port) }
})
