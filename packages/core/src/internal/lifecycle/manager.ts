import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import type { DryRun } from "../../Drain.ts"
import type { ConnectionInfo, DrainReport } from "../../DrainReport.ts"
import type { ListenerFaulted, OperationAborted } from "../../ListenerError.ts"
import type { TransportAcceptError, TransportBindError } from "../../Transport.ts"
import type { ResolvedDrain } from "../options/drain.ts"
import type { BadOption } from "../options/time.ts"
import type { Counts } from "../telemetry/counts.ts"
import type { Tracing } from "../telemetry/tracing.ts"
import type { Signal } from "../util/condition.ts"

/** What a listener binds. */
export interface Bindable<B extends Bound> {
  readonly name: string
  readonly bind: Effect.Effect<B, TransportBindError, Scope.Scope>
}

/** What it has bound. */
export interface Bound {
  readonly address: NetAddress.SocketAddress
  /** Sweeps what the kernel had queued, then stops listening. */
  readonly stop: Effect.Effect<void>
  /** Stops listening without the sweep. */
  readonly leave?: Effect.Effect<void> | undefined
  /** While it stops: whether what was queued before still is, where that is known. */
  readonly stillQueued?: (() => boolean | undefined) | undefined
  /** What is open answers through the socket itself, which is released only after it. */
  readonly answersThroughSocket?: boolean | undefined
}

/** Where it listens. The transport is asked once, within the bind: one that cannot say has not bound. */
export interface BoundAddress {
  readonly address: NetAddress.SocketAddress
  readonly shown: string
}

/** Why accepting ended: an error of the transport, or anything it threw. */
export interface AcceptFailure {
  readonly code?: string | undefined
  readonly cause: unknown
  /** `closed`: the process closed the socket, and wants the listener to end. */
  readonly class?: TransportAcceptError["class"] | undefined
}

/** What every kind of listener is made with. */
export interface LifecycleOptions {
  readonly name: string
  readonly clock: Clock.Clock
  /** The context `make` was called in. */
  readonly context: Context.Context<never>
  readonly drain: ResolvedDrain
  /** How long a bind may take, in milliseconds. */
  readonly openLimit: number
  /** What `open` fails with: `make` cannot. */
  readonly badOption: BadOption | undefined
  readonly counts: Counts
  readonly tracing: Tracing
}

/** What differs between kinds of listeners. Methods, so that a listener of one kind is a listener. */
export interface Kind<M extends Manager, B extends Bound> {
  /** What errors call taking an arrival. */
  readonly taking: "accept" | "receive"
  readonly transport: Bindable<B>
  /** The manager of the next lifetime; `before` is that of the one that ended. */
  makeManager(before: M | undefined): M
  /** Called when the listening socket is there, before anything is accepted. */
  opened(manager: M): void
  /** Takes what arrives, until it is interrupted or the listening socket is gone. */
  acceptLoop(manager: M, bound: B): Effect.Effect<void, AcceptFailure>
}

/** The part of a report that only the manager knows. */
export type ManagedReport = Omit<DrainReport, "listener" | "reason" | "outcome" | "duration" | "sweepCut" | "queue">

/** A fiber that waits for something to arrive. */
export interface Waiting {
  readonly fail?: ((error: OperationAborted | ListenerFaulted) => void) | undefined
}

/**
 * What a listener manages during one lifetime, from `Created` to `Closed`:
 * connections, or exchanges of datagrams. Its listener and its close ask no more
 * than this, so that both kinds have one lifetime. `reset` begins another one with
 * a manager of its own, so that nothing of this one can reach into the next.
 */
export interface Manager {
  readonly name: string
  readonly clock: Clock.Clock
  readonly now: () => number
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>, options?: Effect.RunOptions) => Fiber.Fiber<A, E>
  /** Notified when nothing remains, when a handler that was cut has ended, and of what the close itself is told. */
  readonly signal: Signal

  /** The options of the close that runs. */
  drain: ResolvedDrain
  /** When the running close cuts, in monotonic milliseconds; `Infinity` where it has no deadline. */
  deadlineAt: number | undefined
  /** The listening socket is being swept: what arrives had been in the kernel's queue. */
  sweeping: boolean
  /** Taking what arrives has failed, and is soon tried again. */
  retrying: boolean
  /** When something last arrived, in monotonic milliseconds. */
  readonly lastArrival: number
  /** How much nothing has taken yet. */
  readonly queued: number
  /** How much may be open at once; `Infinity` without a limit. */
  readonly limit: number
  /** How much a close waits for. */
  readonly remaining: number
  /** How much a close is about in all. */
  readonly total: number
  /** What is open longest. */
  readonly oldest: ConnectionInfo | undefined
  readonly dryRun: () => DryRun
  /** All that is open or queued, as it stands. */
  readonly describeAll: () => ReadonlyArray<ConnectionInfo>

  /** From now on ends are counted for a report, and the fibers that wait for this close are exempt from it. */
  readonly beginClose: (options: ResolvedDrain) => void
  /** A lame duck: what is open is told, nothing is ended. Later arrivals are told as they come. */
  readonly notifyDraining: () => Effect.Effect<void>
  /** Each ends as it becomes idle. From here on draining is a level that later arrivals read. */
  readonly beginDrain: () => Effect.Effect<void>
  /** Nothing more is queued. */
  readonly stopAccepting: () => void
  /** Takes out the fibers that wait for an arrival, first come first. */
  readonly removeWaiting: () => ReadonlyArray<Waiting>
  /** Refuses what nothing has taken. */
  readonly refuseQueued: () => void
  /** Destroys all that is open, interrupts every handler, and remembers how each one stood. */
  readonly cutAll: () => void
  /** How much was cut so far. */
  readonly cutCount: number
  /** What is idle when the deadline comes is told goodbye, and what had arrived by then is read first. */
  readonly lastLook: () => Effect.Effect<void>
  /** Whether a handler of what was cut still runs. */
  readonly isRunning: boolean
  /** How much of what was cut is not over: handlers that run, sockets that are being destroyed. */
  readonly runningCount: number
  readonly report: () => ManagedReport
  /** Takes back every timer. */
  readonly clearTimers: () => void

  /** A fiber waits for this close: neither is what it does itself waited for, nor what those do that wait for it. */
  readonly wait: (fiber: Fiber.Fiber<unknown, unknown>) => void
  /** `early`: it has given up, and what it does from now on is waited for. */
  readonly stopWaiting: (fiber: Fiber.Fiber<unknown, unknown>, early: boolean) => void
  /** How many are open whose handlers asked for the close. */
  readonly closersCount: number
  readonly cutClosers: () => void
}
