import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { DrainReport } from "../../DrainReport.ts"
import { type AcceptError, type ListenerFaulted, OperationAborted } from "../../ListenerError.ts"
import type { AcceptQueue, Consumer } from "../accept/acceptQueue.ts"
import type { Candidate } from "../accept/candidate.ts"
import type { Linked } from "../util/linkedList.ts"
import { Lifecycle } from "./lifecycle.ts"
import type { Bound, Manager } from "./manager.ts"

/** What is managed arrives through a queue. */
export interface QueueManager<A extends Candidate & Linked<A>> extends Manager {
  readonly queue: AcceptQueue<A>
  /** Takes back what was given to a fiber that was interrupted: the next in line gets it. */
  requeue(given: A): void
}

/** A lifetime, and what takes the arrivals in it: fibers that wait for one, and handlers that serve all. */
export class TakingLifecycle<A extends Candidate & Linked<A>, M extends QueueManager<A>, B extends Bound>
  extends Lifecycle<M, B>
{
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
