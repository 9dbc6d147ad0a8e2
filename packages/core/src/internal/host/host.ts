import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { DatagramListener } from "../../DatagramListener.ts"
import type { CloseOptions, DrainOptions, DrainProgress } from "../../Drain.ts"
import { type DrainReport, format } from "../../DrainReport.ts"
import type { Listener } from "../../Listener.ts"
import {
  type CloseError,
  InvalidArgument,
  InvalidOperation,
  type OpenError,
  OperationAborted,
  OperationTimedOut,
  withTrail
} from "../../ListenerError.ts"
import type { HostOptions, HostReport, ListenerHost } from "../../ListenerHost.ts"
import type { ListenerRegistry, Member } from "../../ListenerRegistry.ts"
import { DatagramListenerImpl } from "../datagrams/datagramListener.ts"
import { closeLevel } from "../lifecycle/closing/closeReport.ts"
import { Lifecycle } from "../lifecycle/lifecycle.ts"
import { ListenerImpl } from "../lifecycle/listener.ts"
import { joined } from "../lifecycle/member.ts"
import { resolve, type ResolvedDrain } from "../options/drain.ts"
import { type BadOption, millis } from "../options/time.ts"
import { logLine } from "../telemetry/logLine.ts"
import { endSpan, startCloseSpan, type Tracing } from "../telemetry/tracing.ts"
import { Broadcast } from "../util/broadcast.ts"
import * as Foreign from "../util/foreign.ts"
import { HostClose, type HostedListener } from "./hostClose.ts"
import { merge } from "./hostPolicy.ts"

/** Here and not in the public module, which could not be evaluated before this one. */
export const TypeId = "~@effect-listener/core/ListenerHost"

export interface ResolvedHost {
  readonly name: string
  readonly drain: ResolvedDrain
  readonly reserve: number
}

/** The one place where a public host becomes the class. */
export const implementationOf = (host: ListenerHost): HostImpl => {
  if (host instanceof HostImpl) return host
  throw new TypeError("expected a host that ListenerHost has made, not a copy or a likeness of one")
}

/**
 * Several listeners with one lifetime. The shell: it keeps account of its
 * members and of the fibers that wait; `hostClose.ts` is the close, `hostPolicy.ts`
 * what it decides.
 */
export class HostImpl implements ListenerHost {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly name: string
  readonly main = new Set<HostedListener>()
  readonly admin = new Set<HostedListener>()
  readonly others = new Set<Member>()
  readonly clock: Clock.Clock
  readonly reserve: number
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>

  private readonly tracing: Tracing
  private readonly drain: ResolvedDrain
  private readonly given: DrainOptions | undefined
  private readonly drainProgress = new Broadcast<DrainProgress>()
  private closing: HostClose | undefined
  private report: HostReport | undefined
  private readonly closedReport = Deferred.makeUnsafe<HostReport>()
  /** How many fibers wait in `closed`. */
  private closedWaiters = 0
  /** Its main listeners may accept: all that it opens are open. */
  private released: boolean
  private readonly gate = Deferred.makeUnsafe<void>()
  /** Takes it out of the registry it joined. */
  deregister: () => void = () => {}

  constructor(
    resolved: ResolvedHost,
    options: HostOptions,
    context: Context.Context<never>,
    clock: Clock.Clock,
    released: boolean
  ) {
    this.name = resolved.name
    this.drain = resolved.drain
    this.reserve = resolved.reserve
    this.given = options.drain
    this.clock = clock
    this.tracing = { context, clock }
    this.runFork = Effect.runForkWith(context)
    this.released = released
  }

  // --- what can be seen ------------------------------------------------------------------------------------------

  readonly listeners: Effect.Effect<ReadonlyArray<Listener>> = Effect.sync(() =>
    this.every().filter((listener) => listener instanceof ListenerImpl)
  )

  readonly datagramListeners: Effect.Effect<ReadonlyArray<DatagramListener>> = Effect.sync(() =>
    this.every().filter((listener) => listener instanceof DatagramListenerImpl)
  )

  private every(): Array<HostedListener> {
    return [...this.main, ...this.admin]
  }

  readonly readiness: Effect.Effect<boolean> = Effect.sync(() => {
    if (this.closing !== undefined || this.report !== undefined || !this.released || this.main.size === 0) return false
    for (const listener of this.main) if (!listener.ready) return false
    return true
  })

  readonly liveness: Effect.Effect<boolean> = Effect.sync(() => {
    if (this.closing !== undefined || this.report !== undefined) return true
    for (const listener of this.every()) if (listener.stateNow === "Faulted") return false
    return true
  })

  get progress(): Stream.Stream<DrainProgress> {
    return this.drainProgress.stream(() => ({
      values: this.lastProgress === undefined ? [] : [this.closing?.progress() ?? this.lastProgress],
      complete: this.report !== undefined
    }))
  }
  private lastProgress: DrainProgress | undefined

  // --- its members -----------------------------------------------------------------------------------------------

  /** The listeners join it, and it joins the registry they were in, as one. */
  adopt(
    main: Iterable<HostedListener>,
    admin: Iterable<HostedListener>,
    registry: Option.Option<ListenerRegistry>
  ): void {
    for (const listener of main) this.join(listener, this.main)
    for (const listener of admin) this.join(listener, this.admin)
    if (Option.isSome(registry)) this.deregister = joined(registry.value, this.member)
    // after it has joined: in between a main program would find nothing to close
    for (const listener of this.every()) {
      listener.deregister()
      listener.deregister = () => {}
    }
  }

  private join(listener: HostedListener, role: Set<HostedListener>): void {
    role.add(listener)
    listener.onProgress = () => this.closing?.recheck()
  }

  /** What listeners join that are made under this host. */
  registry(isAdmin: (name: string) => boolean): ListenerRegistry {
    const members = new Set<Member>()
    return {
      add: (member) => {
        members.add(member)
        const listener = member.listener instanceof Lifecycle ? member.listener : undefined
        const role = isAdmin(member.name) ? this.admin : this.main
        if (listener !== undefined) listener.badOption ??= this.taken(listener.name)
        if (listener === undefined) this.others.add(member)
        else {
          this.join(listener, role)
          // an admin listener says that the others are not ready yet
          if (!this.released && role === this.main) listener.acceptGate = Deferred.await(this.gate)
        }
        this.closing?.include(listener ?? member)
        // nothing would close it, so it does not open either
        if (this.report !== undefined) listener?.beginShutdown(listener.drainOptions, "host closed")
        return () => {
          members.delete(member)
          this.others.delete(member)
          if (listener === undefined || this.closing !== undefined) return
          role.delete(listener)
          listener.onProgress = undefined
        }
      },
      members: () => Array.from(members)
    }
  }

  /** What is wrong with another listener of this name. */
  private taken(name: string): BadOption | undefined {
    const names = this.every().map((listener) => listener.name)
    if (!names.includes(name)) return undefined
    return { parameter: "name", detail: `is taken (${name}): host "${this.name}" has ${quoted(names)}` }
  }

  /** What is wrong with the names of its admin listeners. */
  missing(admin: ReadonlyArray<string>): BadOption | undefined {
    const names = [...this.every(), ...this.others].map(({ name }) => name)
    const missing = admin.filter((name) => !names.includes(name))
    if (missing.length === 0) return undefined
    return { parameter: "admin", detail: `names ${quoted(missing)}: host "${this.name}" has ${quoted(names)}` }
  }

  /** Completes when all that belongs to it takes connections. */
  private readonly serving: Effect.Effect<void> = Effect.suspend(() => {
    const listeners = this.every()
    const others = Array.from(this.others)
    return Effect.forEach([...listeners, ...others], ({ serving }) => serving ?? Effect.void, { discard: true }).pipe(
      Effect.andThen(Effect.suspend(() => this.released ? Effect.void : Deferred.await(this.gate))),
      // others may have joined meanwhile
      Effect.andThen(
        Effect.suspend(() =>
          this.every().length + this.others.size > listeners.length + others.length ? this.serving : Effect.void
        )
      )
    )
  })

  /** What a main program sees of it. */
  private get member(): Member {
    return {
      name: this.name,
      serving: this.serving,
      progress: this.progress,
      listeners: Effect.sync(() =>
        this.every().flatMap((listener) =>
          // those of a host are of one of these kinds
          listener instanceof ListenerImpl || listener instanceof DatagramListenerImpl
            ? [{ name: listener.name, connections: listener.inFlight, listener }]
            : []
        )
      ),
      context: this.tracing.context,
      shutdown: ({ deadline, queue, reason }) => {
        // a limit that is none does not lower the host's own
        const limit = deadline === undefined
          ? Infinity
          : Result.getOrElse(millis("deadline", deadline, { infinite: true }), () => Infinity)
        return Effect.suspend(() => {
          this.beginShutdown(reason, limit, queue)
          return Effect.map(this.closed, (report) => report.listeners)
        })
      }
    }
  }

  // --- open ------------------------------------------------------------------------------------------------------

  /**
   * Opens all or none: each binds, one after the other, and when the last is
   * bound all are open. Until then what arrives is kept by the transports.
   */
  openAll(listeners: ReadonlyArray<HostedListener>): Effect.Effect<void, OpenError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function*() {
        const opens: Array<Fiber.Fiber<void, OpenError>> = []
        const opened = yield* Effect.exit(restore(Effect.gen({ self: this }, function*() {
          for (const [index, listener] of listeners.entries()) {
            const bound = Deferred.makeUnsafe<void>()
            const gate = Effect.andThen(Deferred.succeed(bound, undefined), Deferred.await(this.gate))
            const open = this.runFork(Effect.suspend(() => listener.openThrough(gate)))
            opens.push(open)
            yield* Effect.raceFirst(Deferred.await(bound), Fiber.join(open)).pipe(
              withTrail(`while opening host "${this.name}": ${index + 1} of ${listeners.length}, none stays open`)
            )
          }
          this.release()
          for (const open of opens) yield* Fiber.join(open)
        })))
        if (Exit.isSuccess(opened)) return
        yield* Fiber.interruptAll(opens)
        const open = listeners.filter((_, index) => opens[index]?.pollUnsafe()?._tag === "Success")
        yield* Effect.forEach(open, takeBack, { discard: true })
        return yield* opened
      })
    )
  }

  /** Lets the main listeners accept. */
  release(): void {
    this.released = true
    Deferred.doneUnsafe(this.gate, Exit.void)
  }

  // --- close -----------------------------------------------------------------------------------------------------

  readonly close = (options?: CloseOptions): Effect.Effect<HostReport, CloseError> =>
    Effect.withFiber((fiber): Effect.Effect<HostReport, CloseError> => {
      const resolved = this.resolveClose(options)
      if (Result.isFailure(resolved)) return Effect.fail(new InvalidArgument({ ...this.at, ...resolved.failure }))
      if (this.report !== undefined) return Effect.succeed(this.report)
      if (this.closing !== undefined && this.closing.phase !== "LameDuck") {
        return Effect.fail(new InvalidOperation({ ...this.at, state: "Closing" }))
      }
      return this.awaitedBy(
        fiber,
        Effect.suspend(() => {
          // another close is in its lame duck, which is over now: both get one report
          this.closing?.hasten({ ...resolved.success, reserve: this.reserve })
          const parent = Context.getOption(fiber.context, Tracer.ParentSpan)
          const closing = this.closing ?? this.begin(resolved.success, options, options?.reason ?? "close", parent)
          closing.waiters++
          return Effect.onInterrupt(Deferred.await(closing.result), () =>
            Effect.sync(() => {
              closing.waiters--
            }))
        })
      )
    })

  private get at() {
    return { operation: "close", listener: this.name, trail: [] }
  }

  private resolveClose(options: CloseOptions | undefined): Result.Result<ResolvedDrain, BadOption> {
    return Result.flatMap(
      resolve(options, this.drain, { infiniteDeadline: true, prefix: "" }),
      (drain) =>
        drain.deadline >= this.reserve ? Result.succeed(drain) : Result.fail({
          parameter: "deadline",
          detail: `is less than the reserve (${drain.deadline} ms < ${this.reserve} ms)`
        })
    )
  }

  private begin(
    drain: ResolvedDrain,
    options: CloseOptions | undefined,
    reason: string,
    parent: Option.Option<Tracer.AnySpan>,
    reserve = this.reserve
  ): HostClose {
    // the options were checked before: what is given to the host or to the close goes before the listener's own
    const over = (given: DrainOptions | undefined, own: ResolvedDrain) =>
      Result.getOrElse(resolve(given, own, { infiniteDeadline: true }), () => own)
    const closing = new HostClose(this, {
      drain,
      drainOf: (listener) => over(options, over(this.given, listener.drainOptions)),
      reserve,
      reason
    })
    this.closing = closing
    // what arrived while the host was opening is served as it closes
    this.release()
    const attributes = { host: this.name, reason }
    const span = () => startCloseSpan(this.tracing, "ListenerHost.close", attributes, parent)
    closing.span = Foreign.call(closing, "span", span, undefined)
    this.runFork(closing.run())
    return closing
  }

  /** Begins to close, or joins a close that runs, with the smaller deadline. */
  private beginShutdown(reason: string, limit: number, queue: ResolvedDrain["queue"] = "sweep"): void {
    if (this.report !== undefined) return
    const deadline = Math.min(limit, this.drain.deadline)
    // of a limit from outside the reserve takes no more than half: else clients were cut for the finalizers' sake
    const reserve = limit < this.drain.deadline ? Math.min(this.reserve, deadline / 2) : this.reserve
    if (this.closing !== undefined) this.closing.hasten({ deadline, queue, reserve })
    else this.begin({ ...this.drain, deadline }, { queue }, reason, Option.none(), reserve)
  }

  readonly onProgress = (progress: DrainProgress): void => {
    this.lastProgress = progress
    this.drainProgress.publish(progress)
  }

  readonly finished = (closing: HostClose, report: HostReport): Effect.Effect<void> =>
    Effect.sync(() => {
      const exit = this.closeExit(closing, report)
      this.record(closing, report, exit)
      this.report = report
      this.closing = undefined
      this.onProgress(closing.progress())
      this.drainProgress.endCurrent()
      Deferred.doneUnsafe(this.closedReport, Exit.succeed(report))
      Deferred.doneUnsafe(closing.result, exit)
    })

  /** Before the waiters of a close are woken: they may end the process. */
  private record(closing: HostClose, report: HostReport, exit: Exit.Exit<HostReport, CloseError>): void {
    const { outcome } = report
    const { span } = closing
    if (span !== undefined) Foreign.call(closing, "end of a span", () => endSpan(this.tracing, span, exit), undefined)
    const received = closing.waiters + this.closedWaiters > 0
    const level = closeLevel({ outcome, lost: report.totals.cut + report.totals.handlersLeftBehind, received })
    // the listeners have named what they cut
    const named = { ...merge(report), cut: [], handlersLeftBehind: [] }
    const summary = Foreign.call(closing, "report", () => format(named), `${this.name}: ${outcome}`)
    this.runFork(logLine(Effect.logWithLevel(level)(summary), {
      event: "close",
      host: this.name,
      outcome,
      cut: report.totals.cut
    }))
  }

  private closeExit(closing: HostClose, report: HostReport): Exit.Exit<HostReport, CloseError> {
    if (!closing.overtaken && !closing.timedOut) return Exit.succeed(report)
    const { deadline } = closing
    const make = (report: DrainReport | undefined) =>
      closing.overtaken
        ? new OperationAborted({ ...this.at, report })
        : new OperationTimedOut({ ...this.at, deadline, report })
    // a report with something in it that no schema takes must not keep the close from ending
    return Exit.fail(Foreign.call(closing, "report", () => make(merge(report)), undefined) ?? make(undefined))
  }

  /** Waits for something of a close without waiting for the connections of the fiber that waits. */
  private awaitedBy<A, E>(fiber: Fiber.Fiber<unknown, unknown>, wait: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const stop = this.every().map((listener) => listener.awaitedBy(fiber))
    return Effect.onExit(wait, () =>
      Effect.sync(() => {
        for (const take of stop) take()
      }))
  }

  readonly closed: Effect.Effect<HostReport> = Effect.withFiber((fiber) => {
    if (this.report !== undefined) return Effect.succeed(this.report)
    this.closedWaiters++
    return Effect.onInterrupt(this.awaitedBy(fiber, Deferred.await(this.closedReport)), () =>
      Effect.sync(() => {
        this.closedWaiters--
      }))
  })

  readonly abort: Effect.Effect<void> = Effect.suspend(() => {
    if (this.report !== undefined) return Effect.void
    return Effect.forEach(this.every(), (listener) => listener.abort, { discard: true })
  })

  /** The finalizer: every listener is closed when it is done, and no report is received. */
  readonly finish: Effect.Effect<void> = Effect.withFiber((fiber) => {
    this.beginShutdown("scope closed", Infinity)
    const done = this.report === undefined ? this.awaitedBy(fiber, Deferred.await(this.closedReport)) : Effect.void
    return Effect.andThen(
      done,
      Effect.sync(() => {
        this.drainProgress.end()
        this.deregister()
      })
    )
  })
}

/** Names in the words of an error. */
export const quoted = (names: ReadonlyArray<string>): string => names.map((name) => `"${name}"`).join(", ")

/** Closes a listener again that was open already when another one was aborted: back to `Created`. */
const takeBack = (listener: HostedListener): Effect.Effect<void> =>
  Effect.andThen(listener.abort, Effect.andThen(Effect.ignore(listener.close()), Effect.ignore(listener.reset)))
