/** The demo's service on two workers of ours. */
import * as NodeWorkers from "@effect-listener/node/NodeWorkers"
import * as NetAddress from "effect/net/NetAddress"
import { print } from "../support/announce.ts"

NodeWorkers.runMain({
  program: new URL("worker.ts", import.meta.url),
  workers: 2,
  sockets: { http: { host: "127.0.0.1", port: 0 } },
  onOpen: ({ addresses: { http } }) =>
    print({ event: "open", port: http !== undefined && NetAddress.isInetAddress(http) ? http.port : undefined }),
  onReplaced: (report) => print({ event: "replaced", report })
})
