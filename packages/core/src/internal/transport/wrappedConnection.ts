import * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import type * as Socket from "effect/socket/Socket"
import type { BoundTransport, FastConnection, LingerOptions, Transport, TransportConnection } from "../../Transport.ts"
import { attempt } from "../util/foreign.ts"
import { openError } from "../util/socketErrors.ts"

type Overrides = Partial<Omit<TransportConnection, "fast">>

export const mapConnections = (
  transport: Transport,
  f: (connection: TransportConnection) => TransportConnection
): Transport => {
  const map = (connection: TransportConnection): TransportConnection =>
    attempt(() => f(connection), (cause) => wrapConnection(connection, { ready: Effect.fail(openError(cause)) }))
  return {
    name: transport.name,
    bind: Effect.map(transport.bind, (inner) => {
      const { fast } = inner
      const bound: BoundTransport = {
        ...inner,
        address: inner.address,
        accept: Effect.map(Effect.suspend(() => inner.accept), map),
        stop: Effect.suspend(() => inner.stop),
        // spreading a class leaves out what its prototype has
        get leave() {
          return inner.leave
        },
        stillQueued: () => inner.stillQueued?.(),
        get fast() {
          return fast?.owner !== inner ? undefined : {
            owner: bound,
            acceptAll: (arrive: (connection: TransportConnection) => void) =>
              fast.acceptAll((connection) => arrive(map(connection)))
          }
        }
      }
      return bound
    })
  }
}

export const wrapConnection = (connection: TransportConnection, overrides: Overrides): TransportConnection =>
  new WrappedConnection(connection, overrides)

export const unwrap = (connection: TransportConnection, wrappers: "all" | "transparent"): TransportConnection => {
  let current = connection
  while (current instanceof WrappedConnection && (wrappers === "all" || current.transparent)) current = current.inner
  return current
}

class WrappedConnection implements TransportConnection {
  readonly inner: TransportConnection
  /** Reading, writing and the end are those of the connection within. */
  readonly transparent: boolean
  readonly fast: FastConnection | undefined
  private readonly overrides: Overrides

  constructor(inner: TransportConnection, overrides: Overrides) {
    const { destroy, endReading, goodbye, socket } = overrides
    this.inner = inner
    this.overrides = overrides
    this.transparent = socket === undefined && endReading === undefined && goodbye === undefined &&
      destroy === undefined
    this.fast = this.transparent && inner.fast?.owner === inner ? fastOf(this, inner.fast) : undefined
  }

  get remote(): NetAddress.SocketAddress {
    return this.overrides.remote ?? this.inner.remote
  }
  get local(): NetAddress.SocketAddress {
    return this.overrides.local ?? this.inner.local
  }
  get protocol(): string {
    return this.overrides.protocol ?? this.inner.protocol
  }
  get socket(): Socket.Socket {
    return this.overrides.socket ?? this.inner.socket
  }
  get ready(): TransportConnection["ready"] {
    return this.overrides.ready ?? this.inner.ready
  }
  get via(): TransportConnection["via"] {
    return this.overrides.via ?? this.inner.via
  }
  get introduced(): TransportConnection["introduced"] {
    return this.overrides.introduced ?? this.inner.introduced
  }
  get settled(): Effect.Effect<void> {
    return this.overrides.settled ?? this.inner.settled
  }
  get destroy(): Effect.Effect<void> {
    return this.overrides.destroy ?? this.inner.destroy
  }
  get watchDeparture(): TransportConnection["watchDeparture"] {
    return this.overrides.watchDeparture ?? this.inner.watchDeparture?.bind(this.inner)
  }
  bytesPending(): number {
    return this.overrides.bytesPending === undefined ? this.inner.bytesPending() : this.overrides.bytesPending()
  }
  endReading(error: Socket.SocketError): boolean {
    return this.overrides.endReading === undefined
      ? this.inner.endReading(error)
      : this.overrides.endReading(error)
  }
  goodbye(linger: LingerOptions | "none"): Effect.Effect<void> {
    return this.overrides.goodbye === undefined ? this.inner.goodbye(linger) : this.overrides.goodbye(linger)
  }
}

/** The same, as that of the connection around it. */
const fastOf = (owner: TransportConnection, fast: FastConnection): FastConnection => {
  const { endReadingAfter, goodbyeDetached, watchPulls } = fast
  return {
    owner,
    bytesIn: () => fast.bytesIn(),
    bytesOut: () => fast.bytesOut(),
    watchPulls: watchPulls?.bind(fast),
    endReadingAfter: endReadingAfter?.bind(fast),
    goodbyeDetached: goodbyeDetached?.bind(fast)
  }
}
