import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { CloseOptions, DrainProgress, DryRun } from "../../Drain.ts"
import type { ConnectionInfo, DrainReport } from "../../DrainReport.ts"
import {
  type CloseError,
  format as formatError,
  InvalidArgument,
  type InvalidOperation,
  type ListenerFaulted,
  type OpenError,
  OperationAborted
} from "../../ListenerError.ts"
import { defaults, resolve, type ResolvedDrain } from "../options/drain.ts"
import type { BadOption } from "../options/time.ts"
import type { Counted } from "../telemetry/counts.ts"
import { startCloseSpan, useSpan } from "../telemetry/tracing.ts"
import { transportFailure } from "../transport/transportErrors.ts"
import { Broadcast } from "../util/broadcast.ts"
import * as Foreign from "../util/foreign.ts"
import { Binding, type BindingContext, nothingToStop } from "./binding.ts"
import { closeExit, closeLine, countClose, emptyReport } from "./closing/closeReport.ts"
import { type CloseDecision, ListenerClose, type ListenerCloseContext } from "./closing/listenerClose.ts"
import { atMost, endClosers, Lifetime } from "./lifetime.ts"
import { Machine } from "./machine.ts"
import type { AcceptFailure, Bound, BoundAddress, Kind, LifecycleOptions, Manager } from "./manager.ts"

/**
 * The lifetime of any listener. The shell around the state machine: asks
 * `transition`, and performs the action it decides. Other fibers resume inside
 * the calls made here, so each operation records its decision first and wakes
 * others last, and never reads a field again after it has woken one.
 */
export class Lifecycle<M extends Manager, B extends Bound> extends Machine implements Counted {
  protected lifetime: Lifetime<M>
  private readonly kind: Kind<M, B>
  private readonly options: LifecycleOptions
  private readonly drainProgress = new Broadcast<DrainProgress>()

  private binding: Binding<B> | undefined
  /** The bind before is given back; the next one waits for it. */
  private releasing: Effect.Effect<void> = Effect.void
  private running: ListenerClose | undefined
  /** The owner scope has closed. */
  private finished = false
  /** What `open` fails with: an option, or a host's objection. */
  badOption: BadOption | undefined
  /** What its first accept waits for: a host that opens all of its listeners first. */
  acceptGate: Effect.Effect<void> = Effect.void
  /** Called at every step of a close. */
  onProgress: (() => void) | undefined
  /** Takes it out of the registry it joined. */
  deregister: () => void = () => {}

  constructor(kind: Kind<M, B>, options: LifecycleOptions) {
    super(options.name, kind.taking, Effect.runForkWith(options.context))
    this.kind = kind
    this.options = options
    this.badOption = options.badOption
    this.lifetime = new Lifetime(kind.makeManager(undefined))
    options.counts.listeners.add(this)
  }

  protected get manager(): M {
    return this.lifetime.manager
  }

  get ready(): boolean {
    return this.stateNow === "Open" && this.running === undefined
  }

  readonly readiness: Effect.Effect<boolean> = Effect.sync(() => this.ready)

  // --- open ------------------------------------------------------------------------------------------------------

  readonly open: Effect.Effect<void, OpenError> = Effect.suspend(() => this.openThrough(Effect.void))

  /** Binds, and is open when the gate lets it pass: a host binds all of its listeners before one of them accepts. */
  openThrough(gate: Effect.Effect<void>): Effect.Effect<void, OpenError> {
    return useSpan(
      this,
      "Listener.open",
      { attributes: { listener: this.name } },
      (span) =>
        Effect.map(this.beginOpen(gate), () => {
          const { bound } = this
          if (bound === undefined || span === undefined) return
          Foreign.call(this, "tracer", () => span.attribute("address", bound.shown), undefined)
        })
    )
  }

  private beginOpen(gate: Effect.Effect<void>): Effect.Effect<void, OpenError> {
    if (this.finished) return Effect.fail(this.invalidOperation("open"))
    if (this.stateNow === "Created" && this.badOption !== undefined) {
      return Effect.fail(new InvalidArgument({ ...this.at("open"), ...this.badOption }))
    }
    if (Result.isFailure(this.step("open"))) return Effect.fail(this.invalidOperation("open"))
    const binding = new Binding(this.bindingContext())
    this.binding = binding
    binding.start(this.kind.transport, gate, this.releasing)
    return Effect.onInterrupt(Deferred.await(binding.result), () =>
      Effect.suspend(() => {
        if (this.binding === binding && this.stateNow === "Opening") this.cancelOpen(binding)
        // the port is free when the interruption completes
        return binding.idle
      }))
  }

  private bindingContext(): BindingContext<B> {
    const { manager } = this
    return {
      name: this.name,
      runFork: this.runFork,
      openLimit: this.options.openLimit,
      opened: (binding, bound, at) => this.opened(binding, bound, at),
      openFailed: () => {
        this.binding = undefined
        this.step("openFailed")
      },
      acceptLoop: (bound) => this.kind.acceptLoop(manager, bound),
      fault: (binding, failure) => this.fault(binding, failure)
    }
  }

  private opened(binding: Binding<B>, bound: B, at: BoundAddress): void {
    this.bound = at
    this.kind.opened(this.manager)
    this.step("opened")
    this.log("Info", "open", `listener "${this.name}" is open at ${at.shown}`, { address: at.shown })
    binding.accept(bound, this.acceptGate)
  }

  private cancelOpen(binding: Binding<B>): void {
    this.binding = undefined
    this.releasing = binding.idle
    this.step("abort")
    binding.cancel()
  }

  // --- accepting -------------------------------------------------------------------------------------------------

  /** The listening socket died: nothing new comes, what is open goes on until `close`. */
  private fault(binding: Binding<B>, failure: AcceptFailure): void {
    const { lifetime } = this
    const reason = transportFailure(failure, this.at("accept"))
    if (this.binding !== binding || this.stateNow !== "Open") {
      this.runFork(binding.release)
      return
    }
    if (failure.class === "closed") {
      this.log("Info", "socketClosed", `the process has closed the socket of listener "${this.name}", which drains`, {})
      return this.beginShutdown({ ...this.drainOptions, lameDuck: defaults.lameDuck }, "socket closed by the process")
    }
    this.faultReason = reason
    this.step("fault")
    lifetime.manager.stopAccepting()
    this.log("Error", "fault", formatError(reason), { code: reason.code ?? "unknown" })
    this.stopServing(lifetime, this.faulted("accept"))
    this.runFork(binding.endAccepting)
    lifetime.manager.signal.notify()
  }

  /** Fails the fibers that wait for an arrival, and every `serve` of this lifetime. */
  private stopServing(lifetime: Lifetime<M>, faulted: ListenerFaulted): void {
    const waiting = lifetime.manager.removeWaiting()
    const error = faulted.reason === "Aborted" ? new OperationAborted(this.at("accept")) : faulted
    for (const one of waiting) one.fail?.(error)
    lifetime.failServed(faulted)
  }

  // --- close -----------------------------------------------------------------------------------------------------

  readonly close = (options?: CloseOptions): Effect.Effect<DrainReport, CloseError> =>
    Effect.withFiber((fiber): Effect.Effect<DrainReport, CloseError> => {
      const resolved = resolve(options, this.options.drain, { infiniteDeadline: true, prefix: "" })
      if (Result.isFailure(resolved)) {
        return Effect.fail(new InvalidArgument({ ...this.at("close"), ...resolved.failure }))
      }
      const { lifetime, running } = this
      if (running !== undefined && this.stateNow !== "Closing") {
        // another close is in its lame duck, which is over now: both get one report
        const report = lifetime.awaitClose(running, fiber)
        running.hasten(resolved.success)
        return report
      }
      const decision = this.decideClose(resolved.success, options?.reason ?? "close")
      switch (decision._tag) {
        case "Refused":
          return Effect.fail(this.invalidOperation("close"))
        case "Report":
          return Effect.succeed(decision.report)
        case "Begin": {
          // waiting comes first: where nothing is open, the close is over before it returns
          const report = lifetime.awaitClose(decision.close, fiber)
          this.start(decision.close, Context.getOption(fiber.context, Tracer.ParentSpan))
          return report
        }
      }
    })

  /** Decides about a close and starts what it takes. */
  private beginClose(options: ResolvedDrain, reason: string, parent: Option.Option<Tracer.AnySpan>): void {
    const decision = this.decideClose(options, reason)
    if (decision._tag === "Begin") this.start(decision.close, parent)
  }

  /** Runs a close in a fiber of its own, as a span of its caller. */
  private start(close: ListenerClose, parent: Option.Option<Tracer.AnySpan>): void {
    const attributes = { listener: this.name, reason: close.reason }
    const { tracing } = this.options
    close.span = Foreign.call(
      close,
      "span",
      () => startCloseSpan(tracing, "Listener.close", attributes, parent),
      undefined
    )
    this.runFork(close.run())
  }

  /** A lame duck comes before the transition. */
  private decideClose(options: ResolvedDrain, reason: string): CloseDecision {
    const { lifetime, stateNow: before } = this
    const lame = before === "Open" && options.lameDuck.max > 0
    if (!lame) {
      const step = this.step("close")
      if (Result.isFailure(step)) return { _tag: "Refused" }
      if (step.success !== "Drain") {
        const report = lifetime.report ?? emptyReport(lifetime.manager, reason)
        if (step.success === "Finish") {
          this.drainProgress.endCurrent()
          lifetime.end(report)
        }
        return { _tag: "Report", report }
      }
    }
    const close = new ListenerClose(
      this.closeContext(),
      lame ? options : { ...options, lameDuck: defaults.lameDuck },
      reason,
      before === "Faulted" && this.faultReason === "Aborted"
    )
    this.running = close
    Foreign.call(close, "beginning", () => lifetime.manager.beginClose(close.options), undefined)
    return { _tag: "Begin", close }
  }

  private closeContext(): ListenerCloseContext {
    const { binding, lifetime } = this
    return {
      manager: lifetime.manager,
      closing: () => this.step("close"),
      isOpen: () => this.stateNow === "Open",
      stop: (queue, owner) => binding === undefined ? nothingToStop : binding.stop(queue, owner),
      endAccepting: binding === undefined ? Effect.void : binding.endAccepting,
      release: binding === undefined ? Effect.void : this.releaseAfter(lifetime, binding),
      failWaiting: () => {
        const waiting = lifetime.manager.removeWaiting()
        if (waiting.length === 0) return
        // the first error of a program takes milliseconds to make, and as a rule no fiber waits
        const error = new OperationAborted(this.at("accept"))
        for (const one of waiting) one.fail?.(error)
      },
      onProgress: (progress) => {
        lifetime.progress = progress
        this.drainProgress.publish(progress)
        this.onProgress?.()
      },
      finished: (close, report) => Effect.sync(() => this.closeEnded(lifetime, close, report))
    }
  }

  /** The caller of a close may be a handler that has still to answer through the socket: the next open waits for that. */
  private releaseAfter({ manager }: Lifetime<M>, binding: Binding<B>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (binding.isReleased || manager.closersCount === 0) return binding.release
      this.releasing = Effect.andThen(manager.signal.until(() => manager.closersCount === 0), binding.release)
      this.runFork(this.releasing)
      return Effect.void
    })
  }

  private closeEnded(lifetime: Lifetime<M>, close: ListenerClose, report: DrainReport): void {
    const exit = closeExit(close, report)
    // before the waiters are woken: they may end the process
    countClose(this.options, close, report, exit)
    const { annotations, level, message } = closeLine(close, report, lifetime.receives(close))
    this.log(level, "close", message, annotations)
    this.running = undefined
    this.binding = undefined
    this.bound = undefined
    this.step("drained")
    lifetime.progress = close.progress()
    this.drainProgress.publish(lifetime.progress)
    this.drainProgress.endCurrent()
    endClosers(lifetime.manager, close.options.abortGrace)
    lifetime.end(report)
    Deferred.doneUnsafe(close.result, exit)
  }

  readonly closed: Effect.Effect<DrainReport> = Effect.suspend(() => this.lifetime.awaitClosed(true))

  // --- abort, reset ----------------------------------------------------------------------------------------------

  readonly abort: Effect.Effect<void> = Effect.sync(() => {
    const { binding, lifetime, running } = this
    if (this.stateNow === "Opening" && binding !== undefined) return this.cancelOpen(binding)
    const step = this.step("abort")
    if (Result.isFailure(step)) return
    if (step.success === "None") return
    running?.escalate()
    if (step.success === "Cut") {
      this.faultReason = "Aborted"
      const faulted = this.faulted("accept")
      lifetime.manager.stopAccepting()
      if (binding !== undefined) this.runFork(binding.release)
      Foreign.call(this, "cutting the connections", () => lifetime.manager.cutAll(), undefined)
      const cut = lifetime.manager.cutCount
      this.log("Warn", "abort", `listener "${this.name}" was aborted; connections cut: ${cut}`, { cut })
      this.stopServing(lifetime, faulted)
    }
    lifetime.manager.signal.notify()
  })

  readonly reset: Effect.Effect<void, InvalidOperation> = Effect.suspend(() => {
    if (this.finished) return Effect.fail(this.invalidOperation("reset"))
    const step = this.step("reset")
    if (Result.isFailure(step)) return Effect.fail(this.invalidOperation("reset"))
    if (step.success === "Forget") this.lifetime = new Lifetime(this.kind.makeManager(this.manager))
    return Effect.void
  })

  // --- the owner -------------------------------------------------------------------------------------------------

  /** Begins to bring any state to `Closed`; joins a close that runs, with the smaller deadline. */
  beginShutdown(
    options: ResolvedDrain,
    reason: string,
    parent: Option.Option<Tracer.AnySpan> = Option.none()
  ): void {
    if (this.stateNow === "Opening" && this.binding !== undefined) this.cancelOpen(this.binding)
    if (this.running !== undefined) this.running.hasten(options)
    else this.beginClose(options, reason, parent)
  }

  /**
   * Brings any state to `Closed`; joins a close that runs, with the smaller deadline. Never fails. A report that
   * neither its caller nor another fiber receives is logged as a warning where it is not clean.
   */
  shutdown(
    reason: string,
    { limit, queue = this.drainOptions.queue, received }: {
      readonly limit: number
      readonly queue?: ResolvedDrain["queue"] | undefined
      readonly received: boolean
    }
  ): Effect.Effect<DrainReport> {
    return Effect.suspend(() => {
      const { lifetime } = this
      this.beginShutdown({ ...this.drainOptions, deadline: Math.min(limit, this.drainOptions.deadline), queue }, reason)
      const closed = lifetime.awaitClosed(received)
      return Effect.andThen(atMost(lifetime.manager, this.longest, this.releasing), closed)
    })
  }

  /** How long the owner waits for what a transport or a handler holds on to, in milliseconds. */
  private get longest(): number {
    return this.drainOptions.deadline + this.drainOptions.abortGrace
  }

  /** Begins a lame duck that only a close, an abort, a fault or a shutdown ends; on what is not open it does nothing. */
  beginLameDuck(options: ResolvedDrain, reason: string, parent: Option.Option<Tracer.AnySpan>): void {
    if (this.stateNow !== "Open" || this.running !== undefined) return
    this.beginClose({ ...options, lameDuck: { min: 0, quiet: 0, max: Infinity } }, reason, parent)
  }

  get drainOptions(): ResolvedDrain {
    return this.options.drain
  }

  /** When something last arrived, in monotonic milliseconds. */
  get lastArrival(): number {
    return this.manager.lastArrival
  }

  /** The close that runs, as it stands. */
  get closing(): DrainProgress | undefined {
    return this.running?.progress()
  }

  get closingNow(): Counted["closingNow"] {
    return this.running?.counted
  }

  get queued(): number {
    return this.manager.queued
  }

  get limit(): number {
    return this.manager.limit
  }

  /** A fiber waits for this close: it does not wait for what the fiber does. The result takes it back. */
  awaitedBy(fiber: Fiber.Fiber<unknown, unknown>): () => void {
    const { lifetime } = this
    lifetime.manager.wait(fiber)
    return () => lifetime.stopWaiting(fiber)
  }

  /** The finalizer of `make`: nothing of the listener is left when it is done. */
  readonly finish: Effect.Effect<void> = Effect.suspend(() => {
    this.finished = true
    const { manager } = this
    return this.shutdown("scope closed", { limit: Infinity, received: false }).pipe(
      Effect.tap(() => atMost(manager, this.longest, manager.signal.until(() => manager.closersCount === 0))),
      Effect.tap(() => atMost(manager, this.longest, this.releasing)),
      Effect.andThen(Effect.sync(() => {
        this.endChanges()
        this.drainProgress.end()
        this.options.counts.listeners.delete(this)
        this.deregister()
      }))
    )
  })

  // --- what can be seen ------------------------------------------------------------------------------------------

  get progress(): Stream.Stream<DrainProgress> {
    return this.drainProgress.stream(() => ({
      values: this.lifetime.progress === undefined ? [] : [this.running?.progress() ?? this.lifetime.progress],
      complete: this.stateNow === "Closed"
    }))
  }

  /** All that is open or queued: connections, or exchanges. */
  readonly inFlight: Effect.Effect<ReadonlyArray<ConnectionInfo>> = Effect.sync(() => this.manager.describeAll())

  readonly dryRun: Effect.Effect<DryRun> = Effect.sync(() => this.manager.dryRun())
}
