/**
 * A DNS server of a few names, over UDP and TCP on one port number, which opens,
 * drains and closes as one. A restart leaves no query unanswered that had reached
 * the machine.
 *
 *     PORT=5353 node examples/dns.ts
 *     dig @127.0.0.1 -p 5353 one.test
 *     dig @127.0.0.1 -p 5353 sleep-500.test TXT
 *
 * Started by systemd it takes the sockets named `udp` and `tcp`; then not even
 * the queries between two processes are lost.
 */
import * as DatagramListener from "@effect-listener/core/DatagramListener"
import * as Listener from "@effect-listener/core/Listener"
import * as ListenerError from "@effect-listener/core/ListenerError"
import * as ListenerHost from "@effect-listener/core/ListenerHost"
import type { TransportBindError } from "@effect-listener/core/Transport"
import * as NodeInherit from "@effect-listener/node/NodeInherit"
import * as NodeMain from "@effect-listener/node/NodeMain"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeUdp from "@effect-listener/node/NodeUdp"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as NetAddress from "effect/net/NetAddress"
import { announceHost } from "./support/announce.ts"
import { answerQueries } from "./support/dnsOverTcp.ts"
import { describe, respond } from "./support/dnsZone.ts"
import * as Env from "./support/env.ts"

/** Bytes of queries that may wait while the event loop is busy, where the system allows it. */
const recvBufferSize = 1 << 20

/** A port that is free for both: the system chooses it for one, and it may be taken for the other. */
const freePort = (host: string): Effect.Effect<number, TransportBindError> =>
  Effect.gen(function*() {
    const { address } = yield* NodeUdp.transport({ host, port: 0 }).bind
    const port = NetAddress.isInetAddress(address) ? address.port : 0
    yield* NodeTcp.transport({ host, port }).bind
    return port
  }).pipe(Effect.scoped, Effect.retry({ times: 20, while: (error) => error._tag === "AddressInUse" }))

const program = Effect.gen(function*() {
  const { host, port: wanted } = yield* Env.endpoint
  const { admission, drain } = yield* Env.listenerOptions
  // sockets that are there already have their port
  const inherited = yield* NodeInherit.sockets
  const port = wanted === 0 && inherited.length === 0 ? yield* freePort(host) : wanted

  const tcp = yield* Listener.make(NodeTcp.transport({ host, port, inherit: "tcp" }), { name: "tcp", admission })
  const udp = yield* DatagramListener.make(
    NodeUdp.transport({ host, port, recvBufferSize, inherit: "udp" }),
    { name: "udp" }
  )
  yield* Effect.forkScoped(Listener.serve(tcp, answerQueries, { idle: "pull" }), { startImmediately: true })
  yield* Effect.forkScoped(
    DatagramListener.serve(
      udp,
      ({ payload }, reply) =>
        Effect.flatMap(respond(payload), (response) => response === undefined ? Effect.void : reply(response)),
      { label: ({ payload }) => describe(payload) }
    ),
    { startImmediately: true }
  )
  const hosting = yield* ListenerHost.make([tcp, udp], { name: "dns", drain }).pipe(
    ListenerError.withTrail(`while listening on HOST ${host}, PORT ${wanted}`)
  )
  yield* announceHost(hosting)
  yield* hosting.closed
})

// stdout is for the JSON lines
NodeMain.runMain(Effect.provideService(Effect.scoped(program), Logger.LogToStderr, true))
