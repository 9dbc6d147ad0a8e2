import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { DrainReport } from "../../DrainReport.ts"
import {
  type AcceptError,
  InvalidArgument,
  type ListenerFaulted,
  type ListenError,
  OperationAborted
} from "../../ListenerError.ts"
import type { AcceptContext } from "../accept/acceptLoop.ts"
import type { AcceptQueue, Consumer } from "../accept/acceptQueue.ts"
import type { Limits } from "../accept/limits.ts"
import type { LifetimeOptions, Managed } from "../connection/lifetimeManager.ts"
import type { Counts } from "../telemetry/counts.ts"
import { logLine, logsThrown } from "../telemetry/logLine.ts"
import { call } from "../util/foreign.ts"
import { Lifecycle } from "./lifecycle.ts"
import type { Bound, Kind, Manager } from "./manager.ts"
import type { AdmissionKind } from "./resolveOptions.ts"

/** What is managed arrives through a queue, under limits. */
export interface QueueManager<A extends Managed<A>> extends Manager {
  readonly queue: AcceptQueue<A>
  readonly limits: Limits
  /** Those that are open, oldest first, and those that wait. */
  everyOne(): Array<A>
  /** Takes back what was given to a fiber that was interrupted: the next in line gets it. */
  requeue(given: A): void
}

/** A kind of listener whose arrivals are queued: its changed limits outlive the lifetime they were changed in. */
export const takingKind = <O extends LifetimeOptions, M extends Manager & { readonly limits: Limits }, B extends Bound>(
  options: O,
  kind: Pick<Kind<M, B>, "taking" | "transport" | "acceptLoop"> & { readonly manager: (options: O) => M }
): Kind<M, B> => ({
  taking: kind.taking,
  transport: kind.transport,
  makeManager: (before) =>
    kind.manager(before === undefined ? options : { ...options, admission: before.limits.resolved }),
  opened: (manager) => manager.limits.watch(),
  acceptLoop: kind.acceptLoop
})

/** What the accept loop tells the manager of what arrives. */
export const acceptContext = <T>(
  manager: Pick<Manager, "name" | "retrying" | "runFork" | "signal" | "sweeping"> & { readonly counts: Counts },
  taking: Kind<Manager, Bound>["taking"],
  arrive: (arrived: T) => void
): AcceptContext<T> => ({
  arrive,
  onError: (error) => {
    const code = error.code ?? "unknown"
    const owner = logsThrown(manager.name, manager.runFork)
    // a code that is new makes a metric in the program's registry
    call(owner, "metrics", () => manager.counts.acceptError(code), undefined)
    return logLine(
      Effect.logWarning(`${taking} failed on listener "${manager.name}"`, error.message),
      { event: "acceptFailed", listener: manager.name, class: error.class, code }
    )
  },
  onRetrying: (retrying) => {
    if (manager.retrying === retrying) return
    manager.retrying = retrying
    manager.signal.notify()
  },
  hurry: manager.signal.until(() => manager.sweeping)
})

/**
 * A lifetime, and what takes the arrivals in it: fibers that wait for one, and
 * handlers that serve all. Its limits are options of type `O`.
 */
export abstract class TakingLifecycle<A extends Managed<A>, M extends QueueManager<A>, B extends Bound, O>
  extends Lifecycle<M, B>
{
  protected abstract readonly admission: AdmissionKind<O>

  /** Opens a listener that only its scope can have closed meanwhile: as with every effect of a scope that is gone, that is an interruption. */
  readonly openFirst: Effect.Effect<void, ListenError> = Effect.catchTag(
    this.open,
    ["InvalidOperation", "OperationAborted"],
    () => Effect.interrupt
  )

  readonly setAdmission = (options: O): Effect.Effect<void, InvalidArgument> =>
    Effect.suspend(() => {
      const { limits, queue } = this.manager
      const resolved = this.admission.resolve(options, limits.resolved)
      if (Result.isFailure(resolved)) {
        return Effect.fail(new InvalidArgument({ ...this.at("setAdmission"), ...resolved.failure }))
      }
      limits.change(resolved.success, this.manager.everyOne())
      queue.match()
      return Effect.void
    })

  /** Waits for the next arrival, first come first served, and loses none whenever it is interrupted. */
  protected takeNext(
    restore: <X, E, R>(effect: Effect.Effect<X, E, R>) => Effect.Effect<X, E, R>
  ): Effect.Effect<A, AcceptError> {
    return Effect.suspend(() => {
      const { manager } = this
      let given: A | undefined
      const wait = Effect.callback<A, AcceptError>((resume) => {
        const refused = this.refuseTaking()
        if (refused !== undefined) return resume(Effect.fail(refused))
        const consumer: Consumer<A> = {
          once: true,
          take: (arrived) => {
            given = arrived
            resume(Effect.succeed(arrived))
          },
          fail: (error) => resume(Effect.fail(error)),
          late: () => resume(this.takenTooLate)
        }
        manager.queue.add(consumer)
        this.served()
        return Effect.sync(() => manager.queue.remove(consumer))
      })
      // whatever lies between being given an arrival and owning it, none is lost
      return Effect.onExit(restore(wait), (exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit) && given !== undefined) manager.requeue(given)
        }))
    })
  }

  /** What taking is refused with now, if it is. */
  private refuseTaking(): AcceptError | undefined {
    // while the queue is swept, whatever waits is served by it
    if (this.stateNow === "Closing" && this.manager.sweeping) return undefined
    const step = this.step("accept")
    if (Result.isSuccess(step)) return undefined
    return step.failure === "ListenerFaulted" ? this.faulted("accept") : this.invalidOperation("accept")
  }

  /** What taking ends with that was pending when accepting ended. */
  protected readonly takenTooLate: Effect.Effect<never, AcceptError> = Effect.suspend(() =>
    Effect.fail(this.stateNow === "Faulted" ? this.faulted("accept") : new OperationAborted(this.at("accept")))
  )

  /** Gives arrivals to a consumer from now on; the result takes it back. */
  register(consumer: (manager: M) => Consumer<A>): () => void {
    const { manager } = this
    const member = consumer(manager)
    manager.queue.add(member)
    this.served()
    return () => manager.queue.remove(member)
  }

  serve(consumer: (manager: M) => Consumer<A>): Effect.Effect<DrainReport, ListenerFaulted> {
    return Effect.suspend((): Effect.Effect<DrainReport, ListenerFaulted> => {
      const { lifetime, stateNow } = this
      if (stateNow === "Faulted") return Effect.fail(this.faulted("accept"))
      // while the queue is swept there is something to serve
      if (stateNow === "Closed" || (stateNow === "Closing" && !lifetime.manager.sweeping)) return this.closed
      const unregister = this.register(consumer)
      return Effect.onExit(lifetime.awaitServed, () => Effect.sync(unregister))
    })
  }
}
