import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { DrainReport } from "../../DrainReport.ts"
import { type OpenError, OperationAborted, OperationTimedOut } from "../../ListenerError.ts"
import { ListenerName } from "../../Transport.ts"
import type { ResolvedDrain } from "../options/drain.ts"
import { logLine } from "../telemetry/logLine.ts"
import { fromBindError, transportFailure } from "../transport/transportErrors.ts"
import { call, effectOf, type ForeignOwner } from "../util/foreign.ts"
import type { AcceptFailure, Bindable, Bound, BoundAddress } from "./manager.ts"

/** How a binding stops listening: what becomes of the accept queue, and what does it. */
export interface Stop {
  readonly queue: DrainReport["queue"]
  readonly run: Effect.Effect<void>
  /** Whether what was queued when it began still is, where that is known. */
  readonly stillQueued?: (() => boolean | undefined) | undefined
}

export const nothingToStop: Stop = { queue: "none", run: Effect.void }

/** What a binding asks of its listener. Methods, so that a binding of one kind is a binding. */
export interface BindingContext<B extends Bound> {
  readonly name: string
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>, options?: Effect.RunOptions) => Fiber.Fiber<A, E>
  /** How long a bind may take, in milliseconds. */
  readonly openLimit: number
  /** The listening socket is there. */
  opened(binding: Binding<B>, bound: B, at: BoundAddress): void
  openFailed(): void
  /** Takes what arrives, until it is interrupted or the listening socket is gone. */
  acceptLoop(bound: B): Effect.Effect<void, AcceptFailure>
  /** The listening socket died. */
  fault(binding: Binding<B>, failure: AcceptFailure): void
}

/**
 * One bind of a listener: the attempt within its limit, the gate it waits at, the
 * accept loop, and the release of the listening socket.
 */
export class Binding<B extends Bound> {
  /** How the open ended. */
  readonly result = Deferred.makeUnsafe<void, OpenError>()
  private readonly context: BindingContext<B>
  private readonly attempted = Deferred.makeUnsafe<void>()
  private attempt: Fiber.Fiber<unknown, unknown> | undefined
  private cancelled = false
  private bound: B | undefined
  private scope: Scope.Closeable | undefined
  private loop: Fiber.Fiber<unknown, unknown> | undefined
  private released: Deferred.Deferred<void> | undefined

  constructor(context: BindingContext<B>) {
    this.context = context
  }

  /**
   * Binds in a fiber of its own, so that an abort need not wait for it: after the
   * bind before is given back, and held at the gate once it is bound.
   */
  start(transport: Bindable<B>, gate: Effect.Effect<void>, before: Effect.Effect<void>): void {
    this.attempt = this.context.runFork(
      Effect.ensuring(
        this.bind(transport, gate, before),
        // also where it was cancelled: the bind after it must not find the port taken by the one before it
        Effect.andThen(before, Effect.sync(() => Deferred.doneUnsafe(this.attempted, Exit.void)))
      ),
      { uninterruptible: true }
    )
  }

  private bind(transport: Bindable<B>, gate: Effect.Effect<void>, before: Effect.Effect<void>): Effect.Effect<void> {
    const { context } = this
    return Effect.gen({ self: this }, function*() {
      const scope = Scope.makeUnsafe()
      const bindAt = Effect.map(effectOf("bind", () => transport.bind), (bound) => ({ bound, at: addressOf(bound) }))
      const bind = this.limited(Effect.andThen(before, Scope.provide(bindAt, scope))).pipe(
        Effect.provideService(ListenerName, context.name)
      )
      const exit = yield* Effect.exit(Effect.interruptible(Effect.tap(bind, gate)))
      if (!this.cancelled && Exit.isSuccess(exit)) {
        const { at, bound } = exit.value
        this.bound = bound
        this.scope = scope
        return context.opened(this, bound, at)
      }
      yield* this.closeScope(scope)
      if (this.cancelled || Exit.isSuccess(exit)) return
      context.openFailed()
      Deferred.doneUnsafe(this.result, Exit.fail(this.openError(exit.cause)))
    })
  }

  private limited<A, E, R>(bind: Effect.Effect<A, E, R>): Effect.Effect<A, E | OperationTimedOut, R> {
    const { openLimit } = this.context
    if (openLimit === Infinity) return bind
    return Effect.timeoutOrElse(bind, {
      duration: Duration.millis(openLimit),
      orElse: () => Effect.fail(new OperationTimedOut({ ...this.at("open"), deadline: openLimit }))
    })
  }

  private openError(cause: Cause.Cause<OperationTimedOut | Parameters<typeof fromBindError>[0]>): OpenError {
    const error = Cause.findErrorOption(cause)
    // a transport that throws has failed no less than one that says so
    if (Option.isNone(error)) return transportFailure({ cause: Cause.squash(cause) }, this.at("open"))
    return error.value instanceof OperationTimedOut ? error.value : fromBindError(error.value, this.at("open"))
  }

  /** The listener is open: accepts from now on, once `held` lets it. */
  accept(bound: B, held: Effect.Effect<void>): void {
    const loop = Effect.andThen(held, Effect.suspend(() => this.context.acceptLoop(bound)))
    this.loop = this.context.runFork(
      Effect.catchCause(
        loop,
        (cause) =>
          Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.sync(() =>
            this.context.fault(
              this,
              Option.getOrElse(Cause.findErrorOption(cause), () => ({ cause: Cause.squash(cause) }))
            )
          )
      )
    )
    Deferred.doneUnsafe(this.result, Exit.void)
  }

  /** Ends an attempt that is under way: its open fails at once, the port is free when `idle` completes. */
  cancel(): void {
    this.cancelled = true
    this.attempt?.interruptUnsafe()
    Deferred.doneUnsafe(this.result, Exit.fail(new OperationAborted(this.at("open"))))
  }

  /** Completes when the attempt is over and, where nothing came of it, given back. */
  readonly idle: Effect.Effect<void> = Effect.suspend(() => Deferred.await(this.attempted))

  /** Stops listening, and says what becomes of the accept queue; nothing where nothing listens. */
  stop(queue: ResolvedDrain["queue"], owner: ForeignOwner): Stop {
    const { bound } = this
    if (bound === undefined || this.released !== undefined) return nothingToStop
    const leave = queue === "leave" ? call(owner, "leave", () => bound.leave, undefined) : undefined
    return leave !== undefined
      ? { queue: "left", run: leave }
      : { queue: "swept", run: Effect.suspend(() => bound.stop), stillQueued: () => bound.stillQueued?.() }
  }

  /** Ends the accept loop, and the listening socket unless what is open answers through it. */
  readonly endAccepting: Effect.Effect<void> = Effect.suspend(() =>
    this.bound?.answersThroughSocket === true ? this.endLoop : this.release
  )

  get isReleased(): boolean {
    return this.released !== undefined
  }

  private get endLoop(): Effect.Effect<void> {
    return this.loop === undefined ? Effect.void : Fiber.interrupt(this.loop)
  }

  /** Ends the accept loop and the listening socket; a second release waits for the first. */
  readonly release: Effect.Effect<void> = Effect.suspend(() => {
    if (this.scope === undefined) return Effect.void
    if (this.released !== undefined) return Deferred.await(this.released)
    const released = this.released = Deferred.makeUnsafe<void>()
    return Effect.uninterruptible(Effect.andThen(
      this.endLoop,
      Effect.onExit(
        this.closeScope(this.scope),
        () => Effect.sync(() => Deferred.doneUnsafe(released, Exit.void))
      )
    ))
  })

  /** A transport that throws as it is released harms nothing else, and the log says so. */
  private closeScope(scope: Scope.Closeable): Effect.Effect<void> {
    return Effect.catchCause(
      Scope.close(scope, Exit.void),
      (cause) =>
        logLine(Effect.logError(`releasing the socket of listener "${this.context.name}" failed`, cause), {
          event: "releaseFailed",
          listener: this.context.name
        })
    )
  }

  private at(operation: string) {
    return { operation, listener: this.context.name, trail: [] }
  }
}

const addressOf = ({ address }: Bound): BoundAddress => ({
  address,
  // a path that is no string is shown by none of the texts that it is part of
  shown: `${NetAddress.formatSocketAddress(address)}`
})
