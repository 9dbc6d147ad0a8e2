/** Listeners over real sockets, and what tests watch of them. */
import type { DrainStage } from "@effect-listener/core/Drain"
import * as Listener from "@effect-listener/core/Listener"
import type { InvalidOperation, ListenError } from "@effect-listener/core/ListenerError"
import type { Transport } from "@effect-listener/core/Transport"
import * as NodeTcp from "@effect-listener/node/NodeTcp"
import * as NodeUnix from "@effect-listener/node/NodeUnix"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as NetAddress from "effect/net/NetAddress"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import type * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as NetClient from "./netClient.ts"

/** A kind of socket to listen on. */
export interface Kind {
  readonly name: "TCP" | "Unix"
  /** A transport on an address that is free, and that it keeps when it is bound again. */
  readonly transport: Effect.Effect<Transport, never, Scope.Scope>
  /** What connecting fails with where nothing listens. */
  readonly refusal: string
  /** How a connection is over that was cut: there is no reset on Unix sockets. */
  readonly cut: NetClient.Ending
  /** How many bytes the kernel takes, by default, from a client that is not read. */
  readonly mostUnread: number
}

const tcp: Kind = {
  name: "TCP",
  transport: Effect.map(freePort(), (port) => NodeTcp.transport({ host: "127.0.0.1", port })),
  refusal: "ECONNREFUSED",
  cut: "ECONNRESET",
  mostUnread: 512 * 1024
}

export const unix: Kind = {
  name: "Unix",
  transport: Effect.map(folder(), (path) => NodeUnix.transport({ path: Path.join(path, "s") })),
  refusal: "ENOENT",
  cut: "FIN",
  mostUnread: 192 * 1024
}

export const kinds: ReadonlyArray<Kind> = [tcp, unix]

/** A listener on a free address of this kind. */
export const listen = (
  kind: Kind,
  options?: Listener.ListenerOptions
): Effect.Effect<Listener.Listener, ListenError, Scope.Scope> =>
  quiet(Effect.flatMap(kind.transport, (transport) => Listener.listen(transport, options)))

/** Listeners made in here do not log that they are closed. */
export const quiet: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.provideService(
  References.MinimumLogLevel,
  "Warn"
)

/** A folder of its own, removed with all that is in it. */
export function folder(): Effect.Effect<string, never, Scope.Scope> {
  return Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "listener-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
  )
}

/**
 * A port on which nothing listens, below those that the system gives to clients: a
 * client of this machine can connect to its own port while nothing listens there.
 */
export function freePort(): Effect.Effect<number> {
  return Effect.suspend(() => {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const bindOnce = NodeTcp.transport({ host: "127.0.0.1", port }).bind
    return Effect.matchEffect(Effect.scoped(bindOnce), {
      onSuccess: () => Effect.succeed(port),
      onFailure: freePort
    })
  })
}

/** How clients reach a listening socket. */
export const targetOf = (address: NetAddress.SocketAddress): Net.NetConnectOpts =>
  address._tag === "UnixPathAddress" ? { path: address.path } : { host: "127.0.0.1", port: address.port }

/** The port of a socket; -1 where it has none. */
export const portOf = (address: NetAddress.SocketAddress): number =>
  address._tag === "UnixPathAddress" ? -1 : address.port

/** The port of a listener that is open. */
export const openPort = (
  listener: { readonly address: Effect.Effect<NetAddress.SocketAddress, unknown> }
): Effect.Effect<number> => Effect.orDie(Effect.map(listener.address, portOf))

export const target = (listener: Listener.Listener): Effect.Effect<Net.NetConnectOpts, InvalidOperation> =>
  Effect.map(listener.address, targetOf)

/** A client of a listener that is open. */
export const connect = (
  listener: Listener.Listener
): Effect.Effect<NetClient.NetClient, InvalidOperation, Scope.Scope> =>
  Effect.flatMap(target(listener), NetClient.connect)

/** Does the same `count` times at once. */
export const many = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>): Effect.Effect<Array<A>, E, R> =>
  Effect.all(Array.from({ length: count }, () => effect), { concurrency: "unbounded" })

/** Runs in a fiber that has already started. */
export const start = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Fiber.Fiber<A, E>, never, R> =>
  Effect.forkChild(effect, { startImmediately: true })

/** Waits until a close has come to this stage. */
export const untilStage = (listener: Listener.Listener, stage: DrainStage): Effect.Effect<void> =>
  listener.progress.pipe(Stream.takeUntil((progress) => progress.stage === stage), Stream.runDrain)

export const tagOf = <A, E extends { readonly _tag: string }, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<string, A, R> => Effect.map(Effect.flip(effect), (error) => error._tag)

/** How many descriptors of sockets this process has open. Not of files: a test runner opens some at any time. */
export const descriptors = (): number => Fs.readdirSync("/dev/fd").filter((name) => isSocket(Number(name))).length

const isSocket = (descriptor: number): boolean => {
  try {
    return Fs.fstatSync(descriptor).isSocket()
  } catch {
    // closed by now, as the one the folder was read by
    return false
  }
}

/** Waits, where nothing can be awaited, until a condition holds; a defect when it does not within ten seconds. */
export const until = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    const end = performance.now() + 10_000
    while (!condition()) {
      if (performance.now() > end) return yield* Effect.die(new Error(`not within ten seconds: ${what}`))
      yield* Effect.sleep("5 millis")
    }
  })

/** Waits until this process has as many descriptors of sockets as before. */
export const untilDescriptors = (before: number): Effect.Effect<void> =>
  Effect.catchDefect(
    until("descriptors as before", () => descriptors() === before),
    () => Effect.die(new Error(`${before} descriptors before, ${descriptors()} now`))
  )

/** How long an effect takes, in milliseconds. */
export const timed = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<readonly [value: A, millis: number], E, R> =>
  Effect.map(Effect.timed(effect), ([duration, value]) => [value, Duration.toMillis(duration)] as const)
