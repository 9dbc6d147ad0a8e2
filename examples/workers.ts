/**
 * The routes of `http-server.ts`, served by several processes on one port: one
 * that crashes is started again, and all of them are replaced by a new version,
 * one after the other, without a client noticing.
 *
 *     PORT=8080 WORKERS=4 ADMIN_PORT=9090 node examples/workers.ts
 *     kill -USR2 <its process id>       replaces all workers
 *
 * The admin port says how all of them stand: `/livez`, `/readyz`, `/metrics`,
 * `/listeners`, and, in a browser, `/listeners/page`.
 */
import * as NodeWorkers from "@effect-listener/node/NodeWorkers"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { announcePlaces, print } from "./support/announce.ts"
import * as Env from "./support/env.ts"
import { tls } from "./support/tls.ts"

/** What workers read as well is read here, too, so that a bad value is said once. */
const settings = Config.all({
  endpoint: Env.endpoint,
  adminPort: Env.port("ADMIN_PORT"),
  workers: Env.count("WORKERS", 2),
  drain: Env.drain,
  limits: Env.listenerOptions,
  tls
})

NodeWorkers.runMain(Effect.gen(function*() {
  const { adminPort, drain, endpoint, workers } = yield* settings
  return {
    program: new URL("support/worker.ts", import.meta.url),
    workers,
    sockets: { http: endpoint },
    admin: { host: endpoint.host, port: adminPort },
    drain: { deadline: drain.deadline + drain.lameDuck },
    onOpen: ({ addresses }) => announcePlaces(addresses),
    onReplaced: (report) => print({ event: "replaced", report }),
    onClosed: (report) => print({ event: "closed", report })
  } satisfies NodeWorkers.RunOptions
}))
