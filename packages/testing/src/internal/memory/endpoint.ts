/**
 * The two ends of a connection, as a kernel has them: each can end its writing
 * side (FIN), close (FIN, and a reset for whatever is unread or still comes),
 * or reset.
 */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type { Ending } from "./pipe.ts"
import { Pipe } from "./pipe.ts"
import { Wire } from "./wire.ts"

export interface Endpoint<E, Peer> {
  readonly incoming: Pipe<E>
  readonly outgoing: Pipe<Peer>
  /** Releases the socket well: what the kernel has taken is delivered, then a FIN; unread or late input is answered with a reset. */
  readonly close: () => void
  /** Releases the socket at once with a reset. */
  readonly reset: () => void
}

export interface Options<Server, Client> {
  readonly capacity: number
  readonly latency: Duration.Duration
  readonly readLate: boolean
  readonly context: Context.Context<never>
  readonly serverError: (ending: Ending | "Closed") => Server
  readonly clientError: (ending: Ending | "Closed") => Client
  /** Called when the server's end of the connection reaches the client. */
  readonly onClientEnd: (ending: Ending) => void
}

/** Makes a connection and gives both its ends. */
export const make = <Server, Client>(
  options: Options<Server, Client>
): { readonly server: Endpoint<Server, Client>; readonly client: Endpoint<Client, Server> } => {
  const { capacity } = options
  const upWire = new Wire(options.latency, options.context)
  const downWire = new Wire(options.latency, options.context)
  const up: Pipe<Server> = new Pipe({
    capacity,
    wire: upWire,
    readLate: options.readLate,
    keepHistory: false,
    error: options.serverError,
    onRefused: () => server.reset()
  })
  const down: Pipe<Client> = new Pipe({
    capacity,
    wire: downWire,
    readLate: false,
    keepHistory: true,
    error: options.clientError,
    onEnd: options.onClientEnd,
    onRefused: () => client.reset()
  })
  const server = endpoint(up, down, downWire)
  const client = endpoint(down, up, upWire)
  return { server, client }
}

const endpoint = <E, Peer>(incoming: Pipe<E>, outgoing: Pipe<Peer>, wire: Wire): Endpoint<E, Peer> => {
  const reset = (): void => {
    // both sides have said all: there is nothing left to reset
    const over = outgoing.ended && incoming.ending === "Fin" && incoming.unread === 0
    const wakes = [incoming.close(), outgoing.kill()]
    if (!over) {
      wire.send(() => {
        for (const wake of [incoming.kill(), outgoing.finish("Reset")]) wake()
      })
    }
    for (const wake of wakes) wake()
  }
  const close = (): void => {
    if (incoming.unread > 0) return reset()
    const wakes = [incoming.close(), outgoing.drop()]
    outgoing.end()
    for (const wake of wakes) wake()
  }
  return { incoming, outgoing, close, reset }
}
