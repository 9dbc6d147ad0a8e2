/**
 * A transport whose sockets are in memory: binds an address of a network, and
 * connects clients to what is bound there.
 */
import * as DurationOption from "@effect-listener/core/DurationOption"
import { type Transport, type TransportAcceptError, TransportBindError } from "@effect-listener/core/Transport"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import type {
  ConnectionEnded,
  ConnectionRefused,
  Host,
  MemoryNetwork,
  MemoryTransport,
  Options
} from "../../MemoryTransport.ts"
import type { ServerConnection } from "./connection.ts"
import { type AcceptQueue, makeHost } from "./host.ts"
import { HeldQueue, MemoryListener } from "./listener.ts"

/** What the public module has besides. */
export interface MemoryContext {
  readonly makeNetwork: Effect.Effect<MemoryNetwork>
  readonly refused: (fields: Pick<ConnectionRefused, "address" | "reason">) => ConnectionRefused
  readonly ended: (how: ConnectionEnded["how"]) => ConnectionEnded
}

/** A bind that was not released: its accept queue, and how to refuse new clients. */
interface Bound {
  readonly listener: MemoryListener<ServerConnection>
  readonly refuse: () => void
}

export const make = Effect.fnUntraced(function*(options: Options, context: MemoryContext) {
  const network = options.network ?? (yield* context.makeNetwork)
  const address = options.address ?? NetAddress.inetAddressUnsafe(NetAddress.ipv4Loopback, network.nextPort())
  const key = NetAddress.formatSocketAddress(address)
  const times = Result.all([
    DurationOption.millis("latency", options.latency ?? 0),
    DurationOption.millis("bindLatency", options.bindLatency ?? 0)
  ])
  const [latency, bindLatency] = Result.match(times, {
    onFailure: () => [Duration.zero, Duration.zero] as const,
    onSuccess: ([latency, bindLatency]) => [Duration.millis(latency), Duration.millis(bindLatency)] as const
  })
  const capacity = options.bufferSize ?? 64 * 1024
  // with less than a byte between them nothing would ever move, without an error anywhere
  if (!(capacity >= 1)) return yield* Effect.die(new RangeError(`bufferSize is less than 1 (${capacity})`))
  const ready = options.handshake ?? Effect.void
  const protocol = options.protocol ?? "memory"
  const bindFailures: Array<TransportBindError> = []
  const acceptFailures: Array<TransportAcceptError> = []
  let open = 0
  let connected = 0
  let bound: Bound | undefined
  const hostOf = (queue: AcceptQueue): Host =>
    makeHost(queue, {
      capacity,
      latency,
      readLate: options.readLate ?? false,
      local: address,
      protocol,
      ready,
      error: context.ended,
      onOpen: () => {
        open++
        return connected++
      },
      onRelease: () => {
        open--
      }
    })
  const shared = options.held === true ? new HeldQueue<ServerConnection>(options.backlog ?? 511) : undefined
  if (shared !== undefined) network.hosts.set(key, hostOf(shared))

  const listen = (): Bound => {
    const listener = new MemoryListener<ServerConnection>({
      backlog: options.backlog ?? 511,
      late: options.resumeLate ?? false,
      held: shared,
      failures: acceptFailures,
      discard: (connection) => connection.dismiss(),
      sequence: (connection) => connection.sequence
    })
    if (shared !== undefined) return bound = { listener, refuse: () => {} }
    const host = hostOf(listener)
    network.hosts.set(key, host)
    return bound = {
      listener,
      refuse: () => {
        if (network.hosts.get(key) === host) network.hosts.delete(key)
      }
    }
  }

  /** Where others do not have the socket, closing it resets those that are queued. */
  const leave = ({ listener, refuse }: Bound): Effect.Effect<void> =>
    Effect.andThen(
      listener.leave(refuse),
      Effect.sync(() => {
        for (const connection of listener.close()) connection.reset()
      })
    )

  const bind: Transport["bind"] = Effect.gen(function*() {
    if (Result.isFailure(times)) return yield* Effect.fail(TransportBindError.InvalidArgument(times.failure))
    yield* pass(bindLatency)
    const binding = yield* Effect.acquireRelease(
      Effect.suspend(() => {
        const failure = bindFailures.shift()
        if (failure !== undefined) return Effect.fail(failure)
        if (shared === undefined && network.hosts.has(key)) {
          return Effect.fail(TransportBindError.AddressInUse({ address: key }))
        }
        return Effect.succeed(listen())
      }),
      (binding) =>
        Effect.sync(() => {
          binding.refuse()
          for (const connection of binding.listener.close()) connection.dismiss()
        })
    )
    const { listener, refuse } = binding
    return { address, accept: listener.accept, stop: listener.stop(refuse), leave: leave(binding) }
  })

  const connect: MemoryTransport["connect"] = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      yield* restore(pass(latency))
      const client = yield* Effect.acquireRelease(
        Effect.contextWith((services: Context.Context<never>) => {
          const host = network.hosts.get(key)
          if (host === undefined) return Effect.fail(context.refused({ address: key, reason: "NotListening" }))
          const port = network.nextClientPort()
          const client = host(services, NetAddress.inetAddressUnsafe(NetAddress.ipv4Loopback, port))
          return client === "BacklogFull"
            ? Effect.fail(context.refused({ address: key, reason: client }))
            : Effect.succeed(client)
        }),
        (client) => Effect.sync(client.close)
      )
      yield* restore(pass(latency))
      return client
    })
  )

  const transport: MemoryTransport = {
    name: options.name ?? "memory",
    address,
    bind,
    connect,
    failBind: (error) =>
      Effect.sync(() => {
        bindFailures.push(error)
      }),
    failAccept: (error, times = 1) =>
      Effect.sync(() => {
        for (let i = 0; i < times; i++) acceptFailures.push(error)
        bound?.listener.changed()
      }),
    fault: (error) =>
      Effect.sync(() => {
        if (bound === undefined) return
        bound.refuse()
        for (const connection of bound.listener.die(error)) connection.reset()
      }),
    open: Effect.sync(() => open),
    queued: Effect.sync(() => bound?.listener.queued ?? shared?.length ?? 0),
    waiting: Effect.sync(() => bound?.listener.waiting ?? 0)
  }
  return transport
})

/** Lets time pass; none at all is not even a scheduling point. */
const pass = (time: Duration.Duration): Effect.Effect<void> => Duration.isZero(time) ? Effect.void : Effect.sleep(time)
