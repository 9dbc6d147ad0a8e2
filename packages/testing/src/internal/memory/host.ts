/**
 * What is bound to an address in memory: makes the two ends of a connection, and
 * puts one of them into the accept queue.
 */
import type { SecurityFailure } from "@effect-listener/core/ListenerError"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as NetAddress from "effect/net/NetAddress"
import type * as Socket from "effect/socket/Socket"
import type { ConnectionEnded, Host } from "../../MemoryTransport.ts"
import * as memoryClient from "./client.ts"
import type { ServerConnection } from "./connection.ts"
import * as memoryConnection from "./connection.ts"
import * as endpoint from "./endpoint.ts"
import type { Ending } from "./pipe.ts"

export interface AcceptQueue {
  readonly full: boolean
  enqueue(connection: ServerConnection): void
}

/** What its connections are like, and what is called as they come and go. */
export interface HostOptions {
  readonly capacity: number
  readonly latency: Duration.Duration
  readonly readLate: boolean
  readonly local: NetAddress.SocketAddress
  readonly protocol: string
  readonly ready: Effect.Effect<void, SecurityFailure | Socket.SocketError>
  readonly error: (how: ConnectionEnded["how"]) => ConnectionEnded
  /** Answers the connection's number. */
  readonly onOpen: () => number
  readonly onRelease: () => void
}

export const makeHost = (queue: AcceptQueue, options: HostOptions): Host => (context, remote) => {
  if (queue.full) return "BacklogFull"
  const { capacity, error, latency, local, onRelease, protocol, readLate, ready } = options
  const ended = Deferred.makeUnsafe<Ending>()
  const { server, client } = endpoint.make({
    capacity,
    latency,
    readLate,
    context,
    serverError: memoryConnection.readError,
    clientError: error,
    onClientEnd: (ending) => Deferred.doneUnsafe(ended, Exit.succeed(ending))
  })
  const connection = memoryConnection.make({
    sequence: options.onOpen(),
    endpoint: server,
    remote,
    local,
    protocol,
    ready,
    onRelease
  })
  queue.enqueue(connection)
  return {
    ...memoryClient.make({ endpoint: client, local: remote, remote: local, ended, error }),
    close: client.close
  }
}
