import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as LogLevel from "effect/LogLevel"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { AdmissionOptions } from "../../Admission.ts"
import type { Connection } from "../../Connection.ts"
import type { CloseOptions, DrainProgress, DryRun } from "../../Drain.ts"
import { type ConnectionInfo, type DrainReport, format } from "../../DrainReport.ts"
import type { Listener, ListenerOptions } from "../../Listener.ts"
import {
  type AcceptError,
  type CloseError,
  format as formatError,
  InvalidArgument,
  InvalidOperation,
  ListenerFaulted,
  type OpenError,
  OperationAborted,
  OperationTimedOut
} from "../../ListenerError.ts"
import { CurrentRegistry } from "../../ListenerRegistry.ts"
import { type Action, type Event, type ListenerState, type Operation, transition } from "../../ListenerState.ts"
import type { BoundTransport, Transport } from "../../Transport.ts"
import { pump } from "../accept/acceptLoop.ts"
import type { Taker } from "../accept/acceptQueue.ts"
import { admissionDefaults, resolveAdmission, resolveTimeouts, timeoutDefaults } from "../accept/admission.ts"
import type { ConnectionImpl } from "../connection/connection.ts"
import { Life, type LifeOptions } from "../connection/connectionManager.ts"
import { Tally } from "../connection/connections.ts"
import { finish, type Registration, registrationTaker } from "../connection/handler.ts"
import { handshake, isReady } from "../connection/handshake.ts"
import { defaults, millis, resolve, type ResolvedDrain } from "../options/drain.ts"
import type { Counted } from "../telemetry/counts.ts"
import { publish } from "../telemetry/metrics.ts"
import { endSpan, startCloseSpan } from "../telemetry/tracing.ts"
import { Broadcast } from "../util/broadcast.ts"
import { sleep } from "../util/timers.ts"
import { Drain, type DrainHost } from "./listenerClose.ts"
import { fromBindError, transportFailure } from "./transportErrors.ts"

/** Here and not in the public module, which could not be evaluated before this one. */
export const TypeId = "~@effect-listener/core/Listener"

/** A bind that is under way. */
interface OpenAttempt {
  readonly result: Deferred.Deferred<void, OpenError>
  readonly done: Deferred.Deferred<void>
  fiber: Fiber.Fiber<unknown, unknown> | undefined
}

/** A listening socket, the loop that accepts from it, and the scope that owns it. */
interface Binding {
  readonly bound: BoundTransport
  readonly scope: Scope.Closeable
  pump: Fiber.Fiber<unknown, unknown> | undefined
  released: Deferred.Deferred<void> | undefined
}

/**
 * The shell around the state machine: asks `transition`, and performs the action
 * it decides. Other fibers resume inside the calls made here, so each operation
 * records its decision first and wakes others last.
 */
export class ListenerImpl implements Listener, Counted {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly name: string
  private readonly transport: Transport
  private readonly options: LifeOptions
  private readonly badOption: { readonly parameter: string; readonly detail: string } | undefined
  private readonly stateChanges = new Broadcast<ListenerState>()
  private readonly drainProgress = new Broadcast<DrainProgress>()
  private readonly runFork: <A, E>(effect: Effect.Effect<A, E>, options?: Effect.RunOptions) => Fiber.Fiber<A, E>

  private current: ListenerState = "Created"
  private life: Life
  private attempt: OpenAttempt | undefined
  private binding: Binding | undefined
  /** The bind before is given back; the next one waits for it. */
  private releasing: Effect.Effect<void> = Effect.void
  private boundAddress: NetAddress.SocketAddress | undefined
  private faultReason: ListenerFaulted["reason"] = "Aborted"
  private drain: Drain | undefined
  private lastReport: DrainReport | undefined
  private lastProgress: DrainProgress | undefined
  private closedReport: Deferred.Deferred<DrainReport> = Deferred.makeUnsafe()
  /** Ends every `serve` of this life. */
  private served: Deferred.Deferred<DrainReport, ListenerFaulted> = Deferred.makeUnsafe()
  /** How many fibers wait in `closed`. */
  private closedWaiters = 0
  /** The owner scope has closed. */
  private finished = false
  /** What its first accept waits for: a host that opens all of its listeners first. */
  held: Effect.Effect<void> = Effect.void
  /** Told of every step of a close. */
  onProgress: (() => void) | undefined
  /** Takes it out of the registry it joined. */
  leave: () => void = () => {}

  constructor(transport: Transport, options: ListenerOptions, context: Context.Context<never>, clock: Clock.Clock) {
    this.name = options.name ?? transport.name
    this.transport = transport
    const drain = resolve(options.drain, defaults)
    const admission = resolveAdmission(options.admission, admissionDefaults)
    const timeouts = resolveTimeouts(options.timeouts)
    this.badOption = Option.getOrUndefined(
      Option.firstSomeOf([Result.getFailure(drain), Result.getFailure(admission), Result.getFailure(timeouts)])
    )
    this.options = {
      name: this.name,
      clock,
      context,
      drain: Result.getOrElse(drain, () => defaults),
      admission: Result.getOrElse(admission, () => admissionDefaults),
      timeouts: Result.getOrElse(timeouts, () => timeoutDefaults),
      counts: publish(context, this.name),
      tracing: {
        context,
        clock,
        connections: options.tracing?.connections === true,
        exchanges: options.tracing?.exchanges === true
      },
      maskRemote: options.maskRemote === true
    }
    this.options.counts.listeners.add(this)
    this.runFork = Effect.runForkWith(context)
    this.life = new Life(this.options)
  }

  // --- state -----------------------------------------------------------------------------------------------------

  readonly state: Effect.Effect<ListenerState> = Effect.sync(() => this.current)

  get stateNow(): ListenerState {
    return this.current
  }

  get ready(): boolean {
    return this.current === "Open" && this.drain === undefined
  }

  readonly readiness: Effect.Effect<boolean> = Effect.sync(() => this.ready)

  get changes(): Stream.Stream<ListenerState> {
    return this.stateChanges.stream(() => ({ values: [this.current], complete: this.finished }))
  }

  readonly address: Effect.Effect<NetAddress.SocketAddress, InvalidOperation> = Effect.suspend(() =>
    this.boundAddress === undefined ? Effect.fail(this.invalidOperation("address")) : Effect.succeed(this.boundAddress)
  )

  /** Asks the state machine; a transition is recorded, published, and its action returned. */
  private step(event: Event): Result.Result<Action, "InvalidOperation" | "ListenerFaulted"> {
    const step = transition(this.current, event)
    if (Result.isFailure(step)) return Result.fail(step.failure)
    if (step.success.next !== this.current) {
      this.current = step.success.next
      this.stateChanges.publish(this.current)
    }
    return Result.succeed(step.success.action)
  }

  /** One line for one event of the lifetime. */
  private log(level: LogLevel.Severity, event: string, message: string, annotations: Record<string, unknown>): void {
    this.runFork(Effect.annotateLogs(Effect.logWithLevel(level)(message), {
      event,
      listener: this.name,
      ...annotations
    }))
  }

  private at(operation: Operation | "address") {
    return { operation, listener: this.name, trail: [] }
  }
  private invalidOperation(operation: Operation | "address"): InvalidOperation {
    return new InvalidOperation({ ...this.at(operation), state: this.current })
  }
  private faulted(operation: Operation): ListenerFaulted {
    return new ListenerFaulted({ ...this.at(operation), reason: this.faultReason })
  }

  // --- open ------------------------------------------------------------------------------------------------------

  readonly open: Effect.Effect<void, OpenError> = Effect.suspend(() => this.openThrough(Effect.void))

  /** Binds, and is open when the gate lets it pass: a host binds all of its listeners before one of them accepts. */
  openThrough(gate: Effect.Effect<void>): Effect.Effect<void, OpenError> {
    return Effect.useSpan(
      "Listener.open",
      { attributes: { listener: this.name } },
      (span) =>
        Effect.map(this.beginOpen(gate), () => {
          if (this.boundAddress !== undefined) {
            span.attribute("address", NetAddress.formatSocketAddress(this.boundAddress))
          }
        })
    )
  }

  private beginOpen(gate: Effect.Effect<void>): Effect.Effect<void, OpenError> {
    if (this.finished) return Effect.fail(this.invalidOperation("open"))
    if (this.current === "Created" && this.badOption !== undefined) {
      return Effect.fail(new InvalidArgument({ ...this.at("open"), ...this.badOption }))
    }
    if (Result.isFailure(this.step("open"))) return Effect.fail(this.invalidOperation("open"))
    const attempt: OpenAttempt = { result: Deferred.makeUnsafe(), done: Deferred.makeUnsafe(), fiber: undefined }
    this.attempt = attempt
    attempt.fiber = this.runFork(this.bind(attempt, gate, this.releasing), { uninterruptible: true })
    return Effect.onInterrupt(Deferred.await(attempt.result), () =>
      Effect.suspend(() => {
        this.cancelOpen(attempt)
        // who interrupts an open finds the port free
        return Deferred.await(attempt.done)
      }))
  }

  /** Binds in a fiber of its own, so that an abort need not wait for it. */
  private bind(attempt: OpenAttempt, gate: Effect.Effect<void>, before: Effect.Effect<void>): Effect.Effect<void> {
    const limit = this.options.timeouts.open
    const limited = <A, E>(bind: Effect.Effect<A, E>): Effect.Effect<A, E | OperationTimedOut> =>
      limit === Infinity ? bind : Effect.timeoutOrElse(bind, {
        duration: Duration.millis(limit),
        orElse: () => Effect.fail(new OperationTimedOut({ ...this.at("open"), deadline: limit }))
      })
    return Effect.gen({ self: this }, function*() {
      yield* before
      const scope = Scope.makeUnsafe()
      const bound = limited(Scope.provide(this.transport.bind, scope))
      const exit = yield* Effect.exit(Effect.interruptible(Effect.tap(bound, gate)))
      if (this.attempt === attempt && Exit.isSuccess(exit)) return this.opened(attempt, exit.value, scope)
      yield* Scope.close(scope, Exit.void)
      if (this.attempt !== attempt || Exit.isSuccess(exit)) return
      this.attempt = undefined
      this.step("openFailed")
      Deferred.doneUnsafe(
        attempt.result,
        Exit.failCause(
          Cause.map(
            exit.cause,
            (error): OpenError => error instanceof OperationTimedOut ? error : fromBindError(error, this.at("open"))
          )
        )
      )
    }).pipe(Effect.ensuring(Effect.sync(() => Deferred.doneUnsafe(attempt.done, Exit.void))))
  }

  private opened(attempt: OpenAttempt, bound: BoundTransport, scope: Scope.Closeable): void {
    const binding: Binding = { bound, scope, pump: undefined, released: undefined }
    this.attempt = undefined
    this.binding = binding
    this.boundAddress = bound.address
    this.life.limits.watch()
    this.step("opened")
    binding.pump = this.runFork(Effect.andThen(this.held, this.acceptLoop(binding)))
    Deferred.doneUnsafe(attempt.result, Exit.void)
    const address = NetAddress.formatSocketAddress(bound.address)
    this.log("Info", "open", `listener "${this.name}" is open at ${address}`, { address })
  }

  private cancelOpen(attempt: OpenAttempt): void {
    if (this.attempt !== attempt) return
    this.attempt = undefined
    this.releasing = Deferred.await(attempt.done)
    this.step("abort")
    attempt.fiber?.interruptUnsafe()
    Deferred.doneUnsafe(attempt.result, Exit.fail(new OperationAborted(this.at("open"))))
  }

  // --- accepting -------------------------------------------------------------------------------------------------

  private acceptLoop(binding: Binding): Effect.Effect<void> {
    const { life } = this
    return pump(binding.bound, {
      arrive: (connection) => life.arrive(connection),
      onError: (error) => {
        const code = error.code ?? "unknown"
        life.counts.acceptError(code)
        return Effect.logWarning(`accept failed on listener "${this.name}"`, error.message).pipe(
          Effect.annotateLogs({ event: "acceptFailed", listener: this.name, class: error.class, code })
        )
      },
      hurry: life.signal.until(() => life.sweeping)
    }).pipe(Effect.catchCause((cause) =>
      // a transport that throws has died no less than one that fails
      Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.sync(() =>
        this.fault(
          binding,
          Option.getOrElse(Cause.findErrorOption(cause), () => ({ cause: Cause.squash(cause) }))
        )
      )
    ))
  }

  /** The listening socket died: nothing new comes, what is open goes on until `close`. */
  private fault(binding: Binding, error: { readonly code?: string | undefined; readonly cause: unknown }): void {
    const reason = transportFailure(error, this.at("accept"))
    this.runFork(this.release(binding))
    if (this.current !== "Open") return
    this.faultReason = reason
    this.step("fault")
    this.life.stopAccepting()
    this.failAccepts(() => this.faulted("accept"))
    Deferred.doneUnsafe(this.served, Exit.fail(this.faulted("accept")))
    this.log("Error", "fault", formatError(reason), { code: reason.code ?? "unknown" })
  }

  readonly accept: Effect.Effect<Connection, AcceptError, Scope.Scope> = Effect.uninterruptibleMask((restore) =>
    Effect.withFiber((fiber) =>
      Effect.suspend((): Effect.Effect<Connection, AcceptError, Scope.Scope> => {
        const { life } = this
        let given: ConnectionImpl | undefined
        const wait = Effect.callback<ConnectionImpl, AcceptError>((resume) => {
          const refused = this.refuseAccept()
          if (refused !== undefined) return resume(Effect.fail(refused))
          const taker: Taker = {
            once: true,
            take: (connection) => {
              given = connection
              resume(Effect.succeed(connection))
            },
            fail: (error) => resume(Effect.fail(error))
          }
          life.queue.add(taker)
          return Effect.sync(() => life.queue.remove(taker))
        })
        // whatever lies between being given a connection and owning it, none is lost
        const taken = Effect.onExit(restore(wait), (exit) =>
          Effect.sync(() => {
            if (Exit.isFailure(exit) && given !== undefined) life.giveBack(given)
          }))
        return Effect.flatMap(taken, (connection) => this.own(life, connection, fiber, restore))
      })
    )
  )

  /** What an accept is refused with now, if it is. */
  private refuseAccept(): AcceptError | undefined {
    // while the queue is swept, who accepts is served by it
    if (this.current === "Closing" && this.life.sweeping) return undefined
    const step = this.step("accept")
    if (Result.isSuccess(step)) return undefined
    return step.failure === "ListenerFaulted" ? this.faulted("accept") : this.invalidOperation("accept")
  }

  /** An accepted connection lives in the caller's scope, once its handshake is done. */
  private own(
    life: Life,
    connection: ConnectionImpl,
    fiber: Fiber.Fiber<unknown, unknown>,
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ): Effect.Effect<Connection, AcceptError, Scope.Scope> {
    connection.fiber = fiber
    const owned = Effect.suspend(() => {
      life.begin(connection)
      return Effect.as(Effect.addFinalizer((exit) => finish(life, connection, exit)), connection)
    })
    if (isReady(connection)) return owned
    return Effect.flatMap(Effect.exit(restore(handshake(life, connection))), (exit) => {
      if (Exit.isSuccess(exit)) return owned
      const ended = finish(life, connection, exit)
      // a client that fails its handshake is no reason to fail an accept
      return Cause.hasInterrupts(exit.cause)
        ? Effect.andThen(ended, Effect.interrupt)
        : Effect.andThen(ended, Effect.suspend(() => life.accepting ? this.accept : this.lateAccept))
    })
  }

  /** What an accept ends with that was pending when accepting ended. */
  private readonly lateAccept: Effect.Effect<never, AcceptError> = Effect.suspend(() =>
    Effect.fail(this.current === "Faulted" ? this.faulted("accept") : new OperationAborted(this.at("accept")))
  )

  private failAccepts(make: () => OperationAborted | ListenerFaulted): void {
    const waiting = this.life.queue.removeWaiting()
    if (waiting.length === 0) return
    // the first error of a program takes milliseconds to make, and as a rule nobody accepts
    const error = make()
    for (const taker of waiting) taker.fail?.(error)
  }

  // --- serving ---------------------------------------------------------------------------------------------------

  /** Gives connections to a taker from now on; the result takes it back. */
  register(taker: (life: Life) => Taker): () => void {
    const { life } = this
    const member = taker(life)
    life.queue.add(member)
    return () => life.queue.remove(member)
  }

  serve(taker: (life: Life) => Taker): Effect.Effect<DrainReport, ListenerFaulted> {
    return Effect.suspend((): Effect.Effect<DrainReport, ListenerFaulted> => {
      switch (this.current) {
        case "Faulted":
          return Effect.fail(this.faulted("accept"))
        case "Closing":
        case "Closed":
          return this.closed
        default: {
          const unregister = this.register(taker)
          return Effect.onExit(Deferred.await(this.served), () => Effect.sync(unregister))
        }
      }
    })
  }

  serveHandler(registration: Registration): Effect.Effect<DrainReport, ListenerFaulted> {
    return this.serve((life) => registrationTaker(life, registration))
  }

  // --- close -----------------------------------------------------------------------------------------------------

  readonly close = (options?: CloseOptions): Effect.Effect<DrainReport, CloseError> =>
    Effect.withFiber((fiber): Effect.Effect<DrainReport, CloseError> => {
      const resolved = resolve(options, this.options.drain, { infiniteDeadline: true, prefix: "" })
      if (Result.isFailure(resolved)) {
        return Effect.fail(new InvalidArgument({ ...this.at("close"), ...resolved.failure }))
      }
      if (this.drain !== undefined && this.current !== "Closing") {
        // another close is in its lame duck, which is over now: both get one report
        this.drain.hasten(resolved.success.deadline)
        return this.awaitDrain(this.drain, fiber)
      }
      const drain = this.decideClose(resolved.success, options?.reason ?? "close")
      if (drain === "InvalidOperation") return Effect.fail(this.invalidOperation("close"))
      if (!(drain instanceof Drain)) return Effect.succeed(drain)
      // waiting comes first: where nothing is open, the drain is over before it returns
      const report = this.awaitDrain(drain, fiber)
      this.start(drain, Context.getOption(fiber.context, Tracer.ParentSpan))
      return report
    })

  /** Decides about a close and starts what it takes. */
  private beginClose(options: ResolvedDrain, reason: string, parent: Option.Option<Tracer.AnySpan>): void {
    const drain = this.decideClose(options, reason)
    if (drain instanceof Drain) this.start(drain, parent)
  }

  /** Runs a drain in a fiber of its own, as a span of who asked for it. */
  private start(drain: Drain, parent: Option.Option<Tracer.AnySpan>): void {
    const attributes = { listener: this.name, reason: drain.reason }
    drain.span = startCloseSpan(this.options.tracing, "Listener.close", attributes, parent)
    this.runFork(drain.run())
  }

  /** Decides about a close: the drain it takes, or the report where it takes none. A lame duck comes before the transition. */
  private decideClose(options: ResolvedDrain, reason: string): Drain | DrainReport | "InvalidOperation" {
    const before = this.current
    const lame = before === "Open" && options.lameDuck.max > 0
    if (!lame) {
      const step = this.step("close")
      if (Result.isFailure(step)) return "InvalidOperation"
      if (step.success !== "Drain") {
        const report = this.lastReport ?? emptyReport(this.name, reason)
        if (step.success === "Finish") this.publish(report)
        return report
      }
    }
    return this.drain = new Drain(
      this.drainHost(),
      lame ? options : { ...options, lameDuck: defaults.lameDuck },
      reason,
      before === "Faulted" && this.faultReason === "Aborted"
    )
  }

  private drainHost(): DrainHost {
    const { binding, life } = this
    return {
      life,
      closing: () => this.step("close"),
      stop: binding === undefined || binding.released !== undefined ? Effect.void : binding.bound.stop,
      release: binding === undefined ? Effect.void : this.release(binding),
      failAccepts: () => this.failAccepts(() => new OperationAborted(this.at("accept"))),
      onProgress: (progress) => {
        this.lastProgress = progress
        this.drainProgress.publish(progress)
        this.onProgress?.()
      },
      finished: (drain, report) => this.drained(drain, report)
    }
  }

  /** Ends the accept loop and the listening socket; whoever comes second waits for the first. */
  private release(binding: Binding): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (binding.released !== undefined) return Deferred.await(binding.released)
      const released = binding.released = Deferred.makeUnsafe<void>()
      return Effect.uninterruptible(Effect.andThen(
        binding.pump === undefined ? Effect.void : Fiber.interrupt(binding.pump),
        Effect.onExit(
          Scope.close(binding.scope, Exit.void),
          () => Effect.sync(() => Deferred.doneUnsafe(released, Exit.void))
        )
      ))
    })
  }

  /** Waits for a running close. Interrupting it stops the waiting, not the drain. */
  private awaitDrain(drain: Drain, fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<DrainReport, CloseError> {
    this.life.excuse(fiber)
    drain.waiters++
    return Effect.onInterrupt(Deferred.await(drain.result), () =>
      Effect.sync(() => {
        drain.waiters--
      }))
  }

  readonly closed: Effect.Effect<DrainReport> = Effect.suspend(() => this.endOf(this.life, this.closedReport, true))

  /** The end of one life, also when another has begun before the caller looks. */
  private endOf(life: Life, report: Deferred.Deferred<DrainReport>, received: boolean): Effect.Effect<DrainReport> {
    return Effect.withFiber((fiber) => {
      if (Deferred.isDoneUnsafe(report)) return Deferred.await(report)
      life.wait(fiber, this.drain !== undefined)
      if (received) this.closedWaiters++
      return Effect.onExit(Deferred.await(report), (exit) =>
        Effect.sync(() => {
          life.stopWaiting(fiber)
          if (received && Exit.isFailure(exit)) this.closedWaiters--
        }))
    })
  }

  private drained(drain: Drain, report: DrainReport): Effect.Effect<void> {
    return Effect.sync(() => {
      const exit = this.closeExit(drain, report)
      this.record(drain, report, exit)
      this.drain = undefined
      this.binding = undefined
      this.boundAddress = undefined
      this.step("drained")
      const progress = drain.progress()
      this.lastProgress = progress
      this.drainProgress.publish(progress)
      this.drainProgress.endCurrent()
      this.endClosers(this.life, drain.options.abortGrace)
      this.publish(report)
      Deferred.doneUnsafe(drain.result, exit)
    })
  }

  /** Before anybody is woken by the end of a close, who may end the process. */
  private record(drain: Drain, report: DrainReport, exit: Exit.Exit<DrainReport, CloseError>): void {
    const { counts, tracing } = this.options
    const { outcome } = report
    counts.closes[outcome]++
    counts.lastClose = report.duration
    counts.handlersLeftBehind += report.handlersLeftBehind.length
    if (drain.span !== undefined) endSpan(tracing, drain.span, exit)
    const received = drain.waiters + this.closedWaiters > 0
    const level = outcome !== "Drained" && !received ? "Warn" : "Info"
    this.log(level, "close", format(report), { outcome, cut: report.connections.cut })
  }

  private closeExit(drain: Drain, report: DrainReport): Exit.Exit<DrainReport, CloseError> {
    if (report.outcome === "DeadlineExceeded") {
      return Exit.fail(new OperationTimedOut({ ...this.at("close"), deadline: drain.options.deadline, report }))
    }
    return drain.overtaken ? Exit.fail(new OperationAborted({ ...this.at("close"), report })) : Exit.succeed(report)
  }

  private publish(report: DrainReport): void {
    this.lastReport = report
    Deferred.doneUnsafe(this.closedReport, Exit.succeed(report))
    Deferred.doneUnsafe(this.served, Exit.succeed(report))
  }

  /** Nobody waited for the connections whose handlers closed the listener; they do not stay either. */
  private endClosers(life: Life, grace: number): void {
    if (life.connections.closers.size === 0) return
    this.runFork(Effect.andThen(
      Effect.raceFirst(
        life.signal.until(() => life.connections.closers.size === 0),
        sleep(life.clock, grace)
      ),
      Effect.sync(() => life.cutClosers())
    ))
  }

  // --- abort, reset ----------------------------------------------------------------------------------------------

  readonly abort: Effect.Effect<void> = Effect.sync(() => {
    if (this.attempt !== undefined) return this.cancelOpen(this.attempt)
    const step = this.step("abort")
    if (Result.isFailure(step)) return
    if (step.success === "Escalate") this.drain?.escalate()
    if (step.success !== "Cut") return
    this.faultReason = "Aborted"
    this.life.stopAccepting()
    if (this.binding !== undefined) this.runFork(this.release(this.binding))
    this.failAccepts(() => new OperationAborted(this.at("accept")))
    this.life.cutAll()
    Deferred.doneUnsafe(this.served, Exit.fail(this.faulted("accept")))
    this.drain?.escalate()
    const cut = this.life.cut.length
    this.log("Warn", "abort", `listener "${this.name}" was aborted; connections cut: ${cut}`, { cut })
  })

  readonly reset: Effect.Effect<void, InvalidOperation> = Effect.suspend(() => {
    if (this.finished) return Effect.fail(this.invalidOperation("reset"))
    const step = this.step("reset")
    if (Result.isFailure(step)) return Effect.fail(this.invalidOperation("reset"))
    if (step.success === "Forget") {
      this.life = new Life({ ...this.options, admission: this.life.limits.resolved })
      this.closedReport = Deferred.makeUnsafe()
      this.served = Deferred.makeUnsafe()
      this.closedWaiters = 0
      this.lastReport = undefined
      this.lastProgress = undefined
    }
    return Effect.void
  })

  // --- the owner -------------------------------------------------------------------------------------------------

  /** Begins to bring any state to `Closed`; joins a close that runs, with the smaller deadline. */
  beginShutdown(
    options: ResolvedDrain,
    reason: string,
    parent: Option.Option<Tracer.AnySpan> = Option.none()
  ): void {
    if (this.attempt !== undefined) this.cancelOpen(this.attempt)
    if (this.drain !== undefined) this.drain.hasten(options.deadline)
    else this.beginClose(options, reason, parent)
  }

  /**
   * Brings any state to `Closed`; joins a close that runs, with the smaller deadline. Never fails. A report that its
   * caller does not receive, like nobody else, is logged as a warning where it is not clean.
   */
  shutdown(
    reason: string,
    { limit, received }: { readonly limit: number; readonly received: boolean }
  ): Effect.Effect<DrainReport> {
    return Effect.suspend(() => {
      this.beginShutdown({ ...this.drainOptions, deadline: Math.min(limit, this.drainOptions.deadline) }, reason)
      return Effect.andThen(this.releasing, this.endOf(this.life, this.closedReport, received))
    })
  }

  /** Begins a lame duck that only a close, an abort or a shutdown ends; on what is not open it does nothing. */
  beginLameDuck(options: ResolvedDrain, reason: string, parent: Option.Option<Tracer.AnySpan>): void {
    if (this.current !== "Open" || this.drain !== undefined) return
    this.beginClose({ ...options, lameDuck: { min: 0, quiet: 0, max: Infinity } }, reason, parent)
  }

  get drainOptions(): ResolvedDrain {
    return this.options.drain
  }

  /** When a connection last arrived, in monotonic milliseconds. */
  get lastArrival(): number {
    return this.life.lastArrival
  }

  /** The close that runs, as it stands. */
  get closing(): DrainProgress | undefined {
    return this.drain?.progress()
  }

  get closingNow(): Counted["closingNow"] {
    const { drain } = this
    return drain === undefined
      ? undefined
      : { stage: drain.stageNumber, duration: drain.duration, remaining: drain.remaining }
  }

  get queued(): number {
    return this.life.queue.size
  }

  /** A fiber waits for this close: it does not wait for the fiber's own connections. The result takes it back. */
  awaitedBy(fiber: Fiber.Fiber<unknown, unknown>): () => void {
    const { life } = this
    life.wait(fiber, this.drain !== undefined)
    return () => life.stopWaiting(fiber)
  }

  /** The finalizer of `make`: nothing of the listener is left when it is done. */
  readonly finish: Effect.Effect<void> = Effect.suspend(() => {
    this.finished = true
    const closed = this.shutdown("scope closed", { limit: Infinity, received: false })
    const { life } = this
    return closed.pipe(
      Effect.tap(() => life.signal.until(() => life.connections.closers.size === 0)),
      Effect.andThen(Effect.sync(() => {
        this.stateChanges.end()
        this.drainProgress.end()
        this.options.counts.listeners.delete(this)
      }))
    )
  })

  // --- what can be seen ------------------------------------------------------------------------------------------

  readonly connections: Effect.Effect<ReadonlyArray<ConnectionInfo>> = Effect.sync(() =>
    this.everyConnection().map((connection) => connection.describe())
  )

  private everyConnection(): Array<ConnectionImpl> {
    const { connections, queue } = this.life
    return connections.snapshot().concat(connections.closers.toArray(), queue.snapshot())
  }

  get progress(): Stream.Stream<DrainProgress> {
    return this.drainProgress.stream(() => ({
      values: this.lastProgress === undefined ? [] : [this.drain?.progress() ?? this.lastProgress],
      complete: this.current === "Closed"
    }))
  }

  readonly dryRun: Effect.Effect<DryRun> = Effect.sync(() => {
    const { connections, queue } = this.life
    const active = connections.filter((connection) => !connection.idle)
    return {
      active: active.length,
      idle: connections.counted - active.length,
      queued: queue.size,
      waitingFor: active.map((connection) => connection.describe())
    }
  })

  readonly setAdmission = (options: AdmissionOptions): Effect.Effect<void, InvalidArgument> =>
    Effect.suspend(() => {
      const { limits, queue } = this.life
      const resolved = resolveAdmission(options, limits.resolved)
      if (Result.isFailure(resolved)) {
        return Effect.fail(
          new InvalidArgument({ operation: "setAdmission", listener: this.name, trail: [], ...resolved.failure })
        )
      }
      limits.change(resolved.success, this.everyConnection())
      queue.match()
      return Effect.void
    })
}

const emptyReport = (listener: string, reason: string): DrainReport => ({
  listener,
  reason,
  outcome: "Drained",
  duration: 0,
  swept: 0,
  sweepCut: false,
  refused: 0,
  connections: new Tally().counts(0),
  cut: [],
  handlersLeftBehind: []
})

/** Makes a listener that belongs to the scope it is made in. */
export const make = (
  transport: Transport,
  options: ListenerOptions
): Effect.Effect<ListenerImpl, never, Scope.Scope> =>
  Effect.gen(function*() {
    const context = Context.omit(Scope.Scope)(yield* Effect.context<never>())
    const clock = yield* Clock.Clock
    const listener = new ListenerImpl(transport, options, context, clock)
    const registry = yield* CurrentRegistry
    listener.leave = Option.match(registry, {
      onNone: () => () => {},
      onSome: (registry) =>
        registry.add({
          listener,
          name: listener.name,
          shutdown: ({ deadline, reason }) => {
            // a limit that is none does not lower the listener's own
            const limit = deadline === undefined
              ? Result.succeed(Infinity)
              : millis("deadline", deadline, { infinite: true })
            return Effect.map(
              listener.shutdown(reason, { limit: Result.getOrElse(limit, () => Infinity), received: true }),
              (report) => [report]
            )
          },
          progress: listener.progress
        })
    })
    yield* Effect.addFinalizer(() => Effect.andThen(listener.finish, Effect.sync(() => listener.leave())))
    return listener
  })
