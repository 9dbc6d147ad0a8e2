/** Listeners as they stand, as plain data. */
import { type DatagramListener, isDatagramListener } from "@effect-listener/core/DatagramListener"
import type { DrainProgress } from "@effect-listener/core/Drain"
import type { ConnectionInfo, ConnectionPhase } from "@effect-listener/core/DrainReport"
import type { Listener } from "@effect-listener/core/Listener"
import { isListenerHost, type ListenerHost } from "@effect-listener/core/ListenerHost"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as NetAddress from "effect/net/NetAddress"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type {
  InspectedConnection,
  Inspection,
  ListenerInspection,
  RunningDrain,
  Source
} from "../../ListenerInspector.ts"
import type { NodeWorkers } from "../../NodeWorkers.ts"
import { TypeId as WorkersTypeId } from "../reports/schemas.ts"
import { byLabel, byNetwork } from "./summary.ts"

export const isReady = (source: Source): Effect.Effect<boolean> =>
  isListenerHost(source) || isWorkers(source)
    ? source.readiness
    : Effect.map(
      Effect.forEach(source, (listener) => listener.readiness),
      (ready) => ready.length > 0 && !ready.includes(false)
    )

const isWorkers = (source: Source): source is NodeWorkers => Predicate.hasProperty(source, WorkersTypeId)

export const isLive = (source: Source): Effect.Effect<boolean> =>
  isListenerHost(source) || isWorkers(source)
    ? source.liveness
    : Effect.map(Effect.forEach(source, (listener) => listener.state), (states) => !states.includes("Faulted"))

/** In Prometheus' text format; those of workers are added up as they are, with their own names. */
export const metricsOf = (
  source: Source,
  options: PrometheusMetrics.FormatOptions | undefined
): Effect.Effect<string> => isWorkers(source) ? source.metrics : PrometheusMetrics.format(options)

export const inspect = (source: Source, limit: number): Effect.Effect<Inspection> =>
  isWorkers(source) ? source.inspect({ limit }) : inspectAll(source, limit)

const inspectAll = (source: Exclude<Source, NodeWorkers>, limit: number): Effect.Effect<Inspection> =>
  Effect.gen(function*() {
    const host = isListenerHost(source) ? source : undefined
    const listeners = isListenerHost(source) ? yield* listenersOf(source) : source
    const drain = host === undefined ? null : yield* runningDrain(host.progress)
    const seen = yield* Effect.forEach(listeners, (listener) => inspectListener(listener, limit))
    return {
      host: host?.name ?? null,
      ready: yield* isReady(source),
      live: yield* isLive(source),
      drain,
      listeners: seen.map((listener) => timed(listener, drain))
    }
  })

/** In the lame duck of a host, the host alone knows how long that lasts. */
const timed = (listener: ListenerInspection, ofHost: RunningDrain | null): ListenerInspection =>
  listener.drain?.stage === "LameDuck" && listener.drain.timeLeft === null && ofHost !== null
    ? { ...listener, drain: { ...listener.drain, timeLeft: ofHost.timeLeft } }
    : listener

const listenersOf = (host: ListenerHost): Effect.Effect<ReadonlyArray<AnyListener>> =>
  Effect.map(
    Effect.all([host.listeners, host.datagramListeners]),
    ([connections, datagrams]) => [...connections, ...datagrams]
  )

type AnyListener = Listener | DatagramListener

/** One listener, with the connections that are waited for most. */
export const inspectListener = (listener: AnyListener, limit: number): Effect.Effect<ListenerInspection> =>
  Effect.gen(function*() {
    const connections = yield* inFlight(listener)
    return {
      name: listener.name,
      address: yield* Effect.match(listener.address, {
        onFailure: () => null,
        onSuccess: NetAddress.formatSocketAddress
      }),
      state: yield* listener.state,
      ready: yield* listener.readiness,
      counts: { total: connections.length, phases: phases(connections) },
      drain: yield* runningDrain(listener.progress),
      labels: byLabel(connections),
      networks: byNetwork(connections),
      connections: [...connections].sort(mostWaitedFor).slice(0, limit).map(bounded)
    }
  })

const inFlight = (listener: AnyListener): Effect.Effect<ReadonlyArray<ConnectionInfo>> =>
  isDatagramListener(listener) ? listener.exchanges : listener.connections

/** How many exchanges of a connection are shown, the oldest first. */
const shownExchanges = 8

/** An HTTP/2 session may have hundreds of streams. */
const bounded = (connection: ConnectionInfo): InspectedConnection => {
  const { exchanges } = connection
  if (exchanges.length <= shownExchanges) return connection
  const oldest = [...exchanges].sort((one, other) => other.age - one.age).slice(0, shownExchanges)
  return { ...connection, exchanges: oldest, moreExchanges: exchanges.length - shownExchanges }
}

const phases = (connections: ReadonlyArray<ConnectionInfo>): Record<ConnectionPhase, number> => {
  const counts: Record<ConnectionPhase, number> = {
    Queued: 0,
    Handshake: 0,
    Idle: 0,
    Active: 0,
    Flushing: 0,
    Lingering: 0,
    Upgraded: 0,
    Detached: 0
  }
  for (const { phase } of connections) counts[phase]++
  return counts
}

/** What holds a close up comes first. */
const mostWaitedFor = (one: ConnectionInfo, other: ConnectionInfo): number =>
  oldestWork(other) - oldestWork(one) || other.age - one.age

const oldestWork = ({ exchanges }: ConnectionInfo): number =>
  exchanges.reduce((oldest, { age }) => Math.max(oldest, age), -1)

/** Where a close stands now: a stream of progress begins with that, where a close has begun. */
const runningDrain = (progress: Stream.Stream<DrainProgress>): Effect.Effect<RunningDrain | null> =>
  Effect.gen(function*() {
    const first = yield* Effect.forkChild(Stream.runHead(progress), { startImmediately: true })
    const exit = first.pollUnsafe()
    if (exit === undefined) {
      yield* Fiber.interrupt(first)
      return null
    }
    return Option.match(yield* exit, { onNone: () => null, onSome: toRunningDrain })
  })

const toRunningDrain = ({ connections, oldest, remaining, stage, timeLeft }: DrainProgress): RunningDrain | null =>
  stage === "Closed"
    ? null
    : {
      stage,
      remaining,
      connections,
      timeLeft: timeLeft === Infinity ? null : timeLeft,
      oldest: Option.getOrNull(Option.map(oldest, bounded))
    }
